"""TIES and DARE by hand, and what merging holds in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modomodo.config.schema import MergeMethod
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.merging.experts import Expert, Experts
from modomodo.merging.methods import METHODS, Changes
from modomodo.merging.screening import MergeScorer
from modomodo.merging.settings import MergeSettings, ScreenSettings
from modomodo.mixtures.plan import plan
from modomodo.study.checks import study_from

ROOT = Path(__file__).parents[2]
START = torch.tensor([1.0, 1.0, 1.0, 1.0])


def merged(method: MergeMethod, coefficients: dict[str, float], start=START, name="weight", **moved):
    """The tensor, where the experts differ from the base by `moved`."""
    changes = Changes(name, start, lambda domain: start + torch.tensor(moved[domain]))
    return METHODS[method.method](changes, coefficients, method)


# --- TIES -------------------------------------------------------------------------------------------------------


def test_ties_trims_each_expert_by_magnitude():
    half = MergeMethod(method="ties", density=0.5)
    left, right = [4.0, 1.0, -2.0, 0.5], [-1.0, 3.0, -3.0, 0.25]
    # left keeps 4 and -2, right 3 and -3; only the third number has two to average.
    result = merged(half, {"left": 0.5, "right": 0.5}, left=left, right=right)
    assert (result - START).tolist() == [4.0, 3.0, -2.5, 0.0]
    alone = merged(half, {"left": 1.5}, left=left)
    assert (alone - START).tolist() == [6.0, 0.0, -3.0, 0.0]


def test_ties_elects_the_sign_of_greater_weighted_mass_and_averages_those_that_agree():
    whole = MergeMethod(method="ties", density=1.0)
    moved = {"left": [4.0, 1.0, 3.0, -1.0], "right": [-1.0, 3.0, -2.0, -1.0]}
    # Masses: 1 - .75, .25 + 2.25, .75 - 1.5, -1.
    result = merged(whole, {"left": 0.25, "right": 0.75}, **moved)
    assert (result - START).tolist() == [4.0, 2.5, -2.0, -1.0]
    twice = merged(whole, {"left": 0.5, "right": 1.5}, **moved)  # alpha = 2
    assert (twice - START).tolist() == [8.0, 5.0, -4.0, -2.0]


def test_ties_leaves_what_cancels_and_the_mean_is_over_those_that_moved():
    whole = MergeMethod(method="ties", density=1.0)
    moved = {"a": [1.0, 2.0, 0.0, 0.0], "b": [-1.0, 0.0, 0.0, 0.0], "c": [0.0, 0.0, 0.0, 0.0]}
    result = merged(whole, {"a": 0.25, "b": 0.25, "c": 0.5}, **moved)
    assert (result - START).tolist() == [0.0, 2.0, 0.0, 0.0]


def test_of_equal_magnitudes_at_the_threshold_all_are_kept():
    quarter = MergeMethod(method="ties", density=0.25)
    result = merged(quarter, {"left": 1.0}, left=[2.0, -2.0, 1.0, 0.0])
    assert (result - START).tolist() == [2.0, -2.0, 0.0, 0.0]


# --- DARE -------------------------------------------------------------------------------------------------------


def test_dare_drops_at_random_and_scales_up_the_rest():
    start = torch.zeros(100_000)
    moved = torch.full((100_000,), 2.0).tolist()
    tenth = MergeMethod(method="dare", density=0.1)
    result = merged(tenth, {"left": 0.5}, start, left=moved)
    assert set(result.unique().tolist()) == {0.0, 10.0}  # 2 · 0.5 / 0.1
    assert result.mean().item() == pytest.approx(1.0, abs=0.03)  # as the linear sum, in the mean
    both = merged(tenth, {"left": 0.5, "right": 0.5}, start, left=moved, right=moved)
    assert set(both.unique().tolist()) == {0.0, 10.0, 20.0}
    assert (both == 20).float().mean().item() == pytest.approx(0.01, abs=0.002)


def test_what_dare_drops_of_an_expert_is_the_same_in_every_mixture():
    start, moved = torch.zeros(1000), torch.ones(1000).tolist()
    half = MergeMethod(method="dare", density=0.5)
    one = merged(half, {"left": 1.0}, start, left=moved)
    assert torch.equal(one, merged(half, {"left": 1.0}, start, left=moved))
    less = merged(half, {"left": 0.25, "right": 1.0}, start, left=moved, right=(0 * start).tolist())
    assert torch.equal(less, one / 4)
    for other in (
        merged(half.model_copy(update={"seed": 1}), {"left": 1.0}, start, left=moved),
        merged(half, {"right": 1.0}, start, right=moved),
        merged(half, {"left": 1.0}, start, "another", left=moved),
    ):
        assert 300 < (other != one).sum() < 700


def test_dare_that_drops_nothing_is_the_linear_sum():
    moved = {"left": [0.1, -0.7, 0.3, 0.0], "right": [0.9, 0.11, 0.0, 0.0]}
    coefficients = {"left": 0.3, "right": 0.9}
    dare = merged(MergeMethod(method="dare", density=1.0), coefficients, **moved)
    assert torch.equal(dare, merged(MergeMethod(), coefficients, **moved))


@pytest.mark.parametrize(
    "method", [MergeMethod(), *(MergeMethod(method=m, density=0.5) for m in ("ties", "dare"))]
)
def test_a_tensor_that_no_expert_changed_is_the_bases_own(method):
    still = [0.0] * 4
    assert merged(method, {"left": 0.5, "right": 0.5}, left=still, right=still) is START


# --- memory -----------------------------------------------------------------------------------------------------

# Merges twelve experts within a bound of memory beside the files, which are mapped.
WITHIN = """
import json, resource, sys
from pathlib import Path
import torch
from modomodo.experts import Expert, Experts
from modomodo.merging import merged_tensors
from modomodo.study import MergeMethod

base, moved, method, room = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])
domains = [f"d{i:02}" for i in range(12)]
experts = Experts(base, "", {name: Expert(name, moved, 1, False, "") for name in domains}, 1, 0)
merged = merged_tensors(experts, dict.fromkeys(domains, 1 / 12), MergeMethod(**method))
next(merged)  # files are open
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + room, used + room))
for name, tensor in merged:
    assert torch.isfinite(tensor).all()
    del tensor
"""


@pytest.mark.parametrize(
    ("method", "tensors"),
    [({}, 4), ({"method": "dare", "density": 0.5}, 4), ({"method": "ties", "density": 0.2}, 6)],
)
def test_a_few_tensors_are_in_memory_however_many_experts(tmp_path, method, tensors):
    count = 2_000_000
    for name, seed in (("base", 0), ("moved", 1)):
        random = torch.Generator().manual_seed(seed)
        (tmp_path / name).mkdir()
        parts = {f"part{i}": torch.randn(count, generator=random) for i in range(3)}
        save_file(parts, tmp_path / name / "model.safetensors")

    def run(room):
        words = [str(tmp_path / "base"), str(tmp_path / "moved"), json.dumps(method), str(room)]
        environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
        return subprocess.run(
            [sys.executable, "-c", WITHIN, *words], env=environment, capture_output=True, text=True
        )

    assert run((tensors + 1) * 4 * count).returncode == 0
    assert run(2 * 4 * count).returncode != 0  # the bound bites


# --- the study --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("merging", "message"),
    [
        ({"method": "tie"}, "merging.method: .*'tie'"),
        ({"method": "ties"}, "density: missing: the share of the changes that ties keeps"),
        ({"density": 0.2}, "density: linear keeps every change: remove the key"),
        ({"method": "ties", "density": 0.0}, "merging.density"),
        ({"method": "dare", "density": 1.5}, "merging.density"),
        ({"method": "ties", "density": 0.2, "seed": 3}, "seed: ties draws nothing: remove the key"),
    ],
)
def test_options_that_do_not_fit_are_told(study_data, merging, message):
    with pytest.raises(InputError, match=message):
        study_from({**study_data, "merging": merging}, "study.yaml")


def test_another_method_merges_anew_and_linear_is_as_before(study_data):
    study_data["strategies"]["screened"] = {
        "propose": "merge_screen",
        "group": "merged",
        "learns_from": ["seed"],
    }
    linear = study_from(study_data, "study.yaml")
    explicit = study_from({**study_data, "merging": {"method": "linear"}}, "study.yaml")
    other = study_from({**study_data, "merging": {"method": "ties", "density": 0.2}}, "study.yaml")
    for take in (MergeSettings.of, lambda study: ScreenSettings.of(study, "screened")):
        assert "method" not in take(linear).changed() and take(explicit).text() == take(linear).text()
        assert take(other).changed()["method"] == {"method": "ties", "density": 0.2}
    assert plan(other).experts == plan(linear).experts


def test_what_another_method_scored_is_not_read_back(small_study, tmp_path, monkeypatch, example_fields):
    experts = Experts(Path("base"), "digest", {"boxes": Expert("boxes", Path("b"), 9, False, "boxes")}, 9, 42)
    asked = []
    monkeypatch.setattr(
        MergeScorer,
        "_ask",
        lambda self, *what: (
            asked.append(self.step.method.method) or {name: [0.0] for name in small_study.benchmarks}
        ),
    )
    rows = [Example(**example_fields(id="1", image="none.png"))]
    for name in small_study.benchmarks:
        (tmp_path / f"{name}.jsonl").write_text(name)
    benchmarks = {name: (tmp_path / f"{name}.jsonl", rows) for name in small_study.benchmarks}
    step = MergeSettings.of(small_study)
    methods = [
        {},
        {"method": "dare", "density": 0.5},
        {"method": "dare", "density": 0.5, "seed": 1},
        {"method": "dare", "density": 0.9},
        {"method": "ties", "density": 0.5},
    ]
    for _ in range(2):
        for method in methods:
            changed = step.model_copy(update={"method": MergeMethod(**method)})
            MergeScorer(experts, benchmarks, changed, tmp_path / "scored").values({"boxes": 1.0}, 1.0)
    assert asked == ["linear", "dare", "dare", "dare", "ties"]
