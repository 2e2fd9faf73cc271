"""Figures of what happened while the mixtures were trained: rewards, shares and cost."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from study_records import DOMAINS, example_results, rows_of

from modomodo.errors import InputError
from modomodo.files import read_json, write_json, write_jsonl
from modomodo.mixtures.records import from_rows
from modomodo.reporting.figures.style import Page, styled
from modomodo.reporting.figures.training import cost, realised_shares, reward_curves
from modomodo.reporting.results import results_of
from modomodo.reporting.training_logs import Run, read_runs, rewards_by_domain, smooth


def test_rewards_by_domain_are_weighted_and_a_step_without_its_prompts_is_unknown() -> None:
    lines = [
        {"rewards/a/accuracy": 0.5, "rewards/a/format": 1.0},
        {"rewards/b/iou": 0.2},
        {"rewards/a/accuracy": 1.0, "rewards/a/format": 0.0, "rewards/b/iou": None},
    ]
    weights = {"accuracy": 2.0, "format": 1.0, "iou": 2.0}
    curves = rewards_by_domain(lines, {"a": ["accuracy", "format"], "b": ["iou"], "c": ["iou"]}, weights)
    assert curves["a"] == pytest.approx([2 / 3, np.nan, 2 / 3], nan_ok=True)
    assert curves["b"] == pytest.approx([np.nan, 0.2, np.nan], nan_ok=True)
    assert "c" not in curves


def test_smoothing_skips_the_unknown() -> None:
    assert smooth(np.array([np.nan, 1.0, np.nan, 3.0]), 3) == pytest.approx([np.nan, 1, 1, 2], nan_ok=True)


def a_run(mixture: str, seed: int, seconds: float) -> Run:
    requested = {"boxes": 0.25, "maths": 0.75}
    return Run(
        mixture, seed, {"boxes": np.array([0.1, 0.3])}, requested, {"boxes": 0.5, "maths": 0.5}, 4, seconds
    )


def test_a_run_is_read_from_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "anywhere"
    write_json(
        folder / "run.json",
        {
            "mixture": "all",
            "seed": 42,
            "seconds": {"import": 1.0, "train": 9.0},
            "stream": {"prompts": 4, "requested": {"a": 1.0}, "realised": {"a": 1.0}},
            "settings": {"training": {"reward_weights": {"accuracy": 3.0}}, "rewards": {"a": ["accuracy"]}},
            "checkpoints": {"9": {"step": 9, "path": "checkpoint-9", "weights": "ab"}},
        },
    )
    write_jsonl(folder / "log.jsonl", [{"step": 1, "rewards/a/accuracy": 0.5}])
    [run] = read_runs([folder / "run.json"]).values()
    assert (run.mixture, run.seed, run.seconds, run.prompts) == ("all", 42, 10.0, 4)
    assert run.rewards["a"].tolist() == [0.5]
    # A place's file points to where the work lies, whatever an earlier run left beside it.
    place = read_json(folder / "run.json") | {"seed": 43}
    place["checkpoints"]["9"]["path"] = "../all/43/checkpoint-9"
    write_json(tmp_path / "place/run.json", place)
    write_jsonl(tmp_path / "place/log.jsonl", [{"step": 1, "rewards/a/accuracy": 0.1}])
    write_jsonl(tmp_path / "all/43/log.jsonl", [{"step": 1, "rewards/a/accuracy": 0.25}])
    [run] = read_runs([tmp_path / "place/run.json"]).values()
    assert run.rewards["a"].tolist() == [0.25]
    (folder / "log.jsonl").unlink()
    with pytest.raises(InputError, match=r"log\.jsonl: no such file"):
        read_runs([folder / "run.json"])


def test_cost_adds_up_and_repeats_come_last() -> None:
    found = example_results()
    runs = [a_run("all", 43, 30.0), a_run("all", 42, 10.0), a_run("single-maths", 42, 20.0)]
    made, numbers = cost(found, runs, Page())
    assert numbers[["mixture", "seed", "spent"]].to_numpy().tolist() == [
        ["single-maths", 42, 20.0],
        ["all", 42, 30.0],
        ["all", 43, 60.0],
    ]
    assert numbers["best"].tolist() == [numbers["out_score"][0], *[numbers["out_score"][:2].max()] * 2]
    plt.close(made)


def test_repeats_have_one_entry_in_the_legend_of_the_cost() -> None:
    runs = [a_run("all", 43, 30.0), a_run("all", 42, 10.0), a_run("single-maths", 42, 20.0)]
    made, _ = cost(example_results(), runs, Page())
    texts = [text.get_text() for text in made.legends[0].texts]
    assert [text for text in texts if "seed" in text] == ["seed mixtures", "repeat with another seed"]
    plt.close(made)


@pytest.mark.parametrize("count", [2, 3])
def test_the_labels_of_reward_curves_are_inside_the_figure(count: int) -> None:
    domains = DOMAINS[:count]
    rows = rows_of(np.eye(count), np.full((count, 1), 0.5), domains, ["chart"])
    found = results_of(from_rows(rows, domains, ["chart"], {"out_score": {"chart": 10}}))
    runs = [Run("m0", 42, {name: np.full(9, 0.5) for name in domains}, {}, {}, 18, 60.0)]
    with styled():
        made, _ = reward_curves(found, runs, Page())
        made.draw_without_rendering()
        for label in (made._supylabel, made._supxlabel):
            box = label.get_window_extent()
            assert box.y0 >= 0 and box.y1 <= made.bbox.height and box.x0 >= 0, label.get_text()
        plt.close(made)


def test_the_best_mixture_stands_out_among_the_reward_curves_and_every_panel_names_its_steps() -> None:
    found = example_results()
    best = found.mixtures.loc[found.mixtures["out_score"].idxmax()]
    runs = [a_run(name, 42, 1.0) for name in ("all", "exclude-maths", "other-1", best["mixture"])]
    made, _ = reward_curves(found, runs, Page())
    (legend,) = [each.get_legend() for each in made.axes if each.get_legend()]
    entries = [text.get_text() for text in legend.texts]
    assert entries[0] == f"best: {best['strategy']}" and "other mixtures" in entries
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in made.axes[: len(DOMAINS)])
    plt.close(made)


def test_shares_requested_and_realised() -> None:
    made, numbers = realised_shares(example_results(), [a_run("all", 42, 1.0)], Page())
    assert numbers[["domain", "requested", "realised"]].to_numpy().tolist() == [
        ["boxes", 0.25, 0.5],
        ["maths", 0.75, 0.5],
    ]
    assert numbers["effective"].isna().all()  # a run of an earlier version
    plt.close(made)


def test_shares_of_the_prompts_that_taught_stand_beside_the_realised_ones() -> None:
    run = replace(a_run("all", 42, 1.0), effective={"maths": 1.0})
    made, numbers = realised_shares(example_results(), [run], Page())
    assert numbers.set_index("domain")["effective"].to_dict() == {"boxes": 0.0, "maths": 1.0}
    assert "of those that teach" in [text.get_text() for text in made.axes[0].get_legend().texts]
    plt.close(made)
