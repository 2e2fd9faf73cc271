"""From a key of the study to the files that scripts/preprocess.py writes: each key of a dataset does what it says."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from modomodo.config.schema import Dataset
from modomodo.data.examples import read_examples, rejected_path
from modomodo.data.settings import ExamplesSettings
from modomodo.files import read_json
from modomodo.study.checks import read_study
from modomodo.warning_files import warnings_at

SCRIPT = Path(__file__).parents[2] / "scripts/preprocess.py"

PLUGIN = """
import io
import PIL.Image
from modomodo.plugins import Image, Rejected, dataset

@dataset("preprocess_test")
def rows(raw, bad=0):
    for number in range(6):
        if number < bad:
            yield Rejected(str(number), "not readable")
        fields = {"id": str(number), "question": "?" * (number + 1), "answer": "it", "answer_type": "text"}
        file = io.BytesIO()
        PIL.Image.new("RGB", (10 * number + 10, 8), (number, 0, 0)).save(file, "PNG")
        yield fields, Image(file.getvalue())
"""


@pytest.fixture
def preprocess(study_data, tmp_path, monkeypatch, write_study) -> Callable[..., tuple[int, list, str]]:
    """Runs the script as the rule does. Returns its status, the sizes of the images and the rejected rows."""
    plugin = tmp_path / "own.py"
    plugin.write_text(PLUGIN)
    study_data["plugins"].append(str(plugin))

    def run(part: str = "domains", **keys) -> tuple[int, list, str]:
        entry = {"loader": "preprocess_test", **keys}
        if part != "domains":
            entry["metric"] = "exact_match"
        study_data["domains" if part == "held_out" else part]["rows"] = entry
        if part == "benchmarks":
            entry["group"] = "out"
        if part == "held_out":
            study_data["domains"]["rows"] = {"loader": "preprocess_test"}
            study_data["held_out"] = {"rows": entry}
        name = "rows_held_out" if part == "held_out" else "rows"
        settings = ExamplesSettings.of(read_study(write_study(study_data)), name).text()
        output = tmp_path / "examples" / f"{name}.jsonl"
        words = ["--settings", settings, "--name", name, "--output", str(output)]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        sizes = []
        for example in read_examples(output):
            with PIL.Image.open(output.parent / example.image) as image:
                sizes.append(image.size)
        return ended.value.code, sizes, rejected_path(output).read_text()

    from modomodo.data.readers.registry import datasets

    yield run
    datasets._functions.pop("preprocess_test", None)


ALL = [(10 * number + 10, 8) for number in range(6)]
CASES = {
    "limit": ({"limit": 2}, 0, ALL[:2], ""),
    "max_rejected": ({"options": {"bad": 2}, "max_rejected": 0.2}, 2, ALL, "not readable"),
    "max_question": ({"max_question": 3, "max_rejected": 1}, 0, ALL[:3], "more than max_question (3)"),
    "max_pixels": ({"max_pixels": 8 * 40, "max_rejected": 1}, 0, ALL[:4], "400 pixels"),
    "longest": ({"longest": 30}, 0, [*ALL[:3], (30, 6), (30, 5), (30, 4)], ""),
}


def test_every_key_of_a_dataset_has_a_case() -> None:
    elsewhere = {"loader", "options"}  # what gives the rows: tests of the readers
    others = {"source", "expected", "prompts"}  # the download's, Table 1's and the prompts'
    assert set(CASES) == set(Dataset.model_fields) - elsewhere - others


@pytest.mark.parametrize(("keys", "status", "sizes", "rejected"), CASES.values(), ids=CASES)
def test_a_key_of_the_study_reaches_the_files(preprocess, capsys, keys, status, sizes, rejected) -> None:
    found = preprocess(**keys)
    assert found[:2] == (status, sizes), capsys.readouterr().err
    assert rejected in found[2] and bool(rejected) == bool(found[2])


@pytest.mark.parametrize("part", ["benchmarks", "held_out"])
def test_so_it_does_for_benchmarks_and_held_out_questions(preprocess, part) -> None:
    assert preprocess(part, longest=30, limit=4)[:2] == (0, [*ALL[:3], (30, 6)])


def test_what_a_table_warns_of_is_kept_beside_its_examples(tmp_path, monkeypatch, capsys) -> None:
    table = tmp_path / "t.jsonl"
    rows = [{"question": f"{n}?", "answer": str(n)} for n in range(20)] + [{"question": "?", "answer": None}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "examples/t.jsonl"
    settings = ExamplesSettings(
        dataset=Dataset(loader="table", options={"path": str(table)}, max_rejected=0.1)
    ).text()
    words = ["--settings", settings, "--name", "t", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0, capsys.readouterr().err
    assert "columns recognised: question: question, answer: answer" in capsys.readouterr().out
    (warned,) = read_json(warnings_at(output))["warnings"]
    assert warned == f"{table}: 1 of the first 21 rows have no answer and are rejected"
    assert f"answer: empty ({table}:21)" in rejected_path(output).read_text()
