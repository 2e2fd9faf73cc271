"""config/paper.yaml: the whole study listed, and its twelve datasets from raw files to scores."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import raw_fixtures

from modomodo.config.schema import Templates
from modomodo.data.examples import Example, image_paths, read_examples
from modomodo.evaluation.engines.base import BatchLimits, LazyBatches, render_prompts
from modomodo.evaluation.engines.hf import processor_inputs
from modomodo.evaluation.predictions import Prediction
from modomodo.evaluation.scores import read_run_scores
from modomodo.evaluation.settings import ScoreSettings
from modomodo.files import write_json, write_jsonl
from modomodo.study.checks import read_study

ROOT = Path(__file__).parents[2]
STUDY = read_study(ROOT / "config/paper.yaml")


def clone(folder: Path) -> Path:
    """A folder to run Snakemake in: the repository's files, linked."""
    for name in ("Snakefile", "config", "envs", "modomodo", "profiles", "rules", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    """The output of a run that succeeds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-5000:]
    return output


def test_a_dry_run_lists_the_whole_study(tmp_path):
    output = snakemake(clone(tmp_path), "-n", "--configfile=config/paper.yaml", "all")
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}
    assert counts["download"] == counts["preprocess"] == 12
    # Table 2: 11 seeds, 10 heuristics, the same without COCO, 10 of the quadratic surface; and CMA-ES.
    assert counts["train"] == 11 + 10 + 10 + 10 + 1
    assert counts["predict"] == counts["score"] == counts["train"] + 1  # the base model too
    assert not (tmp_path / "resources").exists()


def test_table_2_stands_in_the_papers_order():
    labels = [(strategy.group, strategy.label) for strategy in STUDY.strategies.values()]
    heuristics = [
        f"{scores} {name}"
        for scores in ("Step-ave", "2000-step")
        for name in ("A_in", "A_out", "A_bal", "Coli", "Norm")
    ]
    assert labels == [
        ("seed", "Single"),
        ("seed", "Exclude-one"),
        ("seed", "All"),
        *(("heuristic", label) for label in heuristics),
        *(("heuristic_no1", f"{label} (No 1)") for label in heuristics),
        ("model", "Quadratic"),
        ("model", "CMA-ES"),
    ]
    without = [
        strategy.without for strategy in STUDY.strategies.values() if strategy.group == "heuristic_no1"
    ]
    assert without == [["COCO"]] * 10
    assert STUDY.strategies["quadratic"].count == 10


def test_the_papers_counts_and_training():
    expected = {name: entry.expected for name, entry in {**STUDY.domains, **STUDY.benchmarks}.items()}
    assert list(expected.values()) == [5997, 1326, 1969, 15000, 6218, 3397, 1928, 2017, 2500, 2801, 1000, 900]
    training = STUDY.training
    assert (training.gpus, training.vllm, training.processes) == (4, "server", 3)
    assert (training.samples, training.gradient_accumulation_steps, training.prompts_per_step) == (2, 2, 2)
    assert (training.steps, training.beta, training.seed, training.learning_rate) == (2000, 0.04, 42, 1e-6)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int], str]:
    """A folder after `snakemake examples --configfile config/paper.yaml`, the counts to expect, its words."""
    folder = clone(tmp_path_factory.mktemp("paper"))
    counts = raw_fixtures.write_all(folder / "raw", faults=False)
    output = snakemake(folder, "examples", "--configfile", "config/paper.yaml")
    return folder, counts, output


def test_examples_of_all_twelve_datasets(done):
    folder, counts, _ = done
    for name, count in counts.items():
        path = folder / f"results/paper/examples/{name}.jsonl"
        examples = list(read_examples(path))
        assert len(examples) == count, name
        for example in examples:
            assert all((path.parent / image).is_file() for image in image_paths(example))
        assert path.with_suffix(".rejected.jsonl").read_text() == ""


def test_raw_files_are_linked_and_summed_up(done):
    folder, _, _ = done
    place = folder / "resources/mmmu-validation" / STUDY.benchmarks["MMMU"].source.revision
    manifest = json.loads((place / "manifest.json").read_text())
    assert list(manifest["files"]) == ["data/validation-00000-of-00001.parquet"]
    link = place / "data/validation-00000-of-00001.parquet"
    assert link.is_symlink() and link.resolve().is_relative_to(folder / "raw")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=place, check=True)
    lisa = json.loads((folder / "resources/lisa-train/by-hand/manifest.json").read_text())
    assert len(lisa["files"]) == 10


def test_table_1_compares_with_the_paper_and_warns(done):
    folder, counts, output = done
    table = pd.read_csv(folder / "results/paper/table1.csv").set_index("dataset")
    assert list(table.index) == list(counts)
    assert dict(table["examples"]) == counts
    assert table.loc["COCO", "expected"] == 5997
    assert table.loc["COCO", "difference"] == counts["COCO"] - 5997
    text = (folder / "results/paper/table1.csv").read_text()
    assert "5997," in text and "5997.0" not in text
    warnings = re.findall(r"warning: (\S+): \d+ examples, (\d+) expected", output)
    assert [name for name, _ in warnings] == list(counts)
    assert "benchmarks/geoqav_patterns.py" in output
    # Fewer than a run's steps need: no matter where only examples are asked for.
    assert "warning: training.steps: 2000 steps need 4000 prompts" in output


def test_nothing_runs_again(done):
    folder, _, _ = done
    assert "Nothing to be done" in snakemake(folder, "examples", "--configfile", "config/paper.yaml")


def test_made_up_predictions_are_scored_by_each_metric(done):
    """Raw files to scores: right answers score 1 by the study's metrics; what breaks the format is unparsed."""
    folder, counts, _ = done
    files = {name: folder / f"results/paper/examples/{name}.jsonl" for name in STUDY.benchmarks}
    made = folder / "results/paper/predictions/all/42"
    listed: dict[str, dict] = {"500": {}, "2000": {}}  # the later step has unlearnt the format
    for name, path in files.items():
        for step in listed:
            rows = [prediction(example, right=step == "500") for example in read_examples(path)]
            listed[step][name] = {"path": f"{step}/{name}.jsonl", "key": "", "sha256": ""}
            write_jsonl(made / step / f"{name}.jsonl", (row.model_dump() for row in rows))
    about = {"mixture": "all", "seed": 42, "settings": {}, "predictions": listed}
    write_json(made / "predictions.json", about)
    output = folder / "results/paper/scores/all/42.json"
    settings = ["--settings", ScoreSettings.of(STUDY).text(), "--benchmarks", *map(str, files.values())]
    command = ["scripts/score.py", *settings, "--predictions", str(made / "predictions.json")]
    subprocess.run([sys.executable, *command, "--output", str(output)], cwd=ROOT, check=True)
    scores = read_run_scores(output)
    assert (scores.mixture, scores.seed) == ("all", 42)
    for name, path in files.items():
        right, broken = scores.steps[500][name], scores.steps[2000][name]
        assert right.metric == STUDY.benchmarks[name].metric
        assert (right.n, right.score, right.unparsed) == (counts[name], 1.0, 0), name
        open_answers = 0
        if name == "MMMU":  # searched as they are
            open_answers = sum(not example.choices for example in read_examples(path))
        assert broken.score < 1 and broken.unparsed == counts[name] - open_answers, name


def prediction(example: Example, right: bool) -> Prediction:
    answer = answer_in_words(example) if right else None
    completion = f"<think>I see.</think> <answer>{answer}</answer>" if right else "?"
    return Prediction(id=example.id, completion=completion, answer=answer, finish_reason="stop", tokens=9)


def answer_in_words(example) -> str:
    if example.answer_type == "box":
        boxes = ", ".join(f"{{'Position': {list(box)}, 'Confidence': 1}}" for box in example.answer)
        return f"[{boxes}]"
    return example.answer


def test_a_question_with_three_images_reaches_the_processor_in_order(done):
    folder, _, _ = done
    path = folder / "results/paper/examples/MMMU.jsonl"
    example = next(example for example in read_examples(path) if example.id == "validation_Art_2")

    class Processor:
        def apply_chat_template(self, messages, **options):
            self.content = messages[0]["content"]
            return "text"

        def __call__(self, text, images, **options):
            (of_one,) = images
            self.sizes = [image.size for image in of_one]
            assert all(image.mode == "RGB" for image in of_one)
            return {}

    processor = Processor()
    rows = [(example, path.parent)]
    prompts = render_prompts(rows, processor, Templates())
    list(LazyBatches(rows, prompts, lambda *shown: (processor_inputs(processor, *shown), 0), BatchLimits(4)))
    assert processor.sizes == [(30, 20), (31, 20), (32, 20)]
    assert [part["type"] for part in processor.content] == ["image"] * 3 + ["text"]
    assert "<image 2>" in processor.content[-1]["text"]
