"""Whose work lies in a run's folder: handed back, resumed or cleared away."""

import errno
import hashlib
import os
import threading
import time

import pytest

from modomodo.errors import InputError
from modomodo.files import write_json
from modomodo.training.run_folder import (
    alone_in,
    close_run,
    open_run,
    remove_weights,
    weights_digest,
    weights_removed,
)


def add_checkpoint(folder, step, weights=b"weights"):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(weights)
    return {"path": path.name, "step": step}


@pytest.fixture
def finished(tmp_path):
    """A finished run under the key `one`, as the training script leaves it."""
    folder = tmp_path / "all" / "42"
    assert open_run(folder, "one") is None
    (folder / "trainer").mkdir()
    run = {"checkpoints": {"2": add_checkpoint(folder, 2), "9": add_checkpoint(folder, 9)}, "seed": 42}
    close_run(folder, run)
    write_json(folder / "run.json", run)
    return folder, run


def test_a_job_waits_for_another_one_that_works_on_the_run(tmp_path, capsys):
    folder = tmp_path / "all/42"
    order = []

    def wait() -> None:
        with alone_in(folder, poll=0.01):
            order.append("second")

    with alone_in(folder):
        second = threading.Thread(target=wait)
        second.start()
        while "works on" not in (said := capsys.readouterr().err):
            time.sleep(0.01)
        assert said.startswith(f"waiting: process {os.getpid()} on ")
        open_run(folder, "one")
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]
    assert [path.name for path in folder.parent.iterdir()] == ["42"], "no file stays"


def test_a_killed_job_and_a_file_system_without_locks_keep_nobody_waiting(tmp_path, monkeypatch):
    folder = tmp_path / "all/42"
    folder.mkdir(parents=True)
    (tmp_path / "all/.42.working").write_text("process 1 on a node that is gone")
    with alone_in(folder):
        pass

    def unsupported(descriptor, blocking):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("modomodo.training.run_folder.lock_descriptor", unsupported)
    with alone_in(folder), alone_in(folder):
        pass


def test_a_new_folder_is_made_with_its_key(tmp_path):
    folder = tmp_path / "all" / "42"
    assert open_run(folder, "one") is None
    assert [path.name for path in folder.iterdir()] == ["fingerprint"]
    assert (folder / "fingerprint").read_text() == "one\n"


def test_a_finished_run_of_the_same_key_is_handed_back(finished):
    folder, run = finished
    assert open_run(folder, "one") == run
    assert not (folder / "trainer").exists(), "resume checkpoints of a finished run are of no use"


def test_a_run_that_was_killed_while_it_closed_leaves_no_resume_checkpoints(finished):
    folder, run = finished
    (folder / "trainer/checkpoint-9").mkdir(parents=True)
    assert open_run(folder, "one") == run
    assert not (folder / "trainer").exists()


def test_it_is_handed_back_after_snakemake_deleted_run_json(finished):
    folder, run = finished
    (folder / "run.json").unlink()
    assert open_run(folder, "one") == run
    assert (folder / "checkpoint-2" / "model.safetensors").exists()


def test_work_under_another_key_is_cleared_away(finished):
    folder, _ = finished
    assert open_run(folder, "two") is None
    assert [path.name for path in folder.iterdir()] == ["fingerprint"]
    assert (folder / "fingerprint").read_text() == "two\n"
    assert open_run(folder, "one") is None, "the first key's work is gone"


def test_a_folder_without_a_key_is_cleared_away(tmp_path):
    folder = tmp_path / "42"
    folder.mkdir()
    add_checkpoint(folder, 2)
    assert open_run(folder, "one") is None
    assert [path.name for path in folder.iterdir()] == ["fingerprint"]


def test_unfinished_work_of_the_same_key_is_kept(tmp_path):
    folder = tmp_path / "42"
    open_run(folder, "one")
    add_checkpoint(folder, 2)
    checkpoint = folder / "trainer" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"state")
    assert open_run(folder, "one") is None
    assert (checkpoint / "optimizer.pt").read_bytes() == b"state"
    assert (folder / "checkpoint-2" / "model.safetensors").exists()


@pytest.mark.parametrize("lost", ["folder", "weights"])
def test_a_finished_run_that_lost_a_checkpoint_is_not_handed_back(finished, lost):
    folder, _ = finished
    (folder / "checkpoint-9" / "model.safetensors").unlink()
    if lost == "folder":
        (folder / "checkpoint-9").rmdir()
    assert open_run(folder, "one") is None
    assert (folder / "checkpoint-2" / "model.safetensors").exists(), "same key: what is there stays"


def test_a_shared_checkpoint_counts_through_its_link(finished):
    folder, run = finished
    (folder / "checkpoint-9" / "model.safetensors").unlink()
    (folder / "checkpoint-9").rmdir()
    (folder / "checkpoint-9").symlink_to("checkpoint-2", target_is_directory=True)
    assert open_run(folder, "one") == run


def test_a_damaged_description_is_told(finished):
    folder, _ = finished
    (folder / "finished.json").write_text("{")
    with pytest.raises(InputError, match=r"finished\.json: not valid JSON"):
        open_run(folder, "one")


def test_the_weights_digest_is_of_names_and_bytes_in_order(tmp_path):
    for name, data in (("b.safetensors", b"2"), ("a.safetensors", b"1"), ("config.json", b"{}")):
        (tmp_path / name).write_bytes(data)
    lines = "".join(
        f"{name} {hashlib.sha256(data).hexdigest()}\n"
        for name, data in (("a.safetensors", b"1"), ("b.safetensors", b"2"))
    )
    expected = hashlib.sha256(lines.encode()).hexdigest()
    assert weights_digest(tmp_path) == expected
    (tmp_path / "config.json").write_bytes(b"{ }")
    assert weights_digest(tmp_path) == expected
    (tmp_path / "b.safetensors").write_bytes(b"3")
    assert weights_digest(tmp_path) != expected


def test_a_folder_without_weights_has_no_digest(tmp_path):
    with pytest.raises(InputError, match=r"holds no \*\.safetensors"):
        weights_digest(tmp_path)


# --- weights that are let go --------------------------------------------------------------------------------


def test_weights_that_no_kept_mark_needs_go_and_the_run_stays_finished(finished):
    folder, run = finished
    run["checkpoints"]["2"]["weights"] = run["checkpoints"]["9"]["weights"] = "digest"
    assert remove_weights(folder, run, keep=["9"]) == ["2"]
    assert not list((folder / "checkpoint-2").glob("*.safetensors"))
    assert weights_removed(folder / "checkpoint-2") and not weights_removed(folder / "checkpoint-9")
    assert (folder / "checkpoint-9" / "model.safetensors").exists()
    assert open_run(folder, "one") is not None, "it would be trained again"
    assert remove_weights(folder, run, keep=["9"]) == ["2"], "again, as after a kill"


def test_a_checkpoint_that_marks_share_stays_for_any_of_them(finished):
    folder, run = finished
    (folder / "checkpoint-9" / "model.safetensors").unlink()
    (folder / "checkpoint-9").rmdir()
    (folder / "checkpoint-9").symlink_to("checkpoint-2", target_is_directory=True)
    run["checkpoints"]["2"]["weights"] = run["checkpoints"]["9"]["weights"] = "digest"
    assert remove_weights(folder, run, keep=["9"]) == []
    assert (folder / "checkpoint-2" / "model.safetensors").exists()
    assert remove_weights(folder, run, keep=[]) == ["2", "9"]
