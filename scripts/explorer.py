"""records.csv → explorer.html: any mixture's predicted scores, in one file that works from disk.

Example:
    python scripts/explorer.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --table1 results/tiny/table1.csv \\
        --verdict results/tiny/verdict.json --output /tmp/explorer.html
    python scripts/explorer.py --records recorded.csv --output /tmp/explorer.html
    python scripts/explorer.py --config config/replay.yaml --output /tmp/explorer.html

The page holds the fitted surrogate and evaluates it itself. With table1.csv the sliders show the weight
above which a domain may run out of examples before the last step.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.files import atomic_write
from modomodo.mixtures.plan import plan
from modomodo.mixtures.surrogates.base import DEFAULT
from modomodo.replay.config import load
from modomodo.replay.run import replay_results, surrogate_in
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import ExplorerSettings
from modomodo.reporting.verdict import read_verdict


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_records(parser)
    command_line.add_questions(parser)
    parser.add_argument("--table1", type=Path, help="table1.csv: examples of each domain")
    parser.add_argument(
        "--verdict",
        type=Path,
        help="verdict.json of the table; made from the records without it, and with --target",
    )
    parser.add_argument(
        "--surrogate",
        help="gp_sqrt or gp_average; without it the study's, or what proposals from a table are made by",
    )
    parser.add_argument(
        "--run-pages", default="", help="runs.html beside the page: each run then has a link to its own"
    )
    parser.add_argument("--output", type=Path, required=True, help="EXPLORER.html")
    arguments = parser.parse_args()

    settings = None
    if arguments.settings:
        settings = command_line.settings(
            arguments.settings,
            ExplorerSettings,
            lambda study: ExplorerSettings.of(study, plan(study, arguments.settings)),
        )
        load_plugins(settings.plugins)
    if arguments.config:
        name, found = replay_results(arguments.config, arguments.target)
        surrogate = surrogate_in(load(arguments.config))
    else:
        surrogate = settings.surrogate if settings else DEFAULT
        name = settings.study if settings else arguments.records.stem
        found = read_results(arguments.records, settings, arguments.target, arguments.questions)

    from modomodo.reporting.explorer import examples_last, page_data, render

    dry = {}
    if arguments.table1 and settings:
        dry = examples_last(arguments.table1, found.records.domains, settings.prompts)
    data = page_data(
        found,
        name,
        arguments.surrogate or surrogate,
        settings.constraints if settings else None,
        dry,
        read_verdict(arguments.verdict) if arguments.verdict and not arguments.target else None,
        settings.proposing if settings else (),
        arguments.run_pages,
    )
    with atomic_write(arguments.output) as file:
        file.write(render(data))


if __name__ == "__main__":
    command_line.run(main)
