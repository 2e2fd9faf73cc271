"""The prediction row."""

import pytest

from modomodo.errors import InputError
from modomodo.files import write_jsonl
from modomodo.predictions import Prediction, read_predictions

ROW = {"id": "1", "completion": "<answer>3</answer>", "answer": "3", "finish_reason": "stop", "tokens": 5}


def test_predictions_survive_writing(tmp_path):
    rows = [ROW, {**ROW, "id": "2", "completion": "3", "answer": None, "finish_reason": "length"}]
    write_jsonl(tmp_path / "a.jsonl", [Prediction(**row).model_dump() for row in rows])
    assert [prediction.model_dump() for prediction in read_predictions(tmp_path / "a.jsonl")] == rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": -1}, "tokens: "),
        ({"tokens": 1.5}, "tokens: "),
        ({"completion": None}, "completion: "),
        ({"id": 7}, "id: "),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_damaged_row_is_told_with_file_line_and_field(tmp_path, change, message):
    write_jsonl(tmp_path / "a.jsonl", [ROW, {**ROW, **change}])
    with pytest.raises(InputError, match=rf"a\.jsonl:2: {message}"):
        list(read_predictions(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("field", list(ROW))
def test_a_missing_field_is_told(tmp_path, field):
    write_jsonl(tmp_path / "a.jsonl", [{key: value for key, value in ROW.items() if key != field}])
    with pytest.raises(InputError, match=rf"a\.jsonl:1: {field}: "):
        list(read_predictions(tmp_path / "a.jsonl"))
