"""records.csv, and where there are runs their logs → the figures, each as SVG, PNG and CSV of its numbers.

Example:
    python scripts/figures.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --runs results/tiny/runs/*/*/run.json --output /tmp/figures
    python scripts/figures.py --records recorded.csv --output /tmp/figures
    python scripts/figures.py --config config/replay.yaml --output /tmp/figures

A table of records alone needs no study: mixtures are then grouped by its column `group`, or by strategy, and
compared by --target, else by its Out-Score or the first score that it has. Figures that these records cannot give
are left out and listed.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.errors import InputError
from modomodo.mixtures.plan import plan
from modomodo.mixtures.surrogates.base import DEFAULT
from modomodo.replay.config import load
from modomodo.replay.run import replay_results, surrogate_in
from modomodo.reporting.figures import FITTED, FROM_RECORDS, FROM_RUNS, drawable, drawings, file_name, too_few
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import FiguresSettings
from modomodo.reporting.training_logs import read_runs


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_records(parser)
    command_line.add_questions(parser)
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="run.json of the runs, each with its log.jsonl"
    )
    parser.add_argument("--only", nargs="+", help="names of figures that must be drawn, and no others")
    parser.add_argument("--output", type=Path, required=True, help="the folder")
    arguments = parser.parse_args()

    settings = None
    if arguments.settings:
        settings = command_line.settings(
            arguments.settings,
            FiguresSettings,
            lambda study: FiguresSettings.of(study, plan(study, arguments.settings)),
        )
        load_plugins(settings.plugins)
    where = arguments.records or "the study"
    found = (
        read_results(arguments.records, settings, arguments.target, arguments.questions)
        if arguments.records
        else replay_results(arguments.config, arguments.target)[1]
    )
    possible = drawable(
        list(found.weights()), found.base is not None, bool(arguments.runs), scored=found.known()
    )
    wanted = arguments.only or possible
    for name in wanted:
        if name not in possible and not (settings and name in FITTED):
            raise InputError(f"--only: {name}: {where} does not give it; it gives {', '.join(possible)}")

    from modomodo.reporting.figures.style import Page, save, styled

    page = Page(settings.column_width, settings.dpi) if settings else Page()
    if settings:
        surrogate = settings.surrogate
    else:
        surrogate = surrogate_in(load(arguments.config)) if arguments.config else DEFAULT
    runs = read_runs(arguments.runs) if set(wanted) & set(FROM_RUNS) else {}
    for path, run in runs.items():
        if run.mixture not in {*found.mixtures["mixture"], *found.stopped.get("mixture", ())}:
            raise InputError(f"--runs: {path}: {where} has no mixture '{run.mixture}'")
    draw = drawings(found, list(runs.values()), page, surrogate)
    for name in wanted:
        with styled():
            figure, numbers = draw[name]() if name in possible else too_few(found, page)
            save(figure, numbers, arguments.output / f"{file_name(name, found.target)}.svg", page.dpi)
    missing = [name for name in (*FROM_RECORDS, *FROM_RUNS) if name not in wanted]
    print(
        f"figures of {found.target}: {', '.join(file_name(name, found.target) for name in wanted)}"
        + (f"; not of these records: {', '.join(missing)}" if missing else "")
    )


if __name__ == "__main__":
    command_line.run(main)
