"""base + runs on one domain alone + held-out questions → what each run gains on its own domain.

Example:
    python scripts/own_domain.py --settings config/tiny.yaml --base results/tiny/base \\
        --runs geometry=results/tiny/runs/single-geometry/42/run.json \\
        --held-out results/tiny/examples/*_held_out.jsonl --output /tmp/own_domain.csv

1. The base model answers every domain's held-out questions, greedily, as benchmarks are answered; always by
   transformers and on one GPU at most, since they are few.
2. Each run answers those of its domain, by its last checkpoint.
3. A line a domain: both scores, the gain and its standard error over the questions. The answers lie in a
   folder beside the table.
"""

from pathlib import Path

from modomodo import command_line
from modomodo.errors import InputError, nearest
from modomodo.examples import Example, check_image, read_examples
from modomodo.files import read_json, write_csv, write_jsonl
from modomodo.metrics import metrics
from modomodo.own_domain import row, table, verdict
from modomodo.provenance import describe
from modomodo.steps import OwnDomainStep
from modomodo.study import held_out_name, load_plugins

Rows = list[tuple[Example, Path]]


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_settings(parser)
    parser.add_argument("--base", type=Path, required=True, help="the base model's directory")
    parser.add_argument(
        "--runs", required=True, nargs="+", metavar="DOMAIN=RUN.json", help="the run on each domain alone"
    )
    parser.add_argument("--held-out", type=Path, required=True, nargs="+", help="DOMAIN_held_out.jsonl files")
    parser.add_argument("--output", type=Path, required=True, help="own_domain.csv")
    arguments = parser.parse_args()
    step = command_line.settings(arguments.settings, OwnDomainStep, OwnDomainStep.of)
    load_plugins(step.plugins)
    runs = command_line.named_paths(arguments.runs, "--runs")
    files = {path.stem: path for path in arguments.held_out}
    questions: dict[str, Rows] = {}
    for domain in runs:
        if domain not in step.metrics:
            raise InputError(f"--runs {domain}: {nearest(domain, step.metrics)} (held_out of the study)")
        if held_out_name(domain) not in files:
            raise InputError(f"--held-out: no {held_out_name(domain)}.jsonl given")
        questions[domain] = read_rows(files[held_out_name(domain)])
    rows = []
    before = Answers(arguments.base, step, arguments.output.with_suffix("") / "base")
    scores = {domain: before.scores(domain, asked) for domain, asked in questions.items()}
    for domain, run in runs.items():
        kept = read_json(run)["checkpoints"]
        mark = max(kept, key=int)
        trained = Answers(run.parent / kept[mark]["path"], step, arguments.output.with_suffix("") / "trained")
        rows.append(
            row(
                domain=domain,
                mixture=run.parent.parent.name,
                seed=int(run.parent.name),
                step=int(mark),
                metric=step.metrics[domain],
                before=scores[domain],
                after=trained.scores(domain, questions[domain]),
            )
        )
    frame = table(rows)
    write_csv(arguments.output, frame)
    describe(arguments.output, step, [*runs.values(), *arguments.held_out])
    print(verdict(frame))


def read_rows(path: Path) -> Rows:
    """(example, folder of its image). Raises InputError for a damaged row or image, and for no rows."""
    rows = [(example, path.parent) for example in read_examples(path)]
    if not rows:
        raise InputError(f"{path}: no examples: held-out questions need some")
    for example, folder in rows:
        check_image(example, folder)
    return rows


class Answers:
    """A model and the scores of its greedy answers, which it leaves in `folder`."""

    def __init__(self, directory: Path, step: OwnDomainStep, folder: Path) -> None:
        with command_line.imports():
            import torch

            from modomodo.models import load_model, load_processor

        torch.set_num_threads(step.evaluation.threads)
        self.step, self.folder = step, folder
        self.processor = load_processor(directory)
        self.model = load_model(directory, step.dtype)
        if torch.cuda.is_available():
            self.model.cuda()

    def scores(self, domain: str, asked: Rows) -> list[float]:
        """The score of each question, by the metric of its domain."""
        from modomodo.generation import Batches, predict

        evaluation = self.step.evaluation
        templates = self.step.own_prompts.get(domain, self.step.prompts)
        batches = Batches(asked, self.processor, templates, evaluation.batch_size, kept=0)
        answers = predict(self.model, self.processor, batches, evaluation.max_completion_tokens)
        write_jsonl(
            self.folder / f"{domain}.jsonl", (answers[example.id].model_dump() for example, _ in asked)
        )
        metric = metrics[self.step.metrics[domain]]
        return [
            metric(answers[example.id].completion, answers[example.id].answer, example).value
            for example, _ in asked
        ]


if __name__ == "__main__":
    command_line.run(main)
