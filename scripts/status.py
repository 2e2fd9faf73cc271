"""study → how far it is: what is done, running, failed and missing, and the best mixture so far.

Example:
    python scripts/status.py --study config/tiny.yaml

Reads files only, so it can be asked while Snakemake works. A failed job shows the last lines of its log. That a
result exists does not mean that it is up to date: `snakemake -n` shows that.
"""

from pathlib import Path

from modomodo import command_line, console
from modomodo.mixtures.plan import plan
from modomodo.study.checks import read_study
from modomodo.study.status import read_status, render


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_study(parser)
    parser.add_argument("--output", type=Path, help="write it to this file instead of the terminal")
    arguments = parser.parse_args()
    study = read_study(arguments.study)
    text = render(study, read_status(study, plan(study, str(arguments.study))))
    console.show(text, arguments.output)


if __name__ == "__main__":
    command_line.run(main)
