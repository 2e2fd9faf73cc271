"""A budget in GPU-hours: what it is spent on, what is refused before anything runs, and what the plan says."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from modomodo.errors import InputError
from modomodo.evaluation.scores import RunScores, collect
from modomodo.files import read_json, write_json
from modomodo.mixtures.budget import Action, Belief, Decision, Prices, Seeds, StoppedRun, expected_gain, spend
from modomodo.mixtures.mixture import Mixture, read_mixture, write_mixture
from modomodo.mixtures.plan import plan, sure_of
from modomodo.mixtures.races import Stretch, stopped_runs
from modomodo.mixtures.records import BASE, learnable
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings
from modomodo.mixtures.strategies.base import propose_named
from modomodo.mixtures.trained_runs import runs_so_far
from modomodo.study import costs, costs_text
from modomodo.study.checks import study_from

ROOT = Path(__file__).parents[2]
DOMAINS = ["boxes", "science", "relation"]
ALONE = np.zeros((2, 2), bool)


# --- the criterion ----------------------------------------------------------------------------------------------


def test_the_gain_is_that_of_the_formula() -> None:
    # Two independent mixtures, equal means, the score of one told without noise: E max(0, σZ) = σ/√(2π).
    assert expected_gain(np.zeros(2), np.array([1.0, 0.0])) == pytest.approx(norm.pdf(0))
    assert expected_gain(np.array([0.0, 0.5]), np.array([1.0, 0.0])) == pytest.approx(
        norm.pdf(0.5) - 0.5 * norm.cdf(-0.5)
    )
    assert expected_gain(np.array([0.0, 0.5]), np.array([1.0, 1.0])) == 0.0


def test_the_gain_is_that_of_many_draws() -> None:
    random = np.random.default_rng(0)
    z = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    for _ in range(5):
        mean, slopes = random.normal(size=12), random.normal(size=12).round(1)
        drawn = (mean[:, None] + slopes[:, None] * z).max(axis=0).mean() - mean.max()
        assert expected_gain(mean, slopes) == pytest.approx(drawn, abs=1e-3)


def two(mean: list[float], deviations: list[float]) -> Belief:
    """A stopped run, of which less is open, and a new mixture."""
    return Belief(np.array(mean), np.diag(np.square(deviations)), 0.01)


def test_a_promising_run_goes_on_before_a_new_one_and_the_other_way_round() -> None:
    hours = [Action(0.25), Action(1.0)]
    promising = spend(two([0.5, 0.5], [0.2, 0.3]), hours, 1.0, 1, ALONE)
    assert [one.action for one in promising] == [0]
    hopeless = spend(two([0.0, 0.5], [0.1, 0.3]), hours, 1.0, 1, ALONE)
    assert [one.action for one in hopeless] == [1]


def test_of_equal_gain_the_cheaper_is_done() -> None:
    belief = two([0.5, 0.5], [0.2, 0.2])
    assert spend(belief, [Action(1.0), Action(0.5)], 2.0, 1, ALONE)[0].action == 1
    assert spend(belief, [Action(0.5), Action(1.0)], 2.0, 1, ALONE)[0].action == 0


def test_a_budget_is_never_exceeded_and_nothing_is_left_that_fits() -> None:
    random = np.random.default_rng(1)
    for budget in (0.5, 1.0, 2.2, 7.0):
        root = random.normal(size=(20, 20))
        hours = [*random.uniform(0.2, 0.9, 5), *[1.0] * 15]
        chosen = spend(
            Belief(random.normal(size=20), root @ root.T, 0.1),
            *([Action(each) for each in hours], budget, 9, np.zeros((20, 20), bool)),
        )
        spent = sum(hours[one.action] for one in chosen)
        taken = {one.action for one in chosen}
        assert spent <= budget * (1 + 1e-9) and len(taken) == len(chosen) <= 9
        left = [hours[i] for i in range(20) if i not in taken]
        assert len(chosen) == 9 or min(left) > budget - spent


def test_what_was_chosen_is_taken_to_have_scored_as_expected() -> None:
    # 0 and 1 are nearly the same mixture: once one is trained, the other tells nothing more than 2.
    covariance = np.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 0.8]])
    belief = Belief(np.zeros(3), covariance, 0.01)
    free = np.zeros((3, 3), bool)
    chosen = [one.action for one in spend(belief, [Action(1.0)] * 3, 2.0, 3, free)]
    assert len(chosen) == 2 and chosen[1] == 2
    assert belief.after(0).covariance[0, 0] == pytest.approx(0.01 / 1.01)


def test_a_known_mixture_is_trained_again_where_its_score_may_have_been_luck() -> None:
    # Two known mixtures ahead, one of them surely; a new one that is as open, but far behind.
    again, other, new = Action(1.0, times=2), Action(1.0, times=0), Action(1.0, times=3)
    belief = Belief(np.array([0.62, 0.6, 0.2]), np.diag([0.003, 0.0001, 0.003]), 0.002)
    alone = np.zeros((3, 3), bool)
    chosen = spend(belief, [again, other, new], 3.0, 3, alone)
    assert [one.action for one in chosen] == [0, 0, 2], "no oftener than allowed, then what is left"
    assert chosen[1].gain_an_hour < chosen[0].gain_an_hour, "each time less is left to know"
    noisier = spend(Belief(belief.mean, belief.covariance, 0.2), [again, other, new], 1.0, 1, alone)
    assert noisier[0].gain_an_hour < chosen[0].gain_an_hour, "a noisy score tells less"


def test_a_new_mixture_may_be_repeated_in_its_own_batch_though_none_near_it_is_trained() -> None:
    belief = Belief(np.array([0.6, 0.6]), np.diag([0.02, 0.019]), 0.02)
    near = np.ones((2, 2), bool)
    assert [one.action for one in spend(belief, [Action(1.0, 2)] * 2, 9.0, 9, near)] == [0, 0]
    assert [one.action for one in spend(belief, [Action(1.0)] * 2, 9.0, 9, near)] == [0]


def test_a_repeat_takes_the_next_seed_that_no_run_has() -> None:
    seeds = Seeds(first=42, planned={"a": [44]})
    assert [seeds.further("a", {42}), seeds.further("a", {42, 43}), seeds.further("b", {42})] == [43, 45, 43]


# --- prices -----------------------------------------------------------------------------------------------------


@pytest.fixture
def budgeted(study_data):
    """The small study with a race and a strategy that spends four and a half runs."""
    study_data["costs"] = {"training_hours": 0.9, "prediction_hours": 0.3}
    study_data["training"]["gpus"] = 2
    study_data["evaluation"] = {"gpus": 1}
    study_data["strategies"]["race"] = {
        "propose": "race",
        "group": "race",
        "options": {"rungs": {2: 4, 7: 2, 9: 1}},
    }
    study_data["strategies"]["next"] = {
        "propose": "acquire",
        "group": "model",
        "count": 5,
        "learns_from": ["single", "all", "race"],
        "options": {"budget": 9.5, "surrogate": "gp_sqrt", "candidates": 90},
    }
    return study_data


def study_of(data):
    return study_from(data, "study.yaml")


def test_hours_are_by_the_studys_costs_alone(budgeted) -> None:
    prices = Prices.of(study_of(budgeted), "budget")
    assert prices.whole == pytest.approx(2 * 0.9 + 0.3)
    assert prices.further(2) == pytest.approx(1.8 * 7 / 9 + 0.2)
    assert prices.further(7) == pytest.approx(1.8 * 2 / 9 + 0.1)


def test_every_place_is_known_before_the_first_run(budgeted) -> None:
    found = plan(study_of(budgeted))
    assert found.by_strategy["next"] == [f"next-00{number}" for number in range(1, 6)]
    # As many as the race stops, named after it.
    assert found.proposed("next")[5:] == ["next@race-01", "next@race-02", "next@race-03"]
    assert found.stretches["next@race-01", 42] == Stretch(2, None)
    assert ("next@race-01", 42) in found.later and "next@race-01" not in found.mixtures
    assert found.support["next@race-01"] == found.support["race-001"]
    assert found.before("race", 9) == [
        *((f"race-00{number}", 42) for number in range(1, 5)),
        ("race@7-01", 42),
        ("race@7-02", 42),
    ]


def test_without_a_budget_nothing_is_as_it_was_not(budgeted) -> None:
    del budgeted["strategies"]["next"]["options"]["budget"]
    study = study_of(budgeted)
    found = plan(study)
    assert found.proposed("next") == found.by_strategy["next"] and not found.budgets
    assert "prices" not in ProposeSettings.of(study, "next").text()
    budgeted["strategies"]["next"]["options"]["budget"] = 9.5
    assert "seeds" not in ProposeSettings.of(study_of(budgeted), "next").text()
    budgeted["strategies"]["next"]["options"]["repeats"] = 1
    budgeted["repeats"] = {"all": [44]}
    settings = ProposeSettings.of(study_of(budgeted), "next")
    assert settings.seeds == Seeds(first=42, planned={"all": [44]})
    assert ProposeSettings.model_validate_json(settings.text()) == settings


def test_only_figures_are_announced_that_its_sure_runs_give(budgeted) -> None:
    from modomodo.reporting.figures import figures_of

    study = budgeted["strategies"]
    for name in ("single", "alpha", "surface"):
        del study[name]
    study["next"] |= {"count": 40, "learns_from": ["all", "race"]}
    study["next"]["options"]["budget"] = 2.1
    few = figures_of(plan(study_of(budgeted)))
    del study["next"]["options"]["budget"]
    assert set(few) < set(figures_of(plan(study_of(budgeted))))


def test_the_plan_prices_a_budget(budgeted, tmp_path) -> None:
    study = study_of(budgeted)
    text = costs_text.render(study, costs.costs_of(study, plan(study), tmp_path))
    # Five places: the last steps of a run cost 0.5, a whole one 2.1; less is left over than a run.
    assert "budget next: least 2.5 GPU-hours, expected 8.4, most 9.5, by the study's costs" in text
    found = costs.costs_of(study, plan(study), tmp_path)
    without = dict(budgeted["strategies"])
    del without["next"]
    smaller = study_of({**budgeted, "strategies": without})
    less = costs.costs_of(smaller, plan(smaller), tmp_path)
    gained = found.stage("runs").seconds - less.stage("runs").seconds
    assert gained == pytest.approx(4 * 0.9 * 3600)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"budget": 0.002},
            "strategies.next.options.budget: 0.002: below one run (2.1 h by the study's costs): raise",
        ),
        ({"budget": 0}, "strategies.next.options: budget: input should be greater than 0"),
        (
            {"acquisition": "ucb"},
            "acquisition: a budget is spent by expected gain an hour: remove one of the two",
        ),
        (
            {"exploration": 2.0},
            "exploration: a budget is spent by expected gain an hour: remove one of the two",
        ),
        ({"repeats": -1}, "strategies.next.options: repeats: input should be greater than or equal to 0"),
        ({"repeats": 2, "budget": None}, "repeats: only a budget is spent on them: add one"),
    ],
)
def test_a_budget_that_makes_no_sense_is_told_when_the_study_is_read(budgeted, change, message) -> None:
    budgeted["strategies"]["next"]["options"] |= change
    with pytest.raises(InputError) as error:
        plan(study_of(budgeted), "study.yaml")
    assert message.lower() in str(error.value).lower() and "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["training_hours", "prediction_hours"])
def test_a_budget_needs_costs(budgeted, key) -> None:
    del budgeted["costs"][key]
    with pytest.raises(InputError, match=f"budget: what a run costs is not known: set costs.{key}"):
        plan(study_of(budgeted))


def test_two_budgets_do_not_train_the_same_run(budgeted) -> None:
    budgeted["strategies"]["more"] = {**budgeted["strategies"]["next"]}
    with pytest.raises(
        InputError, match="strategies.more.learns_from: .* runs of 'race' further: add 'next'"
    ):
        plan(study_of(budgeted))
    budgeted["strategies"]["more"] = {
        **budgeted["strategies"]["next"],
        "learns_from": ["all", "race", "next"],
    }
    found = plan(study_of(budgeted))
    assert ("next@race-01", 42) in found.learns_from["more"]


def test_two_budgets_do_not_repeat_the_same_mixture(budgeted) -> None:
    again = {**budgeted["strategies"]["next"], "learns_from": ["single", "all"]}
    again["options"] = {**again["options"], "repeats": 1}
    budgeted["strategies"] |= {"next": again, "more": again}
    with pytest.raises(
        InputError, match="strategies.more.learns_from: .* repeat those of 'single': add 'next'"
    ):
        plan(study_of(budgeted))
    budgeted["strategies"]["more"] = {**again, "learns_from": ["single", "all", "next"]}
    assert ("next-001", 42) in plan(study_of(budgeted)).learns_from["more"]
    budgeted["strategies"]["more"] = {**again, "options": {"budget": 9.5}}
    plan(study_of(budgeted))


def test_a_place_that_may_be_a_repeat_is_under_no_repeats(budgeted) -> None:
    budgeted["repeats"] = {"next-001": [43]}
    plan(study_of(budgeted))
    budgeted["strategies"]["next"]["options"]["repeats"] = 1
    with pytest.raises(
        InputError, match=r"repeats.next-001: strategies.next chooses what it repeats, .*: remove it"
    ):
        plan(study_of(budgeted))


def test_no_mixture_of_a_budget_that_repeats_is_sure_to_be_new(budgeted) -> None:
    budgeted["strategies"]["next"]["options"]["repeats"] = 1
    found = plan(study_of(budgeted))
    assert sure_of(found.by_strategy["next"], found.budgets["next"]) == []


# --- what is proposed -------------------------------------------------------------------------------------------

WEIGHTS = {
    **{
        "all": [1 / 3] * 3,
        "single-boxes": [1.0, 0, 0],
        "single-science": [0, 1.0, 0],
        "single-relation": [0, 0, 1.0],
    },
    **{"race-001": [0.1, 0.4, 0.5], "race-002": [0.7, 0.2, 0.1], "race-003": [0.5, 0.1, 0.4]},
    "race-004": [0.6, 0.3, 0.1],
}
REACHED = {"race-001": [2], "race-003": [2, 7], "race-004": [2]}


def files_of(folder: Path) -> list[str]:
    """Scores and mixtures of finished runs and of those that a race stopped, as arguments."""
    (folder / "scores").mkdir(parents=True)
    (folder / "mixtures").mkdir()
    runs, mixtures = scored()
    for run in runs:
        write_json(folder / f"scores/{run.mixture}.json", run.model_dump(mode="json", exclude_none=True))
    for mixture in mixtures.values():
        write_mixture(folder / f"mixtures/{mixture.name}.json", mixture)
    found = [sorted(map(str, (folder / kind).glob("*.json"))) for kind in ("scores", "mixtures")]
    return ["--scores", *found[0], "--mixtures", *found[1]]


def scored() -> tuple[list[RunScores], dict[str, Mixture]]:
    runs, mixtures = [], {}
    for name, row in WEIGHTS.items():
        strategy = "race" if name.startswith("race") else "single"
        named = dict(zip(DOMAINS, map(float, row), strict=True))
        mixtures[name] = Mixture(name=name, weights=named, strategy=strategy, round=0)
        steps = {step: answers(row, step) for step in REACHED.get(name, [2, 7, 9])}
        runs.append(RunScores.model_validate({"mixture": name, "seed": 42, "steps": steps}))
    base = {"mixture": BASE, "seed": 0, "steps": {0: answers([0, 0, 0], 0)}}
    return [RunScores.model_validate(base), *runs], mixtures


def answers(row: list[float], step: int) -> dict:
    about = {"metric": "exact_match", "version": 1, "n": 100, "standard_error": 0.02, "unparsed": 0}
    return {
        name: {**about, "score": 0.2 + 0.03 * step + 0.3 * row[0] * row[1]}
        for name in ("chart", "science_test")
    }


def propose(study, **more):
    given = collect(*scored(), DOMAINS, {"chart": "out", "science_test": "in"})
    strategy = study.strategies["next"]
    prices = Prices.of(study, "budget")
    return propose_named(
        "next",
        strategy,
        learnable(given, "last"),
        DOMAINS,
        stopped=stopped_runs(given),
        prices=prices,
        seeds=Seeds.of(study),
        **more,
    )


def test_runs_that_a_race_stopped_are_known_from_the_records() -> None:
    given = collect(*scored(), DOMAINS, {"chart": "out", "science_test": "in"})
    found = stopped_runs(given)
    assert {name: run.step for name, run in found.items()} == {"race-001": 2, "race-003": 7, "race-004": 2}
    assert found["race-004"] == StoppedRun(2, dict(zip(DOMAINS, [0.6, 0.3, 0.1], strict=True)), "race")


def test_new_mixtures_and_stopped_runs_share_the_budget(budgeted) -> None:
    found = [proposal.budget for proposal in propose(study_of(budgeted)).values()]
    assert [one.does for one in found] != ["nothing"] * 5
    assert sum(one.hours for one in found) <= 9.5
    assert all(one.gain_an_hour is not None for one in found if one.does != "nothing")
    going_on = [one for one in found if one.does == "further"]
    assert going_on and all(one.since == (7 if one.run == "race-003" else 2) for one in going_on)
    again = [proposal.budget for proposal in propose(study_of(budgeted)).values()]
    assert found == again


def test_a_stopped_run_outside_the_constraints_does_not_go_on(budgeted) -> None:
    budgeted["strategies"]["next"]["options"]["constraints"] = {"maximum": {"science": 0.05}}
    found = [proposal.budget for proposal in propose(study_of(budgeted)).values()]
    assert "further" not in [one.does for one in found]


def test_a_known_mixture_and_a_new_one_are_repeated_under_further_seeds(budgeted) -> None:
    options = budgeted["strategies"]["next"]["options"]
    options |= {"repeats": 2, "constraints": {"fixed": {"boxes": 1.0}}}
    budgeted["repeats"] = {"single-boxes": [43]}
    found = [proposal.budget for proposal in propose(study_of(budgeted)).values()]
    assert [(one.does, one.run, one.seed, one.hours) for one in found] == [
        *(("repeat", "single-boxes", seed, 2.1) for seed in (44, 45)),
        *[("nothing", None, None, 0.0)] * 3,
    ], "as often as allowed, and the known mixture is no new one"
    options["constraints"] = {"fixed": {"boxes": 0.2, "science": 0.5}}
    proposals = propose(study_of(budgeted))
    assert [(one.budget.does, one.budget.run, one.budget.seed) for one in proposals.values()] == [
        ("train", None, None),
        *(("repeat", "next-001", seed) for seed in (43, 44)),
        *[("nothing", None, None)] * 2,
    ]
    assert proposals["next-001"].weights == proposals["next-003"].weights
    options["constraints"] = {"maximum": {"boxes": 0.3}}
    wanted = [one.budget.run for one in propose(study_of(budgeted)).values() if one.budget.does == "repeat"]
    assert not {"single-boxes", "all"} & set(wanted), "they do not keep to the constraints"


def test_where_nothing_is_known_whole_runs_explore(budgeted, monkeypatch) -> None:
    from modomodo.mixtures.surrogates import calibration

    monkeypatch.setattr(calibration.CrossValidated, "informed", False)
    budgeted["strategies"]["next"]["options"].pop("surrogate")
    found = [proposal.budget for proposal in propose(study_of(budgeted)).values()]
    assert [one.does for one in found] == ["train"] * 4 + ["nothing"]


def test_the_files_say_who_goes_on(budgeted, tmp_path) -> None:
    study = study_of(budgeted)
    outputs = [tmp_path / f"out/{name}.json" for name in plan(study).proposed("next")]
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "scripts/propose.py", "--strategy", "next", "--round", "1"),
            *("--settings", ProposeSettings.of(study, "next").text()),
            *("--records-settings", RecordsSettings.of(study).unordered().text()),
            *files_of(tmp_path),
            *("--output", *outputs, "--comparison", tmp_path / "comparison.csv"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    files = {path.stem: read_mixture(path) for path in outputs}
    took = [name for name, mixture in files.items() if "@" in name and mixture.name != name]
    own = {one.budget.run for name, one in files.items() if "@" not in name and one.budget.does == "further"}
    assert own and {files[name].name for name in took} == own
    assert took == [f"next@race-{number:02d}" for number in range(1, len(took) + 1)]
    for name in took:
        assert files[name].weights == pytest.approx(
            dict(zip(DOMAINS, WEIGHTS[files[name].name], strict=True))
        )
        assert files[name].budget.since and files[name].strategy == "race" and not name.startswith("race")
    empty = [mixture for name, mixture in files.items() if "@" in name and name not in took]
    assert all(mixture.budget.does == "nothing" for mixture in empty)
    assert "goes on: gain" in done.stdout


def test_the_files_say_what_is_repeated(budgeted, tmp_path, monkeypatch) -> None:
    fixed = {"fixed": {"boxes": 0.2, "science": 0.5}}
    budgeted["strategies"]["next"]["options"] |= {"repeats": 1, "constraints": fixed}
    monkeypatch.setitem(REACHED, "race-002", [2, 7, 9])
    monkeypatch.setitem(WEIGHTS, "race-002", [0.2, 0.5, 0.3])
    study = study_of(budgeted)
    outputs = [tmp_path / f"out/{name}.json" for name in reversed(plan(study).proposed("next"))]
    (tmp_path / "out").mkdir()
    subprocess.run(
        [
            *(sys.executable, ROOT / "scripts/propose.py", "--strategy", "next", "--round", "1"),
            *("--settings", ProposeSettings.of(study, "next").text()),
            *("--records-settings", RecordsSettings.of(study).unordered().text()),
            *(*files_of(tmp_path), "--output", *outputs),
        ],
        check=True,
        capture_output=True,
    )
    files = {path.stem: read_mixture(path) for path in outputs}
    again = files["next-001"]
    known = read_mixture(tmp_path / "mixtures/race-002.json")
    assert (again.name, again.repeats_with) == ("race-002", 43), "a race's run that came to the end"
    assert again == known.model_copy(update={"budget": again.budget})
    places = [mixture for name, mixture in files.items() if "@" in name]
    assert places and all(mixture.budget.does == "nothing" for mixture in places), "nobody is trained further"
    assert "seed" not in read_json(tmp_path / "out/next-002.json")["budget"], "as without repeats"


def test_a_repeat_is_a_copy_of_its_mixtures_file() -> None:
    script = runpy.run_path(str(ROOT / "scripts/propose.py"), run_name="step")
    new = Mixture(name="next-001", weights=dict.fromkeys(DOMAINS, 1 / 3), strategy="next", round=1)
    decision = Decision(does="repeat", run="next-001", seed=43)
    assert script["again"](decision, {"next-001": new}) == new.model_copy(update={"budget": decision})
    with pytest.raises(InputError, match=r"--mixtures: next-001.json is missing"):
        script["again"](decision, {})


def draw(tmp_path: Path, mixture: Path, seed: int = 42, **settings) -> dict:
    examples = []
    for domain in DOMAINS:
        rows = [
            {"dataset": domain, "id": f"{domain}-{i}", "problem": "?", "solution": "1"} for i in range(60)
        ]
        path = tmp_path / f"{domain}.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        examples.append(path)
    text = json.dumps({"steps": 9, "prompts_per_step": 2, "scored_steps": [2, 7, 9], **settings})
    output = tmp_path / f"streams/{mixture.stem}.jsonl"
    output.parent.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "scripts/draw_stream.py", "--settings", text, "--seed", str(seed)),
            *("--mixture", mixture, "--examples", *examples, "--output", output),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return read_json(output.with_suffix(".summary.json"))


def test_a_job_trains_what_its_file_says(tmp_path) -> None:
    about = {"weights": dict.fromkeys(DOMAINS, 1 / 3), "strategy": "race", "round": 0}
    further = Decision(does="further", run="race-003", since=7, hours=0.5, gain_an_hour=0.1)
    write_mixture(tmp_path / "next@race-01.json", Mixture(name="race-003", budget=further, **about))
    write_mixture(tmp_path / "next-002.json", Mixture(name="next-002", budget=further, **about))
    found = draw(tmp_path, tmp_path / "next@race-01.json", since=2)
    assert (found["mixture"], found["since"], found["until"], found["steps"]) == ("race-003", 7, None, 9)
    assert draw(tmp_path, tmp_path / "next-002.json")["checkpoint_steps"] == {}
    again = Decision(does="repeat", run="race-003", seed=43, hours=0.5, gain_an_hour=0.1)
    write_mixture(tmp_path / "next-003.json", Mixture(name="race-003", budget=again, **about))
    found = draw(tmp_path, tmp_path / "next-003.json")
    assert (found["mixture"], found["seed"], found["steps"]) == ("race-003", 43, 9) and "since" not in found
    write_mixture(tmp_path / "race-003.json", Mixture(name="race-003", **about))
    own = draw(tmp_path, tmp_path / "race-003.json", seed=43)
    assert own == {key: value for key, value in found.items() if key not in ("mixture", "seed")}
    streams = [(tmp_path / f"streams/{name}.jsonl").read_text() for name in ("next-003", "race-003")]
    assert streams[0] == streams[1]


def test_a_mixture_that_was_not_trained_is_no_run_to_report(tmp_path) -> None:
    paths = [tmp_path / name for name in ("idle.json", "trained.json")]
    write_json(paths[0], {"mixture": "next-002", "checkpoints": {}})
    write_json(paths[1], {"mixture": "all", "checkpoints": {"9": {}}})
    assert list(runs_so_far(paths)) == paths[1:]
