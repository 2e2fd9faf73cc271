"""The prediction row."""

import pytest

from modomodo.errors import InputError
from modomodo.evaluation.predictions import Prediction, prediction_key, read_predictions, runs_without_weights
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import file_digest, write_json, write_jsonl
from modomodo.training.run_folder import remove_weights

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


def test_runs_that_cannot_answer_a_new_benchmark_any_more(tmp_path, small_study):
    step = PredictSettings.of(small_study)
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/chart.jsonl").write_text("{}\n")
    questions = file_digest(tmp_path / "examples/chart.jsonl")
    for mixture in ("a", "b"):
        run, answers = tmp_path / "runs" / mixture / "42", tmp_path / "predictions" / mixture / "42/9"
        (run / "checkpoint-9").mkdir(parents=True)
        answers.mkdir(parents=True)
        (run / "checkpoint-9/model.safetensors").touch()
        described = {"checkpoints": {"9": {"path": "checkpoint-9", "weights": "w"}}}
        write_json(run / "finished.json", described)
        (answers / "chart.jsonl").touch()
        (answers / "chart.key").write_text(prediction_key(step, "chart", "w", questions))
    remove_weights(tmp_path / "runs/a/42", described, keep=[])
    runs = [("a", 42), ("b", 42), ("not yet trained", 42)]
    assert runs_without_weights(tmp_path, runs, ["chart"], step) == []
    assert runs_without_weights(tmp_path, runs, ["chart", "math"], step) == [("a", 42, ["math"])]
    (tmp_path / "examples/chart.jsonl").write_text("{ }\n")
    assert runs_without_weights(tmp_path, runs, ["chart"], step) == [("a", 42, ["chart"])]
