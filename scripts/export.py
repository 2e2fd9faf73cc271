"""The winner of a study → an ordinary Hugging Face folder with a model card; --push also uploads it.

Example:
    python scripts/export.py --settings config/tiny.yaml --records results/tiny/records.csv \\
        --questions results/tiny/question_scores.csv --runs results/tiny/runs/*/*/run.json \\
        --base results/tiny/base --table1 results/tiny/table1.csv --output /tmp/winner

The winner is the mixture with the best --target; --mixture exports another one. Its run with the study's seed is
exported at its last scored step: weights and config of the checkpoint, tokenizer and processor files of the base, and
README.md with the mixture's weights, its scores and how sure its lead is, the data and their licences, settings and
provenance.

--push OWNER/NAME --output FOLDER uploads a folder that is there, to a private repository, with the token in HF_TOKEN.
"""

from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.errors import InputError, nearest
from modomodo.mixtures.plan import plan
from modomodo.reporting.model_card import Exported, best_mixture, model_card
from modomodo.reporting.results import read_results
from modomodo.reporting.settings import ExportSettings
from modomodo.study.export import last_checkpoint, push, takes_images, write_export


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser, required=False)
    parser.add_argument("--records", type=Path, help="records.csv")
    command_line.add_questions(parser)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="run.json of the runs")
    parser.add_argument("--base", type=Path, help="the base model's directory")
    parser.add_argument("--table1", type=Path, help="table1.csv: examples of each dataset")
    parser.add_argument("--mixture", help="the mixture to export (default: the best one)")
    parser.add_argument("--target", help="the score that tells the best one (default: out_score)")
    parser.add_argument("--output", type=Path, required=True, help="the exported folder")
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload the exported folder instead of writing one"
    )
    arguments = parser.parse_args()
    if arguments.push:
        print(f"pushed: {push(arguments.output, arguments.push)}")
        return
    for name in ("settings", "records", "base"):
        if getattr(arguments, name) is None:
            raise InputError(f"--{name}: missing: an export needs it")
    settings = command_line.settings(
        arguments.settings,
        ExportSettings,
        lambda study: ExportSettings.of(study, plan(study, arguments.settings)),
    )
    found = read_results(arguments.records, settings, arguments.target, arguments.questions)
    mixture = str(arguments.mixture or best_mixture(found))
    known = list(found.mixtures["mixture"])
    if mixture not in known:
        raise InputError(f"--mixture {mixture}: the records have no such mixture: {nearest(mixture, known)}")
    runs = [path for path in arguments.runs if path.parent.parts[-2:] == (mixture, str(settings.seed))]
    if not runs:
        raise InputError(f"--runs: none is {mixture}/{settings.seed}/run.json")
    run, step, checkpoint = last_checkpoint(runs[0])
    sizes = {}
    if arguments.table1:
        sizes = pd.read_csv(arguments.table1).groupby("dataset")["examples"].sum().to_dict()

    def card(weights: str) -> str:
        exported = Exported(run, step, weights, takes_images(arguments.base))
        return model_card(settings, found, mixture, exported, sizes)

    write_export(arguments.output, checkpoint, arguments.base, card)
    print(f"exported: {mixture}, seed {settings.seed}, step {step}: {arguments.output}")


if __name__ == "__main__":
    command_line.run(main)
