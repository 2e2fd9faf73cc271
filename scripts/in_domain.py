"""base + runs on one domain alone + held-out questions → what each run gains on its own domain.

Example:
    python scripts/in_domain.py --settings config/tiny.yaml --base results/tiny/base \\
        --runs geometry=results/tiny/runs/single-geometry/42/run.json \\
        --held-out results/tiny/examples/*_held_out.jsonl --output /tmp/in_domain.csv

1. The base model answers every domain's held-out questions, greedily, as benchmarks are answered; always by
   transformers and on one GPU at most, since they are few.
2. Each run answers those of its domain, by its last checkpoint.
3. A line a domain: both scores, the gain and its standard error over the questions. The answers lie in a
   folder next to the table.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import held_out_name, written
from modomodo.data.examples import image_cluster
from modomodo.errors import InputError, nearest
from modomodo.evaluation.benchmarks import load_benchmarks
from modomodo.evaluation.engines.start import start_engine
from modomodo.evaluation.in_domain import compare, table, verdict
from modomodo.evaluation.predictions import read_checkpoints
from modomodo.evaluation.scores import score_answers
from modomodo.evaluation.settings import InDomainSettings
from modomodo.files import read_json, write_csv, write_jsonl
from modomodo.metrics.metric import called
from modomodo.study.provenance import describe


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--base", type=Path, required=True, help="the base model's directory")
    parser.add_argument(
        "--runs", required=True, nargs="+", metavar="DOMAIN=RUN.json", help="the run on each domain alone"
    )
    parser.add_argument("--held-out", type=Path, required=True, nargs="+", help="DOMAIN_held_out.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="in_domain.csv")
    arguments = parser.parse_args()
    settings = command_line.settings(arguments.settings, InDomainSettings, InDomainSettings.of)
    load_plugins(settings.plugins)
    runs = command_line.named_paths(arguments.runs, "--runs")
    for domain in runs:
        if domain not in settings.metrics:
            raise InputError(f"--runs {domain}: {nearest(domain, settings.metrics)} (held_out of the study)")
    found = load_benchmarks(arguments.held_out, map(held_out_name, runs), "--held-out")
    questions = dict(zip(runs, found.values(), strict=True))
    engine = start_engine(settings.on_one_device(), arguments.base, questions.values())
    batches = dict(zip(runs, engine.prepare(list(questions.values()), settings), strict=True))
    folder = arguments.output.with_suffix("")

    def scores(domain: str, model: str) -> list[float]:
        """The score of the loaded model's answer to each question; the answers go to the folder."""
        asked = questions[domain].examples
        answers = engine.answer_all(batches[domain])
        write_jsonl(folder / model / f"{domain}.jsonl", (answers[one.id].model_dump() for one in asked))
        return [score.value for score in score_answers(asked, answers, called(settings.metrics[domain]))]

    engine.load(arguments.base)
    before = {domain: scores(domain, "base") for domain in runs}
    rows = []
    for domain, path in runs.items():
        run = read_json(path, "mixture", "seed")
        last = max(read_checkpoints(path), key=lambda checkpoint: checkpoint.step)
        engine.load(last.directory)
        rows.append(
            {
                "domain": domain,
                "mixture": run["mixture"],
                "seed": run["seed"],
                "step": last.step,
                "metric": written(settings.metrics[domain]),
                **compare(
                    before[domain],
                    scores(domain, "trained"),
                    [image_cluster(one.image, one.id) for one in questions[domain].examples],
                ),
            }
        )
    frame = table(rows)
    write_csv(arguments.output, frame)
    describe(arguments.output, settings, [*runs.values(), *arguments.held_out])
    print(verdict(frame))


if __name__ == "__main__":
    command_line.run(main)
