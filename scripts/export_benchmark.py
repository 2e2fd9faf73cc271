"""examples of a benchmark → a task of lmms-eval, for models of others: YAML file, rows with their images, metric.

Example:
    python scripts/export_benchmark.py --study config/paper.yaml --name LISA-test \\
        --examples results/paper/examples/LISA-test.jsonl --output lmms-eval-tasks
    lmms_eval --include_path lmms-eval-tasks --tasks modomodo_lisa_test --model qwen2_vl --reasoning_tags none

The task puts the study's template behind each question, and scores answers by the study's metric, so this package has
to be there too (make lmms). Our own model, --model modomodo, appends the template itself.
"""

from pathlib import Path

import yaml

from modomodo import command_line
from modomodo.config.loading import load_plugins
from modomodo.config.schema import Benchmark, Templates
from modomodo.data.conventions import SENTENCES
from modomodo.data.examples import Example, image_paths, open_image, read_examples
from modomodo.errors import InputError, nearest
from modomodo.files import atomic_write
from modomodo.metrics.metric import called
from modomodo.study.checks import read_study

UTILS = '''"""Written by scripts/export_benchmark.py: the functions that the task beside this file names."""

from lmms_eval_modomodo.exported import task_functions
{plugins}
doc_to_visual, doc_to_text, doc_to_target, process_results = task_functions({metric!r})
'''


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--study", type=Path, required=True, help="the study's YAML file")
    parser.add_argument("--name", required=True, help="the benchmark's name in the study")
    parser.add_argument("--examples", type=Path, required=True, help="its examples, JSONL")
    parser.add_argument("--output", type=Path, required=True, help="folder of the task, made if missing")
    arguments = parser.parse_args()
    study = read_study(arguments.study)
    if arguments.name not in study.benchmarks:
        hint = nearest(arguments.name, study.benchmarks)
        raise InputError(f"--name {arguments.name}: the study has no such benchmark: {hint}")
    benchmark = study.benchmarks[arguments.name]
    if benchmark.task is not None:
        raise InputError(f"--name {arguments.name}: it is a task of lmms-eval already, {benchmark.task}")
    if called(benchmark.metric).prompt is not None:
        raise InputError(
            f"--name {arguments.name}: its metric asks a judge, which a task cannot: name another"
        )
    load_plugins(study.plugins)
    examples = list(read_examples(arguments.examples))
    if not examples:
        raise InputError(f"{arguments.examples}: no examples: nothing to export")
    task = f"modomodo_{arguments.name.lower().replace('-', '_')}"
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = arguments.output / f"{task}.parquet"
    write_rows(examples, arguments.examples.parent, rows)
    plugins = "".join(f"\nload_plugins({study.plugins!r})\n" if study.plugins else "")
    if plugins:
        plugins = f"from modomodo.config.loading import load_plugins\n{plugins}"
    with atomic_write(arguments.output / f"{task}.py") as file:
        file.write(UTILS.format(metric=benchmark.metric, plugins=plugins))
    post_prompt = template_of(examples[0], study.templates(arguments.name))
    with atomic_write(arguments.output / f"{task}.yaml") as file:
        file.write(task_file(task, benchmark, post_prompt))
    print(f"{arguments.output / task}.yaml: {len(examples)} questions, {called(benchmark.metric).name}")


def write_rows(examples: list[Example], folder: Path, path: Path) -> None:
    """The rows with their images as PNG or whatever file they lie in; whole or not at all."""
    import datasets

    def files(example: Example) -> list[dict[str, bytes]]:
        for name in image_paths(example):
            with open_image(example, name, folder) as image:
                image.load()
        return [{"bytes": (folder / name).read_bytes()} for name in image_paths(example)]

    rows = [{"example": each.model_dump_json(), "images": files(each)} for each in examples]
    features = datasets.Features(
        {"example": datasets.Value("string"), "images": datasets.List(datasets.Image())}
    )
    part = path.with_suffix(".part")
    datasets.Dataset.from_list(rows, features=features).to_parquet(part)
    part.replace(path)


def template_of(example: Example, templates: Templates) -> str:
    """What stands behind a question: the template of its answer type, with the convention of its boxes."""
    text: str = getattr(templates, example.answer_type)
    if example.answer_type == "box":
        text = f"{text} {SENTENCES[example.meta['boxes']]}".strip()
    return f"{templates.separator}{text}" if text else ""


def task_file(task: str, benchmark: Benchmark, post_prompt: str) -> str:
    """The task's YAML. lmms-eval imports the functions from the file of the task's name beside it."""
    name = called(benchmark.metric).name
    config = {
        "task": task,
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": f"{task}.parquet"}},
        "test_split": "test",
        "output_type": "generate_until",
        "generation_kwargs": {"max_new_tokens": 512, "temperature": 0, "do_sample": False, "until": []},
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True},
            {"metric": "unparsed", "aggregation": "mean", "higher_is_better": False},
        ],
        "lmms_eval_specific_kwargs": {
            "default": {"pre_prompt": "", "post_prompt": post_prompt},
            "modomodo": {"pre_prompt": "", "post_prompt": ""},
        },
        "metadata": {"version": called(benchmark.metric).version},
    }
    functions = ["doc_to_visual", "doc_to_text", "doc_to_target", "process_results"]
    calls = "".join(f"{function}: !function {task}.{function}\n" for function in functions)
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True) + calls


if __name__ == "__main__":
    command_line.run(main)
