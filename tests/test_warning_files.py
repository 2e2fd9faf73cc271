"""Warnings that lie beside results: said once in the log, and read from there by report and status."""

from modomodo.files import write_json
from modomodo.warning_files import warn, warned, warnings_at


def test_warnings_lie_beside_their_result(tmp_path, capsys):
    run = tmp_path / "runs/all/42/run.json"
    scores = tmp_path / "scores/all/42.json"
    warn(run, ["first"])
    warn(run, ["second"], said=["first"])
    warn(scores, ["third"])
    assert capsys.readouterr().err == "warning: first\nwarning: second\nwarning: third\n"
    assert warnings_at(run) == tmp_path / "runs/all/42/warnings.json"
    assert warnings_at(scores) == tmp_path / "scores/all/42/warnings.json"
    assert [str(warning) for warning in warned([run, scores])] == [
        "first (all/42)",
        "second (all/42)",
        "third (all/42)",
    ]
    warn(run, [])
    assert [warning.text for warning in warned([run, scores, tmp_path / "table1.csv"])] == ["third"]


def test_of_a_run_in_a_race_the_last_warnings_count_under_its_own_name(tmp_path):
    start, place = (tmp_path / f"scores/{name}/42.json" for name in ("race-001", "race@9-01"))
    write_json(place, {"mixture": "race-001", "seed": 42})
    warn(start, ["at step 2"])
    missing = tmp_path / "scores/race@9-02/42.json"
    others = [tmp_path / f"{name}/race@9-01" for name in ("mixtures", "streams", "predictions")]
    others = [*(folder / "42.jsonl" for folder in others), *(folder / "42.json" for folder in others)]
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("{}\n{}\n")
    assert warned([start, place, missing, *others]) == [], "nothing else is read"
    warn(place, ["at step 9"])
    assert [str(warning) for warning in warned([start, place])] == ["at step 9 (race-001/42)"]


def test_a_warning_about_many_results_is_shown_once(tmp_path):
    runs = [tmp_path / f"runs/mixture/{seed}/run.json" for seed in range(5)]
    for run in runs:
        warn(run, ["nothing was learnt"])
    assert [str(warning) for warning in warned(runs)] == [
        "nothing was learnt (mixture/0, mixture/1, mixture/2 and 2 more)"
    ]
