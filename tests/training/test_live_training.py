"""Runs whose prompts are decided while they train: replaced where they teach nothing, chosen by what was learnt."""

import dataclasses
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_runs

from modomodo.config.schema import Training
from modomodo.data.examples import Example
from modomodo.errors import Interrupted
from modomodo.files import read_jsonl
from modomodo.mixtures.online import OnlineOptions, read_used, trained_on
from modomodo.training import trainer
from modomodo.training.job import TrainJob, decided_stream, live_stream, with_known_end
from modomodo.training.run_folder import open_run
from modomodo.training.settings import TrainSettings

STEPS = 4
FLAT = {"flat"}  # domains whose answers all earn the same


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return tiny_runs.make_base(tmp_path_factory.mktemp("base"))


def examples(domain: str, count: int) -> list[Example]:
    return [
        Example(
            id=f"{domain}{number}",
            dataset=domain,
            image=f"{number % 8}.png",
            question="How high is the red bar?",
            answer="3",
            answer_type="number",
        )
        for number in range(count)
    ]


def run(
    base: Path,
    folder: Path,
    rows: list[Example],
    *,
    spare: Sequence[Example] = (),
    last_step: int = STEPS,
    online: Mapping[str, Any] | None = None,
    live: bool = True,
    flat: Callable[[str], bool] = lambda name: name.startswith("flat"),
    signal_at: int = 0,
    since: int = 0,
    until: int | None = None,
    **changes: Any,
) -> tuple[list[list[str]], TrainJob]:
    """Train on these rows; the ids that the reward was asked about, call by call, and the job.

    `since` and `until`: the part of the run that is trained, as in a race.
    """
    settings = Training(**tiny_runs.QUICK | changes)
    asked: list[list[str]] = []

    def letters(prompts: list, completions: list, id: list[str], **columns: Any) -> list[float]:
        asked.append(list(id))
        if len(asked) == signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        texts = [completion[-1]["content"] for completion in completions]
        return [0.5 if flat(name) else len(text) / 10 for name, text in zip(id, texts, strict=True)]

    placed, kept = ([(example, base.parent) for example in some] for some in (rows, spare))
    rewards = {example.dataset: ["letters"] for example in [*rows, *spare]}
    job = TrainJob(
        base=base,
        rows=placed,
        folder=folder,
        settings=TrainSettings(training=settings, dtype="float32", rewards=rewards),
        seed=7,
        last_step=min(last_step, until or last_step),
        checkpoint_steps={
            step: min(step, last_step) for step in settings.scored_steps if step <= (until or step)
        },
        since=since,
        goes_on=until is not None,
    )
    if live:
        drawn = None if online else placed
        stream = live_stream(settings, [*placed, *kept], 7, drawn, dict(online) if online else None)
        job = dataclasses.replace(job, spare=kept, live=stream)
    open_run(folder, "a fingerprint")
    job = with_known_end(job)
    tiny_runs._with_reward("letters", letters, lambda: trainer.train(job))
    return asked, job


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(folder / "log.jsonl")]


def stream_of(job: TrainJob) -> dict[str, Any]:
    assert job.live is not None
    return decided_stream(job, {"requested": dict.fromkeys(job.live.orders, 0.5), "exhausted": None})


TRIES = {"dynamic_sampling": {"max_tries": 3}}
DRAWN = [row for pair in zip(examples("bars", STEPS), examples("flat", STEPS), strict=True) for row in pair]


def test_without_a_prompt_to_replace_a_run_is_what_it_was(base, tmp_path) -> None:
    spare = examples("bars", 12)[8:]
    run(base, tmp_path / "plain", examples("bars", 8), live=False, flat=lambda name: False)
    run(base, tmp_path / "live", examples("bars", 8), spare=spare, flat=lambda name: False, **TRIES)
    plain, live = (tiny_runs.digests(tmp_path / name) for name in ("plain", "live"))
    assert live.pop("log.jsonl") != plain.pop("log.jsonl") and live == plain
    rows = log_of(tmp_path / "live")
    assert [row.pop("prompts_generated") for row in rows] == [2.0] * STEPS
    assert rows == log_of(tmp_path / "plain")


def test_prompts_that_teach_nothing_are_replaced_by_the_next_of_their_domain(base, tmp_path) -> None:
    spare = examples("bars", 9)[4:] + examples("flat", 12)[4:]
    _, job = run(
        base,
        tmp_path / "run",
        DRAWN,
        spare=spare,
        flat=lambda name: name in ("flat0", "flat1", "flat2"),
        **TRIES,
    )
    used = read_used(tmp_path / "run")
    assert [(row.position, row.attempt, row.id) for row in used[:5]] == [
        (0, 0, "bars0"),
        (1, 0, "flat0"),
        (1, 1, "flat1"),
        (1, 2, "flat2"),
        (1, 3, "flat3"),
    ]
    assert [row.id for row in trained_on(used)] == [
        "bars0", "flat3", "bars1", "flat4", "bars2", "flat5", "bars3", "flat6"
    ]  # fmt: skip
    rows = log_of(tmp_path / "run")
    assert [row["prompts_generated"] for row in rows] == [5.0, 2.0, 2.0, 2.0]
    assert rows[-1]["effective/flat"] == rows[-1]["realised/flat"] == 0.5
    assert rows[0]["num_tokens"] > 2 * (
        rows[1]["num_tokens"] - rows[0]["num_tokens"]
    )  # replaced ones cost too
    found = stream_of(job)
    assert found["prompts_generated"] == 11 and found["prompts"] == 8
    assert found["realised"] == {"bars": 0.5, "flat": 0.5} and found["exhausted"] is None


def test_tries_are_bounded_and_end_with_the_examples_of_the_domain(base, tmp_path) -> None:
    spare = examples("flat", 9)[4:]
    asked, job = run(base, tmp_path / "run", DRAWN, spare=spare, dynamic_sampling={"max_tries": 2})
    used = read_used(tmp_path / "run")
    # 9 examples of flat: three a step, and after the third step none is left.
    assert [row.attempt for row in used if row.domain == "flat"] == [0, 1, 2] * 3
    found = stream_of(job)
    assert (found["steps"], found["exhausted"]) == (3, {"domain": "flat", "step": 3})
    assert found["checkpoint_steps"] == {"2": 2, "4": 3}
    assert (tmp_path / "run/checkpoint-4/model.safetensors").is_file()
    assert len(log_of(tmp_path / "run")) == 3
    assert len(asked) == 3 * (3 + 1)  # of each try all rewards, and of what is trained on


@pytest.mark.parametrize("signal_at", [2, 6])
def test_a_run_that_replaces_prompts_goes_on_to_the_same_bytes(base, tmp_path, signal_at) -> None:
    spare = examples("bars", 9)[4:] + examples("flat", 20)[4:]
    given = {"spare": spare, "flat": lambda name: name in ("flat0", "flat3", "flat4"), **TRIES}
    run(base, tmp_path / "whole", DRAWN, **given)
    with pytest.raises(Interrupted):
        run(base, tmp_path / "stopped", DRAWN, signal_at=signal_at, **given)
    run(base, tmp_path / "stopped", DRAWN, **given)
    assert same(tmp_path / "stopped", tmp_path / "whole")


def same(one: Path, other: Path) -> bool:
    digests = [
        {**tiny_runs.digests(folder), "rows": folder.joinpath("rows.jsonl").read_text()}
        for folder in (one, other)
    ]
    return digests[0] == digests[1]


# --- in parts, as in a race -------------------------------------------------------------------------------------

PARTS = [(0, 2), (2, 4), (4, None)]
RUNGS = {"steps": 6, "last_step": 6, "scored_steps": [2, 4, 6], **TRIES}


def of_rungs(count: int, **given: Any) -> dict[str, Any]:
    """A stream of six steps of one bars and one flat, of which there are `count` in all; with what `run` is given."""
    rows = [row for pair in zip(examples("bars", 6), examples("flat", 6), strict=True) for row in pair]
    return {"rows": rows, "spare": examples("bars", 9)[6:] + examples("flat", count)[6:], **given, **RUNGS}


def test_killed_in_every_part_a_run_that_replaces_prompts_ends_as_the_whole(base, tmp_path) -> None:
    # A prompt is replaced in each part.
    given = of_rungs(20, flat=lambda name: name in ("flat0", "flat3", "flat7", "flat8"))
    _, job = run(base, tmp_path / "whole", **given)
    whole, log = stream_of(job), log_of(tmp_path / "whole")
    used = read_used(tmp_path / "whole")
    assert whole["prompts_generated"] == 16 and {row.step for row in used if row.attempt} == {1, 3, 6}
    for since, until in PARTS:
        with pytest.raises(Interrupted, match=f"saved at step {since + 1} of {until or 6}"):
            run(base, tmp_path / "parts", since=since, until=until, signal_at=1, **given)
        _, job = run(base, tmp_path / "parts", since=since, until=until, **given)
        end = until or 6
        assert log_of(tmp_path / "parts") == log[:end]
        assert read_used(tmp_path / "parts") == (so_far := [row for row in used if row.step <= end])
        found = stream_of(job)
        assert (found["steps"], found["prompts"], found["exhausted"]) == (end, 2 * end, None)
        assert found["prompts_generated"] == len(so_far)
        assert found["checkpoint_steps"] == {str(step): step for step in (2, 4, 6) if step <= end}
    assert same(tmp_path / "parts", tmp_path / "whole") and found == whole


def test_a_part_is_described_as_it_was_when_the_run_has_gone_further(base, tmp_path) -> None:
    given = of_rungs(20, flat=lambda name: name in ("flat0", "flat3", "flat7", "flat8"))
    _, job = run(base, tmp_path, until=2, **given)
    early = stream_of(job)
    run(base, tmp_path, since=2, **given)
    assert stream_of(job) == early
    # The race gets a rung between.
    asked, job = run(base, tmp_path, since=2, until=4, **given)
    assert asked == [] and (found := stream_of(job))["steps"] == 4
    assert found["prompts_generated"] == early["prompts_generated"] + 5


def test_a_stream_that_runs_dry_in_a_part_ends_the_run_there(base, tmp_path) -> None:
    # Three tries of three steps, of which the last has one fewer: after it no flat is left.
    given = of_rungs(11)
    run(base, tmp_path / "whole", **given)
    shown = []
    for since, until in PARTS:
        asked, job = run(base, tmp_path / "parts", since=since, until=until, **given)
        shown.append(len(asked))
    # Step by step four tries and what is trained on, and three of the last.
    assert shown == [10, 4, 0] and same(tmp_path / "parts", tmp_path / "whole")
    found = stream_of(job)
    assert (found["steps"], found["exhausted"]) == (3, {"domain": "flat", "step": 3})
    assert (job.last_step, job.checkpoint_steps) == (3, {2: 2, 4: 3, 6: 3}) and not job.left
    # A checkpoint that is lost is trained again, here from the start: of the saves only the last had been kept.
    (tmp_path / "parts/checkpoint-4/model.safetensors").unlink()
    asked, _ = run(base, tmp_path / "parts", since=4, **given)
    assert len(asked) == 14 and same(tmp_path / "parts", tmp_path / "whole")


MANY = examples("bars", 12) + examples("flat", 12)


@pytest.mark.parametrize("rule", ["dump", "learnability", "thompson"])
def test_an_online_run_goes_on_to_the_same_bytes(base, tmp_path, rule) -> None:
    online = OnlineOptions(rule=rule).changed()
    _, job = run(base, tmp_path / "whole", MANY, online=online)
    with pytest.raises(Interrupted, match="saved at step 2 of 4"):
        run(base, tmp_path / "stopped", MANY, online=online, signal_at=2)
    run(base, tmp_path / "stopped", MANY, online=online)
    assert same(tmp_path / "stopped", tmp_path / "whole")
    used = read_used(tmp_path / "whole")
    assert [row.step for row in used] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert stream_of(job)["prompts"] == 8
    # What became of each prompt is what the log says of its domain.
    for row in log_of(tmp_path / "whole"):
        of_step = [one for one in used if one.step == row["step"]]
        for domain in {one.domain for one in of_step}:
            flat = [not one.taught for one in of_step if one.domain == domain]
            assert row[f"frac_reward_zero_std/{domain}"] == sum(flat) / len(flat)


def test_an_online_run_replaces_prompts_too(base, tmp_path) -> None:
    online = {"rule": "learnability"}
    run(base, tmp_path / "run", MANY, online=online, dynamic_sampling={"max_tries": 1})
    used = read_used(tmp_path / "run")
    assert all(row.attempt == 1 for row in trained_on(used) if row.domain == "flat")
    assert all(row.attempt == 0 for row in used if row.domain == "bars" and row.taught)


@pytest.mark.slow
def test_an_online_run_whose_steps_share_completions_goes_on_to_the_same_bytes(base, tmp_path) -> None:
    given = {"online": {"rule": "dump"}, "trl": {"num_iterations": 2}, **TRIES}
    run(base, tmp_path / "whole", MANY, **given)
    assert {row.step for row in read_used(tmp_path / "whole")} == {1, 3}
    with pytest.raises(Interrupted, match="saved at step 2 of 4"):
        run(base, tmp_path / "stopped", MANY, signal_at=1, **given)
    run(base, tmp_path / "stopped", MANY, **given)
    assert same(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("live", [False, True])
def test_a_run_that_was_killed_after_its_last_save_is_not_trained_further(base, tmp_path, live) -> None:
    # Its stream ends before the schedule: it has no third step, or no whole one.
    rows, given = examples("bars", 5 if live else 4), {"live": live, "last_step": 2, "save_steps": 1}
    online = {"online": {"rule": "dump"}} if live else {}
    run(base, tmp_path, rows, **given, **online)
    before = tiny_runs.digests(tmp_path)
    assert len(log_of(tmp_path)) == 2
    asked, _ = run(base, tmp_path, rows, **given, **online)
    assert (asked, tiny_runs.digests(tmp_path)) == ([], before)
