"""Rows of predictions, the list of them, and which of them are cached."""

import pytest

from modomodo.errors import InputError
from modomodo.evaluation.predictions import (
    Checkpoint,
    Prediction,
    RunPredictions,
    list_predictions,
    prediction_key,
    read_predictions,
    read_run_predictions,
    runs_without_weights,
)
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
def test_a_damaged_row_is_reported_with_file_line_and_field(tmp_path, change, message):
    write_jsonl(tmp_path / "a.jsonl", [ROW, {**ROW, **change}])
    with pytest.raises(InputError, match=rf"a\.jsonl:2: {message}"):
        list(read_predictions(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("field", list(ROW))
def test_a_missing_field_is_reported(tmp_path, field):
    write_jsonl(tmp_path / "a.jsonl", [{key: value for key, value in ROW.items() if key != field}])
    with pytest.raises(InputError, match=rf"a\.jsonl:1: {field}: "):
        list(read_predictions(tmp_path / "a.jsonl"))


def test_runs_that_cannot_answer_a_new_benchmark_any_more(tmp_path, small_study):
    settings = PredictSettings.of(small_study)
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
        (answers / "chart.key").write_text(prediction_key(settings, "chart", "w", questions))
    remove_weights(tmp_path / "runs/a/42", described, keep=[])
    runs = [("a", 42), ("b", 42), ("not yet trained", 42)]
    assert runs_without_weights(tmp_path, runs, ["chart"], settings) == []
    assert runs_without_weights(tmp_path, runs, ["chart", "math"], settings) == [("a", 42, ["math"])]
    (tmp_path / "examples/chart.jsonl").write_text("{ }\n")
    assert runs_without_weights(tmp_path, runs, ["chart"], settings) == [("a", 42, ["chart"])]
    # A place of a budget, whose run.json is that of the run that it repeats.
    write_json(tmp_path / "runs/next-001/42/run.json", {"mixture": "a", "seed": 42, **described})
    found = runs_without_weights(tmp_path, [("next-001", 42)], ["chart"], settings)
    assert found == [("a", 42, ["chart"]), ("next-001", 42, [])]


@pytest.fixture
def files(tmp_path, small_study):
    """The predictions of two checkpoints on two benchmarks; the second is past the end of the stream."""
    checkpoints = [Checkpoint(step, tmp_path / f"checkpoint-{step}", "w") for step in (7, 9)]
    settings = PredictSettings.of(small_study)
    return list_predictions(checkpoints, {"chart": "a", "math": "b"}, settings, tmp_path)


def test_every_checkpoint_answers_every_benchmark(files, tmp_path):
    assert [file.name for file in files] == ["7/chart", "7/math", "9/chart", "9/math"]
    assert files[0].path == tmp_path / "7/chart.jsonl"
    assert files[0].content == files[2].content and files[0].key == files[2].key
    assert len({file.key for file in files}) == 2


def test_predictions_are_cached_once_they_are_written_with_their_key(files):
    file = files[0]
    assert not file.is_cached()
    file.write([Prediction(**ROW)])
    assert file.is_cached() and not files[1].is_cached()
    assert [prediction.model_dump() for prediction in read_predictions(file.path)] == [ROW]
    file.path.with_suffix(".key").write_text("of other weights\n")
    assert not file.is_cached()


def test_predictions_cut_off_while_they_are_written_are_not_cached(files):
    file = files[0]
    file.write([Prediction(**ROW)])

    def killed():
        yield Prediction(**ROW)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.write(killed())
    assert not file.is_cached()


def test_the_list_of_predictions_names_mixture_and_seed(files, tmp_path):
    files[0].write([Prediction(**ROW)])
    listed = RunPredictions(
        mixture="all", seed=42, settings={}, predictions={7: {"chart": files[0].entry(tmp_path)}}
    )
    write_json(tmp_path / "predictions.json", listed.model_dump(mode="json"))
    assert read_run_predictions(tmp_path / "predictions.json") == listed
    write_json(tmp_path / "predictions.json", listed.model_dump(mode="json", exclude={"mixture"}))
    with pytest.raises(
        InputError, match=r"predictions\.json: mixture: missing.*: delete it and predict again"
    ):
        read_run_predictions(tmp_path / "predictions.json")
