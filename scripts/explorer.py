"""records.csv → explorer.html: any mixture's predicted scores, in one file that works from disk.

Example:
    python scripts/explorer.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --table1 results/tiny/table1.csv --output /tmp/explorer.html
    python scripts/explorer.py --records recorded.csv --output /tmp/explorer.html
    python scripts/explorer.py --config config/replay.yaml --output /tmp/explorer.html

The page holds the fitted surrogate and evaluates it itself. With table1.csv the sliders show above which
weight a domain may run out of examples before the last step.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import Reporting
from modomodo.files import atomic_write
from modomodo.mixtures.plan import plan
from modomodo.replay.run import replay_results
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import ExplorerSettings


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser, required=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--records", type=Path, help="records.csv")
    source.add_argument(
        "--config", help="a study of recorded runs, its file or JSON, which says where they are"
    )
    parser.add_argument("--table1", type=Path, help="table1.csv: examples of each domain")
    parser.add_argument("--surrogate", help="gp_sqrt or gp_lead; the study's without it")
    parser.add_argument("--output", type=Path, required=True, help="EXPLORER.html")
    arguments = parser.parse_args()

    step = None
    if arguments.settings:
        step = command_line.settings(
            arguments.settings,
            ExplorerSettings,
            lambda study: ExplorerSettings.of(study, plan(study, arguments.settings)),
        )
        load_plugins(step.plugins)
    if arguments.config:
        name, found = replay_results(arguments.config)
    else:
        name = step.study if step else arguments.records.stem
        found = read_results(arguments.records, step)

    from modomodo.reporting.explorer import examples_last, page_data, render

    dry = {}
    if arguments.table1 and step:
        dry = examples_last(arguments.table1, found.records.domains, step.prompts)
    data = page_data(
        found,
        name,
        arguments.surrogate or (step or Reporting()).surrogate,
        step.constraints if step else None,
        dry,
    )
    with atomic_write(arguments.output) as file:
        file.write(render(data))


if __name__ == "__main__":
    command_line.run(main)
