"""Which checkpoint a training resumes from: the newest that is as it was written."""

from pathlib import Path

import pytest
import torch

from modomodo.error_hints import hint_of
from modomodo.training.resume import COMPLETE, complete_checkpoint, keep_newest_complete


def add_checkpoint(folder, step, complete=True):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "nested").mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"moments of step %d" % step)
    (checkpoint / "nested" / "rng_state.pth").write_bytes(b"random")
    if complete:
        complete_checkpoint(checkpoint)
    return checkpoint


def test_a_complete_one_may_be_read_by_those_who_read_other_files(tmp_path):
    checkpoint = add_checkpoint(tmp_path, 3, complete=False)
    (checkpoint / "model.safetensors").touch(0o600)
    complete_checkpoint(checkpoint)
    modes = {name: (checkpoint / name).stat().st_mode for name in ("model.safetensors", "optimizer.pt")}
    assert modes["model.safetensors"] == modes["optimizer.pt"]


def test_no_save_at_all(tmp_path):
    assert keep_newest_complete(tmp_path / "nowhere") is None
    assert keep_newest_complete(tmp_path) is None


def test_the_newest_is_by_number_and_the_others_go(tmp_path, capsys):
    for step in (5, 100, 20):
        add_checkpoint(tmp_path, step)
    assert keep_newest_complete(tmp_path) == tmp_path / "checkpoint-100"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-100"]
    assert capsys.readouterr().err == ""


def test_one_that_was_cut_short_is_passed_over_in_silence(tmp_path, capsys):
    add_checkpoint(tmp_path, 3)
    add_checkpoint(tmp_path, 6, complete=False)
    assert keep_newest_complete(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / "checkpoint-6").exists(), "it would lie in the way of the checkpoint to come"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda checkpoint: (checkpoint / "optimizer.pt").write_bytes(b"moments of step 9"),
            "optimizer.pt is damaged",
        ),
        (lambda checkpoint: (checkpoint / "optimizer.pt").write_bytes(b"moments"), "optimizer.pt is damaged"),
        (
            lambda checkpoint: (checkpoint / "nested" / "rng_state.pth").unlink(),
            "nested/rng_state.pth is gone",
        ),
        (lambda checkpoint: (checkpoint / COMPLETE).write_text(""), "complete cannot be read"),
    ],
)
def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path, capsys, damage, message):
    add_checkpoint(tmp_path, 3)
    damage(add_checkpoint(tmp_path, 6))
    assert keep_newest_complete(tmp_path) == tmp_path / "checkpoint-3"
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"warning: {tmp_path}/checkpoint-6: {message}: it is not resumed from"


def test_when_all_are_damaged_training_starts_anew(tmp_path, capsys):
    (add_checkpoint(tmp_path, 3) / "optimizer.pt").unlink()
    assert keep_newest_complete(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert "checkpoint-3: optimizer.pt is gone" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_still_told_by_torch_save_in_the_words_that_the_hint_looks_for():
    with pytest.raises(RuntimeError) as raised:
        torch.save({"moments": torch.zeros(100_000)}, "/dev/full")
    assert "the disk is full" in str(hint_of(str(raised.value)))
