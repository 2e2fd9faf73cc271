"""study → a live view of how far it is, until it is finished: make status, and what its jobs say meanwhile.

Example:
    python scripts/watch.py --study config/tiny.yaml

Reads files only, so it can look on while Snakemake works, also from another terminal or over ssh. Ctrl-C leaves it, and
stops nothing. Where the output is no terminal it writes a line for each change, until no Snakemake is at work.
"""

from contextlib import suppress

from rich.console import Console

from modomodo import command_line
from modomodo.mixtures.plan import plan
from modomodo.reporting.verdict import read_verdict
from modomodo.reporting.wording import as_text
from modomodo.study.checks import read_study
from modomodo.study.follow import follow, follow_in_lines
from modomodo.study.watch import Watcher


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_study(parser)
    parser.add_argument(
        "--every", type=float, default=2.0, help="seconds between two looks, at least (default: %(default)s)"
    )
    arguments = parser.parse_args()
    study = read_study(arguments.study)
    watcher = Watcher(study, plan(study, str(arguments.study)))
    console = Console(highlight=False)
    with suppress(KeyboardInterrupt):  # the way to leave
        drawn = console.is_terminal and not console.is_dumb_terminal
        look = (follow if drawn else follow_in_lines)(watcher, console, arguments.every)
        verdict = watcher.reader.folder / "verdict.json"
        if look.status.finished and verdict.exists():
            console.print(f"\n{as_text(read_verdict(verdict))}", end="", markup=False, soft_wrap=not drawn)


if __name__ == "__main__":
    command_line.run(main)
