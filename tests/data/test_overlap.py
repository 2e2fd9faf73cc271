"""Questions of a benchmark that are training rows too."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from modomodo.data.examples import Example
from modomodo.data.overlap import overlaps, rows_of
from modomodo.warning_files import warned

ROOT = Path(__file__).parents[2]


def example(number: int, dataset: str, image: str, question: str, **meta: object) -> dict:
    return {
        "id": str(number),
        "dataset": dataset,
        "image": f"images/{dataset}/{image}",
        "question": question,
        "answer": "7",
        "answer_type": "text",
        "meta": meta,
    }


TRAINING = [("a.png", "How many?"), ("b.png", "How many?"), ("c.png", "What colour?")]
ASKED = [
    ("a.png", " how  MANY?\n"),
    ("a.png", "How much?"),
    ("d.png", "How many?"),
    ("c.png", "What colour?"),
]


def test_the_same_image_and_question_are_one_row_whatever_their_dataset():
    training = [Example(**example(i, "train", *row)) for i, row in enumerate(TRAINING)]
    asked = [Example(**example(i, "test", *row)) for i, row in enumerate(ASKED)]
    assert overlaps(rows_of(asked), {"train": rows_of(training), "other": []}) == {"train": 2}
    further = Example(**example(9, "test", "a.png", "How many?", images=["images/test/b.png"]))
    assert overlaps(rows_of([further]), {"train": rows_of(training)}) == {}


def test_table_1_counts_them_and_warns(tmp_path):
    sets = {"train": TRAINING, "unlike": [("e.png", "Where?")], "test": ASKED}
    for name, rows in sets.items():
        lines = [json.dumps(example(i, name, *row)) + "\n" for i, row in enumerate(rows)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    roles = [["train", "training"], ["unlike", "training"], ["test", "out"]]
    done = subprocess.run(
        [
            *(sys.executable, "scripts/table1.py", "--output", tmp_path / "table1.csv"),
            *("--settings", json.dumps({"roles": roles, "steps": 1, "prompts_per_step": 1})),
            *("--examples", *(tmp_path / f"{name}.jsonl" for name in sets)),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    text = "test: 2 of its 4 questions are training rows of train too, image and all: a better score need not be a better skill"
    assert (done.returncode, done.stderr) == (0, f"warning: {text}\n")
    table = pd.read_csv(tmp_path / "table1.csv").set_index("dataset")
    assert (
        table.loc["test", "in_training"] == 2 and table.loc[["train", "unlike"], "in_training"].isna().all()
    )
    assert [warning.text for warning in warned([tmp_path / "table1.csv"])] == [text]
