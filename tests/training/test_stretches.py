"""A run that is trained in parts, as in a race, and killed in each of them, ends as one trained straight through."""

from pathlib import Path

import pytest
import tiny_runs

from modomodo.errors import Interrupted
from modomodo.training.resume import complete_checkpoint
from modomodo.training.run_folder import (
    checkpoints_left,
    close_run,
    link_shared_checkpoints,
    open_run,
    trained_to,
)

RUNGS = {"steps": 6, "scored_steps": [2, 4, 6]}
PARTS = [(0, 2), (2, 4), (4, None)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def straight(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    tiny_runs.run(base, folder, **RUNGS)
    return folder


def test_parts_end_with_the_bytes_of_the_whole(base: Path, straight: Path, tmp_path: Path) -> None:
    for since, until in PARTS:
        tiny_runs.run(base, tmp_path, since=since, until=until, **RUNGS)
        assert checkpoints_left(tmp_path, {until or 6: until or 6}) == []
    assert tiny_runs.digests(tmp_path) == tiny_runs.digests(straight)


def test_each_part_is_only_trained_once(base: Path, straight: Path, tmp_path: Path) -> None:
    shown = [tiny_runs.run(base, tmp_path, since=since, until=until, **RUNGS) for since, until in PARTS]
    assert [len(calls) for calls in shown] == [2, 2, 2]


@pytest.mark.parametrize("killed", range(3))
def test_killed_in_any_part_it_ends_with_the_same_bytes(
    base: Path, straight: Path, tmp_path: Path, killed: int
) -> None:
    for number, (since, until) in enumerate(PARTS):
        if number == killed:
            with pytest.raises(Interrupted, match=f"saved at step {since + 1} of {until or 6}"):
                tiny_runs.run(base, tmp_path, since=since, until=until, signal_at=1, **RUNGS)
        tiny_runs.run(base, tmp_path, since=since, until=until, **RUNGS)
    assert tiny_runs.digests(tmp_path) == tiny_runs.digests(straight)


def test_a_part_whose_checkpoint_is_lost_is_trained_again(base: Path, straight: Path, tmp_path: Path) -> None:
    for since, until in PARTS[:2]:
        tiny_runs.run(base, tmp_path, since=since, until=until, **RUNGS)
    (tmp_path / "checkpoint-2/model.safetensors").unlink()
    for since, until in PARTS:
        tiny_runs.run(base, tmp_path, since=since, until=until, **RUNGS)
    assert tiny_runs.digests(tmp_path) == tiny_runs.digests(straight)


def finished(folder: Path, until: int | None, steps: list[int]) -> dict:
    """A part that is finished, in words."""
    kept = {str(step): {"step": step, "path": f"checkpoint-{step}", "weights": "x"} for step in steps}
    run = {"checkpoints": kept}
    for step in steps:
        (folder / f"checkpoint-{step}").mkdir(exist_ok=True)
        (folder / f"checkpoint-{step}/model.safetensors").write_bytes(b"weights")
    close_run(folder, run, f"finished-{until}.json" if until else "finished.json")
    return run


def test_a_finished_part_is_returned_and_the_next_one_is_not(tmp_path: Path) -> None:
    assert open_run(tmp_path, "one", [2]) is None
    for step in (1, 2):
        (tmp_path / f"trainer/checkpoint-{step}").mkdir(parents=True)
        complete_checkpoint(tmp_path / f"trainer/checkpoint-{step}")
    run = finished(tmp_path, 2, [2])
    assert [path.name for path in (tmp_path / "trainer").iterdir()] == ["checkpoint-2"], (
        "it may go on, from there"
    )
    assert open_run(tmp_path, "one", [2]) == run
    assert open_run(tmp_path, "one", [4]) is None
    finished(tmp_path, None, [4])
    assert not (tmp_path / "trainer").exists()
    assert open_run(tmp_path, "one", [2]) == run


def test_a_rung_between_is_read_off_a_run_that_went_further(tmp_path: Path) -> None:
    """The study gets a rung at 4: what went from 2 to 6 has been there."""
    open_run(tmp_path, "one", [2])
    finished(tmp_path, 2, [2])
    finished(tmp_path, None, [4, 6])
    found = open_run(tmp_path, "one", [4])
    assert found is not None and list(found["checkpoints"]) == ["4"]


def test_a_stream_that_ended_before_has_nothing_left_to_train(tmp_path: Path) -> None:
    finished(tmp_path, 2, [2])
    ended = {2: 2, 4: 2}
    assert checkpoints_left(tmp_path, ended) == [] and trained_to(tmp_path) == 2
    link_shared_checkpoints(tmp_path, ended)
    assert (tmp_path / "checkpoint-4").resolve() == tmp_path / "checkpoint-2"
