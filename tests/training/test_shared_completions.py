"""`training.trl: {num_iterations: 2}`: two steps learn from the same completions, and a resumed run does too."""

import pytest
import tiny_runs

from modomodo.errors import InputError, Interrupted
from modomodo.files import read_jsonl
from modomodo.mixtures.stream import check_enough, draw_stream

TWICE = {"trl": {"num_iterations": 2}}


def test_a_stream_lasts_twice_as_many_steps() -> None:
    ids = {"a": [str(i) for i in range(7)]}
    stream = draw_stream({"a": 1.0}, ids, steps=4, prompts_per_step=2, seed=0, iterations=2)
    assert (stream.steps, [draw.step for draw in stream.draws]) == (4, [1, 1, 3, 3])
    assert draw_stream({"a": 1.0}, ids, 40, 2, seed=0, iterations=2).steps == 6
    check_enough({"a": 4}, 4, 2, iterations=2)
    with pytest.raises(InputError, match="4 steps need 4 prompts.*lower the steps to 2"):
        check_enough({"a": 3}, 4, 2, iterations=2)


@pytest.mark.slow
def test_a_run_that_is_stopped_between_the_two_goes_on_to_the_same_bytes(tmp_path) -> None:
    base = tiny_runs.make_base(tmp_path)
    shown = tiny_runs.run(base, tmp_path / "whole", **TWICE)
    assert [[text.partition(":")[0] for text in texts] for texts in shown] == [
        ["q0"] * 4 + ["q1"] * 4,
        ["q2"] * 4 + ["q3"] * 4,
    ]
    log = [row for _, row in read_jsonl(tmp_path / "whole/log.jsonl")]
    assert [row["step"] for row in log] == [1, 2, 3, 4]
    assert ["reward" in row for row in log] == [True, False, True, False]
    with pytest.raises(Interrupted, match="saved at step 2 of 4"):
        tiny_runs.run(base, tmp_path / "stopped", signal_at=1, **TWICE)
    tiny_runs.run(base, tmp_path / "stopped", **TWICE)
    assert tiny_runs.digests(tmp_path / "stopped") == tiny_runs.digests(tmp_path / "whole")
