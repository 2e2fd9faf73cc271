"""The conformance command: on hand-made rows, and on the real answers where they lie beside the checkout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANSWERS = sorted((ROOT.parent / "shared" / "conformance").glob("*.jsonl"))

MATHVISTA = {
    "pid": "1",
    "question_type": "free_form",
    "answer_type": "float",
    "choices": None,
    "precision": 1,
    "answer": "1.2",
    "response": "…",
    "extraction": "0.11",
    "prediction": "0.1",
    "true_false": False,
}
MMMU = {
    "id": "validation_Art_1",
    "question_type": "multiple-choice",
    "answer": "B",
    "all_choices": ["A", "B"],
    "index2ans": {"A": "red", "B": "blue"},
    "response": "The answer is (B).",
    "fallback": False,
    "official_correct": True,
}


def compare(*paths):
    command = [sys.executable, "benchmarks/conformance.py", *map(str, paths)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_agreement_is_counted_and_disagreeing_rows_are_named(tmp_path):
    mathvista = write(
        tmp_path / "mathvista.jsonl",
        MATHVISTA,
        MATHVISTA | {"pid": "2", "prediction": "0.11"},
        MATHVISTA | {"pid": "3", "true_false": True},
    )
    mmmu = write(
        tmp_path / "mmmu.jsonl",
        MMMU,
        MMMU
        | {"id": "open", "question_type": "short-answer", "answer": ["24/7", "3.429"], "response": "3.43"},
        MMMU | {"id": "left out", "fallback": True, "official_correct": None, "response": "?"},
        MMMU | {"id": "wrong verdict", "official_correct": False},
        MMMU | {"id": "only we find nothing", "response": "?", "official_correct": False},
    )
    done = compare(mathvista, mmmu)
    assert done.stdout.splitlines() == [
        "mathvista.jsonl: 1/3",
        "  2",
        "  3",
        "mmmu.jsonl: 2/4",
        "  wrong verdict",
        "  only we find nothing",
    ]
    assert done.returncode == 1
    agreeing = compare(write(tmp_path / "one.jsonl", MMMU))
    assert (agreeing.stdout, agreeing.returncode) == ("one.jsonl: 1/1\n", 0)


def test_verdicts_that_the_metric_changes_are_counted(tmp_path):
    choice = MATHVISTA | {
        "question_type": "multi_choice",
        "answer_type": "text",
        "choices": ["no", "yes"],
        "answer": "no",
    }
    rows = write(
        tmp_path / "rows.jsonl",
        MATHVISTA | {"response": "The answer is 0.11."},
        choice
        | {"extraction": "N/A", "prediction": "no", "true_false": True, "response": "It cannot be seen."},
        choice | {"extraction": "b", "prediction": "no", "true_false": True, "response": "(b)"},
        choice | {"extraction": "A", "prediction": "no", "true_false": True, "response": "(A)"},
    )
    done = compare("--metric", rows)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "rows.jsonl: of 4 verdicts changed: 2 from the extraction (2 right to wrong, 1 unparsed), "
        "2 from the response (2 right to wrong, 1 unparsed)\n"
    )


def test_bad_files_are_reported_in_a_line(tmp_path):
    missing = compare(tmp_path / "none.jsonl")
    assert missing.returncode == 2
    assert missing.stderr == f"error: {tmp_path}/none.jsonl: no such file\n"
    other = compare(write(tmp_path / "other.jsonl", MMMU, {"question": "?"}))
    assert other.returncode == 2
    assert other.stderr.startswith(f"error: {tmp_path}/other.jsonl:2: no field ")
    silent = compare(write(tmp_path / "silent.jsonl", {**MMMU, "response": None}))
    assert silent.returncode == 2
    assert silent.stderr.startswith(
        f"error: {tmp_path}/silent.jsonl:1: a field of another type than published"
    )


@pytest.mark.skipif(not ANSWERS, reason="the real answers are not beside this checkout")
def test_all_real_answers_agree():
    done = compare(*ANSWERS)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(ANSWERS)
