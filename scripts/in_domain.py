"""base + runs on one domain alone + held-out questions → what each run gains on its own domain.

Example:
    python scripts/in_domain.py --settings config/tiny.yaml --base results/tiny/base \\
        --runs geometry=results/tiny/runs/single-geometry/42/run.json \\
        --held-out results/tiny/examples/*_held_out.jsonl --output /tmp/in_domain.csv

1. The base model answers every domain's held-out questions, greedily, as benchmarks are answered; always by
   transformers and on one GPU at most, since they are few.
2. Each run answers those of its domain, by its last checkpoint.
3. A line a domain: both scores, the gain and its standard error over the questions. The answers lie in a
   folder beside the table.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from modomodo import command_line, console
from modomodo.config.loading import load_plugins
from modomodo.config.schema import held_out_name
from modomodo.data.examples import Example, check_image, read_examples
from modomodo.errors import InputError, nearest
from modomodo.evaluation.in_domain import row, table, verdict
from modomodo.evaluation.metrics.metric import metrics
from modomodo.evaluation.settings import InDomainSettings
from modomodo.files import read_json, write_csv, write_jsonl
from modomodo.study.provenance import describe
from modomodo.training.gpus import acquire_gpus

if TYPE_CHECKING:
    from modomodo.evaluation.engines.base import Engine
    from modomodo.evaluation.predictions import Prediction

Rows = list[tuple[Example, Path]]


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
    step = command_line.settings(arguments.settings, InDomainSettings, InDomainSettings.of)
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
    acquire_gpus(min(1, step.evaluation.gpus), "evaluation.gpus")
    with console.imports():
        import torch

        from modomodo.evaluation.engines.hf import TransformersEngine
        from modomodo.training.models import load_processor

    torch.set_num_threads(step.evaluation.threads)
    engine = TransformersEngine(load_processor(arguments.base), step.evaluation, step.dtype)
    folder = arguments.output.with_suffix("")
    engine.load(arguments.base)
    before = {
        domain: scores(engine, step, domain, asked, folder / "base") for domain, asked in questions.items()
    }
    rows = []
    for domain, run in runs.items():
        kept = read_json(run, "checkpoints")["checkpoints"]
        mark = max(kept, key=int)
        engine.load(run.parent / kept[mark]["path"])
        rows.append(
            row(
                domain=domain,
                mixture=run.parent.parent.name,
                seed=int(run.parent.name),
                step=int(mark),
                metric=step.metrics[domain],
                before=before[domain],
                after=scores(engine, step, domain, questions[domain], folder / "trained"),
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


def scores(engine: "Engine", step: InDomainSettings, domain: str, asked: Rows, folder: Path) -> list[float]:
    """The score of the engine's answer to each question, by the domain's metric; the answers go to `folder`."""
    templates = step.own_prompts.get(held_out_name(domain), step.prompts)
    answers: dict[str, Prediction] = {}
    for batch in engine.batches(asked, templates, step.evaluation.batch_size, kept=0):
        answers |= engine.answer(batch)
    write_jsonl(folder / f"{domain}.jsonl", (answers[example.id].model_dump() for example, _ in asked))
    metric = metrics[step.metrics[domain]]
    return [
        metric(answers[example.id].completion, answers[example.id].answer, example).value
        for example, _ in asked
    ]


if __name__ == "__main__":
    command_line.run(main)
