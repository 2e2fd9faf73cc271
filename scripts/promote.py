"""records → who goes on in a race: the runs that take the places at its next rung.

Example:
    python scripts/promote.py --settings STUDY.yaml --strategy race --step 1500 \\
        --scores results/NAME/scores/race-*/42.json --mixtures results/NAME/mixtures/race-*.json \\
        --places /tmp/race@1500-01.json /tmp/race@1500-02.json --output /tmp/1500.json

Chosen by what is expected of each at the last step (modomodo/mixtures/halving.py). OUTPUT says who goes on, and with
what probability each is among the best; the file of a place is the mixture of the run that takes it, or of none.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.evaluation.scores import read_scored
from modomodo.files import write_json
from modomodo.mixtures.mixture import read_mixtures, write_mixture
from modomodo.mixtures.races import promote
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--strategy", required=True, help="the race's name in the study")
    parser.add_argument("--step", type=int, required=True, help="the step of the next rung")
    parser.add_argument(
        "--records-settings", help="domains and groups, JSON or the study (default: --settings)"
    )
    parser.add_argument(
        "--scores", type=Path, nargs="+", required=True, help="scores of the runs so far, and of any others"
    )
    parser.add_argument("--mixtures", type=Path, nargs="+", required=True, help="the mixtures of these runs")
    parser.add_argument(
        "--places", type=Path, nargs="+", required=True, help="MIXTURE.json of each place, to write"
    )
    parser.add_argument("--output", type=Path, required=True, help="who goes on, and why, as JSON")
    arguments = parser.parse_args()
    settings = command_line.settings(
        arguments.settings, ProposeSettings, lambda study: ProposeSettings.of(study, arguments.strategy)
    )
    load_plugins(settings.plugins)
    shown = command_line.settings(
        arguments.records_settings or arguments.settings, RecordsSettings, RecordsSettings.of
    )
    records = read_scored(arguments.scores, arguments.mixtures, shown.domains, dict(shown.benchmarks))
    promotion = promote(records, arguments.strategy, settings.strategy, arguments.step)
    mixtures = read_mixtures(arguments.mixtures)
    going = [run.mixture for run in promotion.runs if run.goes_on]
    for number, path in enumerate(sorted(arguments.places)):
        if number < len(going):
            write_mixture(path, mixtures[going[number]])
        else:
            nobody = mixtures[promotion.runs[0].mixture]
            write_mixture(path, nobody.model_copy(update={"name": path.stem, "predicted": None}))
    write_json(arguments.output, promotion.model_dump(mode="json"))
    for path in (*arguments.places, arguments.output):
        describe(path, settings, [*arguments.scores, *arguments.mixtures])
    print(f"{promotion.reason}: {', '.join(going)}")


if __name__ == "__main__":
    command_line.run(main)
