"""The static plan: names, rounds, support and runs, known before anything runs."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from modomodo.errors import InputError
from modomodo.evaluation.settings import metric_versions
from modomodo.files import read_json
from modomodo.mixtures.mixture import Mixture, read_mixture, write_mixture
from modomodo.mixtures.online import OnlineOptions
from modomodo.mixtures.plan import plan, usable_domains
from modomodo.mixtures.settings import ProposeSettings
from modomodo.study.checks import study_from

ROOT = Path(__file__).parents[2]


def planned(data):
    return plan(study_from(data, "study.yaml"))


def complaint(data) -> str:
    with pytest.raises(InputError) as error:
        planned(data)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_names_rounds_and_runs(study_data):
    result = planned(study_data)
    assert dict(result.by_strategy) == {
        "single": ["single-boxes", "single-science", "single-relation"],
        "all": ["all"],
        "alpha": ["alpha"],
        "surface": ["surface-001", "surface-002"],
    }
    assert result.rounds == {"single": 0, "all": 0, "alpha": 1, "surface": 2}
    assert result.mixtures == [
        *("single-boxes", "single-science", "single-relation"),
        *("all", "alpha", "surface-001", "surface-002"),
    ]
    assert result.runs == [(mixture, 42) for mixture in result.mixtures]
    assert result.scored == [("base", 0), *result.runs]


def test_what_a_strategy_sees(study_data):
    seeds = [("single-boxes", 42), ("single-science", 42), ("single-relation", 42), ("all", 42)]
    result = planned(study_data)
    assert result.learns_from["single"] == []
    assert result.learns_from["alpha"] == seeds
    assert result.learns_from["surface"] == [*seeds, ("alpha", 42)]


def test_a_group_and_its_member_are_seen_once(study_data):
    study_data["strategies"]["alpha"]["learns_from"] = ["single", "seed", "all"]
    seen = planned(study_data).learns_from["alpha"]
    assert len(seen) == len(set(seen)) == 4


def test_a_group_means_what_stands_above_alone(study_data):
    # `later` is a seed too, but comes after alpha has looked.
    study_data["strategies"]["later"] = {"propose": "all", "group": "seed"}
    result = planned(study_data)
    assert ("later", 42) not in result.learns_from["alpha"]
    assert result.rounds["later"] == 0


def test_rounds_follow_the_longest_chain(study_data):
    study_data["strategies"]["second"] = {
        "propose": "alpha",
        "group": "x",
        "learns_from": ["surface", "single"],
    }
    study_data["strategies"]["short"] = {"propose": "alpha", "group": "x", "learns_from": ["single"]}
    rounds = planned(study_data).rounds
    assert (rounds["second"], rounds["short"]) == (3, 1)


def test_the_support_of_a_seed_is_where_it_has_weight(study_data):
    study_data["strategies"]["exclude"] = {"propose": "exclude_one", "group": "seed"}
    study_data["strategies"]["own"] = {
        "propose": "explicit",
        "group": "seed",
        "options": {"weights": {"science": 0.25, "boxes": 0.75, "relation": 0}},
    }
    support = planned(study_data).support
    assert support["single-science"] == ["science"]
    assert support["exclude-science"] == ["boxes", "relation"]
    assert support["all"] == ["boxes", "science", "relation"]
    assert support["own"] == ["boxes", "science"]


def test_the_support_of_a_derived_mixture_is_every_domain_it_may_use(study_data):
    study_data["strategies"]["alpha"]["without"] = ["boxes"]
    support = planned(study_data).support
    assert support["alpha"] == ["science", "relation"]
    assert support["surface-001"] == support["surface-002"] == ["boxes", "science", "relation"]


def test_a_seed_strategy_without_a_domain(study_data):
    study_data["strategies"]["single"]["without"] = ["boxes"]
    study_data["strategies"]["all"]["without"] = ["boxes"]
    study = study_from(study_data, "study.yaml")
    assert usable_domains(study, "single") == ["science", "relation"]
    assert plan(study).by_strategy["single"] == ["single-science", "single-relation"]
    assert plan(study).weights["all"] == {"science": 0.5, "relation": 0.5}
    assert plan(study).support["all"] == ["science", "relation"]


def test_only_what_learns_has_no_weights_yet(study_data):
    weights = planned(study_data).weights
    assert list(weights) == ["single-boxes", "single-science", "single-relation", "all"]
    assert weights["single-science"] == {"boxes": 0.0, "science": 1.0, "relation": 0.0}


def test_repeats_are_further_runs_that_nobody_learns_from(study_data):
    study_data["repeats"] = {"all": [43, 44], "surface-002": [7]}
    result = planned(study_data)
    assert result.runs[-3:] == [("all", 43), ("all", 44), ("surface-002", 7)]
    assert len(result.runs) == 10
    assert all(seed == 42 for seen in result.learns_from.values() for _, seed in seen)


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({"al": [43]}, "repeats: unknown mixture 'al': did you mean 'all'?"),
        ({"single": [43]}, "repeats: unknown mixture 'single': did you mean 'single-"),
        ({"base": [43]}, "repeats: unknown mixture 'base'"),
        ({"all": [42]}, "repeats.all: [42]: seeds must differ, and from training.seed (42)"),
        ({"all": [43, 43]}, "repeats.all: [43, 43]: seeds must differ"),
    ],
)
def test_repeats_of_nothing_new_are_reported(study_data, repeats, message):
    study_data["repeats"] = repeats
    assert complaint(study_data).startswith(message)


def test_the_training_seed_is_every_runs_seed(study_data):
    study_data["training"]["seed"] = 7
    result = planned(study_data)
    assert {seed for _, seed in result.runs} == {7}
    assert result.learns_from["alpha"][0] == ("single-boxes", 7)


@pytest.mark.parametrize("name", ["single-science", "surface-002"])
def test_two_strategies_whose_mixtures_have_one_name_are_reported(study_data, name):
    study_data["strategies"][name] = {"propose": "all", "group": "seed"}
    owner = name.partition("-")[0]
    text = complaint(study_data)
    assert text == (
        f"strategies.{name}: mixture '{name}' is already a mixture of strategy '{owner}': rename one"
    )


def test_no_mixture_may_be_called_like_the_base_model(study_data):
    study_data["strategies"]["base"] = {"propose": "all", "group": "seed"}
    assert complaint(study_data) == "strategies.base: mixture 'base' is already the base model: rename one"


def test_the_strategy_base_may_have_several_mixtures(study_data):
    study_data["strategies"]["base"] = {"propose": "exclude_one", "group": "seed"}
    assert "base-boxes" in planned(study_data).mixtures


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            {"propose": "alpha", "group": "x"},
            "strategies.new.learns_from: missing: 'alpha' proposes from scored runs",
        ),
        (
            {"propose": "alpha", "group": "x", "learns_from": ["seed"], "options": {"alpha": 1.5}},
            "strategies.new.options: alpha: ",
        ),
        (
            {"propose": "alpha", "group": "x", "learns_from": ["seed"], "options": {"alhpa": 0.5}},
            "strategies.new.options: alhpa: unknown key: did you mean 'alpha'?",
        ),
        ({"propose": "all", "group": "x", "options": {"size": 1}}, "strategies.new.options: size: "),
        ({"propose": "explicit", "group": "x"}, "strategies.new.options: weights: "),
        (
            {"propose": "explicit", "group": "x", "options": {"weights": {"boxes": 0.7, "science": 0.4}}},
            "strategies.new: explicit: weights: weights sum to 1.1, not 1",
        ),
        (
            {"propose": "explicit", "group": "x", "options": {"weights": {"boxs": 1}}},
            "strategies.new: explicit: weights: unknown domain 'boxs': did you mean 'boxes'?",
        ),
        (
            {"propose": "exclude_one", "group": "x", "without": ["boxes", "science"]},
            "strategies.new: exclude-one mixtures need at least two domains",
        ),
    ],
)
def test_a_strategys_bad_settings_are_reported_before_anything_runs(study_data, strategy, message):
    study_data["strategies"]["new"] = strategy
    assert complaint(study_data).startswith(message)


@pytest.mark.parametrize(
    ("propose", "options", "message"),
    [
        ("cma_es", {"surrogate": "gp_sqr"}, "did you mean 'gp_sqrt'?"),
        ("acquire", {"constraints": {"maximum": {"boxs": 0.5}}}, "did you mean 'boxes'?"),
        (
            "cma_es",
            {"constraints": {"minimum": {"boxes": 0.8, "science": 0.8}}},
            "least weights sum to 1.6, above 1",
        ),
    ],
    ids=["surrogate", "constrained domain", "infeasible"],
)
def test_a_model_based_strategys_bad_settings_are_reported_before_anything_runs(
    study_data, propose, options, message
):
    study_data["strategies"]["new"] = {
        "propose": propose,
        "group": "model",
        "learns_from": ["seed"],
        "options": options,
    }
    assert message in complaint(study_data)


@pytest.mark.parametrize("propose", ["single", "exclude_one", "pairs"])
def test_a_mixtures_file_holds_the_weights_that_its_name_says(study_data, tmp_path, monkeypatch, propose):
    # As the rule calls it. The study's domains are not in the order of the alphabet.
    study_data["strategies"]["single"]["propose"] = propose
    study = study_from(study_data, "study.yaml")
    assert list(study.domains) != sorted(study.domains)
    mixtures = plan(study).by_strategy["single"]
    paths = [tmp_path / f"{mixture}.json" for mixture in mixtures]
    settings = ProposeSettings.of(study, "single").text()
    arguments = ["--settings", settings, "--strategy", "single", "--output", *map(str, paths)]
    monkeypatch.setattr("sys.argv", ["propose.py", *arguments])
    runpy.run_path(str(ROOT / "scripts/propose.py"))["main"]()
    for mixture, path in zip(mixtures, paths, strict=True):
        weights = read_json(path)["weights"]
        assert {domain for domain, weight in weights.items() if weight} == set(plan(study).support[mixture])


def test_metrics_come_with_their_versions(study_data):
    versions = metric_versions(study_from(study_data, "study.yaml"))
    assert list(versions) == ["science_test", "chart"]
    assert all(version >= 1 for version in versions.values())


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_new_strategy_leaves_the_others_settings_alone(study_data, place):
    before = study_from(study_data, "study.yaml")
    new = {"new": {"propose": "exclude_one", "group": "seed"}}
    study_data["strategies"] = (
        {**new, **study_data["strategies"]} if place == "first" else {**study_data["strategies"], **new}
    )
    after = study_from(study_data, "study.yaml")
    for name in before.strategies:
        assert ProposeSettings.of(after, name).text() == ProposeSettings.of(before, name).text()
        assert plan(after).by_strategy[name] == plan(before).by_strategy[name]
    for mixture in plan(before).mixtures:
        assert plan(after).support[mixture] == plan(before).support[mixture]


COUNTED = """
from pathlib import Path

from modomodo.mixtures.strategies.base import Proposal, declare


@declare("counted", learns=False)
def counted(request):
    with open(Path(__file__).with_name("calls.txt"), "a") as file:
        print("called", file=file)
    return [Proposal({domain: 1 / len(request.domains) for domain in request.domains})]
"""


def snakemake(folder, study, *arguments):
    """What `snakemake -n` does and prints for a study, in a folder of its own."""
    command = [sys.executable, *arguments, "-m", "snakemake", "--dry-run", "--quiet", "rules", "all"]
    options = ["--snakefile", ROOT / "Snakefile", "--directory", folder, f"--configfile={study}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_snakemake_runs_each_seed_strategy_once(study_data, write_study, tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(COUNTED)
    study_data["plugins"] = ["modomodo.tiny", str(plugin)]
    study_data["strategies"]["all"]["propose"] = "counted"
    snakemake(tmp_path, write_study(study_data))
    assert (tmp_path / "calls.txt").read_text() == "called\n"


READ = """
import sys
from modomodo.mixtures.plan import plan
from modomodo.reporting import settings
from modomodo.reporting.figures import figures_of
from modomodo.study.checks import read_study
from modomodo.study.costs import costs_of
from modomodo.study.costs_text import summary

for path in sys.argv[1:]:
    study = read_study(path)
    planned = plan(study)
    figures_of(planned)
    settings.ReportSettings.of(study, planned)
    summary(costs_of(study, planned))
print(*{module.partition(".")[0] for module in sys.modules})
"""
LARGE = {"torch", "transformers", "pandas", "scipy", "sklearn", "matplotlib", "datasets", "jinja2"}


def test_a_plan_loads_no_large_library():
    configs = [ROOT / "config/tiny.yaml", ROOT / "config/test.yaml", ROOT / "config/paper.yaml"]
    command = [sys.executable, "-c", READ, *map(str, configs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert not LARGE & set(done.stdout.split())


# --- online runs --------------------------------------------------------------------------------------------

ONLINE = {"propose": "online", "group": "seed", "options": {"rule": "dump"}}


def test_an_online_run_may_use_every_domain_and_has_no_weights_before_it_trained(study_data):
    study_data["strategies"] = {"dump": ONLINE | {"without": ["relation"]}, **study_data["strategies"]}
    result = planned(study_data)
    assert result.online == ["dump"] and "dump" not in result.weights
    assert result.support["dump"] == ["boxes", "science"]
    assert ("dump", 42) in result.runs and result.rounds["dump"] == 0


def test_a_count_that_a_strategy_takes_no_notice_of_is_an_error(study_data):
    study_data["strategies"]["dump"] = ONLINE | {"count": 3}
    assert "strategies.dump.count: 3, but 'online' always proposes 1: remove it" in complaint(study_data)
    study_data["strategies"]["dump"]["count"] = 1
    assert planned(study_data).by_strategy["dump"] == ["dump"]


def test_nothing_learns_from_an_online_run(study_data):
    before = planned(study_data)
    study_data["strategies"] = {"dump": ONLINE, **study_data["strategies"]}
    assert planned(study_data).learns_from["alpha"] == before.learns_from["alpha"]
    study_data["strategies"]["alpha"]["learns_from"] = ["single", "dump"]
    assert "strategies.alpha.learns_from: 'dump' changes its mixture while it trains" in complaint(study_data)
    study_data["strategies"]["dump"]["group"] = "online"
    study_data["strategies"]["alpha"]["learns_from"] = ["online"]
    assert "strategies.alpha.learns_from: only online runs" in complaint(study_data)


def test_options_of_an_online_run_are_checked_when_the_study_is_read(study_data):
    study_data["strategies"]["dump"] = ONLINE | {"options": {"rule": "thompson", "temperature": 1.0}}
    assert "strategies.dump.options: temperature: has no effect with rule thompson" in complaint(study_data)


def test_a_study_without_online_runs_writes_its_mixtures_as_before(tmp_path):
    mixture = Mixture(name="all", weights={"a": 1.0}, strategy="all", round=0)
    write_mixture(tmp_path / "all.json", mixture)
    assert list(read_json(tmp_path / "all.json")) == [
        *("name", "weights", "strategy", "round", "observed", "predicted")
    ]
    online = mixture.model_copy(update={"online": OnlineOptions(rule="dump", window=9)})
    write_mixture(tmp_path / "all.json", online)
    assert read_json(tmp_path / "all.json")["online"] == {"rule": "dump", "window": 9}
    assert read_mixture(tmp_path / "all.json") == online
