"""`learns_from: [{records: …}]`: another study's records as cheaper runs, from the YAML to the proposals."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import snakemake, succeed
from study_records import rows_of

from modomodo.config.schema import CheaperRuns
from modomodo.errors import InputError
from modomodo.files import file_digest, read_json
from modomodo.mixtures.cheaper_runs import with_cheaper_runs
from modomodo.mixtures.plan import plan, proposal_version
from modomodo.mixtures.records import average_steps, from_rows, observed_digest, write_records
from modomodo.mixtures.settings import ProposeSettings
from modomodo.mixtures.strategies.base import propose_named
from modomodo.mixtures.surrogates.base import FEWEST
from modomodo.study.checks import read_study, study_from

ROOT = Path(__file__).parents[2]
DOMAINS = ["boxes", "science", "relation"]
BENCHMARKS = ["science_test", "chart"]
SIZES = {"in_score": {"science_test": 10}, "out_score": {"chart": 10}}
BEST = np.array([0.7, 0.1, 0.2])  # of `chart`


def truth(weights):
    """Scores [n, 2]: the second has one peak, at BEST, which few runs do not find."""
    away = ((np.sqrt(weights) - np.sqrt(BEST)) ** 2).sum(axis=1)
    return np.column_stack([0.2 + 0.5 * weights[:, 1], 0.2 + 0.6 * np.exp(-6 * away)])


def rows(weights, scores, step=9):
    return rows_of(weights, scores, DOMAINS, BENCHMARKS, step)


def drawn(count, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(3), count).round(4)


FULL = np.concatenate([np.eye(3), [[1 / 3, 1 / 3, 1 / 3], [0.2, 0.6, 0.2]]])


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The finished study of a smaller model: results/small/records.csv in the working directory."""
    monkeypatch.chdir(tmp_path)
    weights = drawn(40, 1)
    weights /= weights.sum(axis=1, keepdims=True)
    made = from_rows(rows(weights, 0.1 + 0.4 * truth(weights)), DOMAINS, BENCHMARKS, SIZES)
    path = Path("results/small/records.csv")
    path.parent.mkdir(parents=True)
    write_records(path, made)
    return path


def full_records():
    return from_rows(rows(FULL, truth(FULL)), DOMAINS, BENCHMARKS, SIZES)


OTHER = {"records": "results/small/records.csv"}


def learning(study_data, *others, propose="acquire", **options):
    """The study with a search that learns from its seeds and from other studies' records."""
    study_data["name"] = "large"
    study_data["strategies"]["next"] = {
        "propose": propose,
        "group": "model",
        "learns_from": ["seed", *others],
        "options": options,
    }
    return study_data


def planned(data, where="study.yaml"):
    return plan(study_from(data, where), where)


# --- what it is for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("propose", "options"),
    [
        ("acquire", {"acquisition": "greedy"}),
        ("acquire", {"acquisition": "greedy", "surrogate": "gp_average"}),
        ("acquire", {"acquisition": "greedy", "surrogate": "gp_steps"}),
        ("cma_es", {}),
        ("pareto", {}),
    ],
)
def test_every_search_finds_with_cheaper_runs_what_few_full_ones_do_not_tell(
    study_data, small, propose, options
):
    strategy = study_from(
        learning(study_data, {**OTHER, "cost": 0.05}, propose=propose, **options), "study.yaml"
    ).strategies["next"]
    records = full_records()
    seen = with_cheaper_runs(records, "next", strategy, ["chart"])
    (both,) = propose_named("next", strategy, seen, DOMAINS).values()
    (alone,) = propose_named("next", strategy, records, DOMAINS).values()
    assert "40 of small weigh" in both.note and "40 runs of small cost as much as 2 full ones" in both.note
    assert "small" not in alone.note
    if propose != "pareto":  # whose mixture need not have the best Out-Score
        away = [
            np.abs(np.array([each.weights[domain] for domain in DOMAINS]) - BEST).max()
            for each in (both, alone)
        ]
        assert away[0] < 0.1 < away[1]


# --- from the YAML to the mixture's file ----------------------------------------------------------------------


def test_the_rules_script_learns_from_the_table_and_says_so(
    study_data, write_study, small, monkeypatch, tmp_path
):
    path = write_study(learning(study_data, OTHER, acquisition="greedy"))
    write_records("full.csv", full_records())
    settings = ProposeSettings.of(read_study(path), "next").text()
    assert file_digest(small) in settings

    def propose(text):
        arguments = [
            "--settings",
            text,
            "--strategy",
            "next",
            "--records",
            "full.csv",
            "--output",
            "next-001.json",
        ]
        monkeypatch.setattr("sys.argv", ["propose.py", *arguments])
        runpy.run_path(str(ROOT / "scripts/propose.py"))["main"]()
        return read_json("next-001.json")

    first = propose(settings)
    assert first["weights"]["boxes"] == pytest.approx(BEST[0], abs=0.1)
    assert str(small) in json.dumps(read_json("next-001/run.json")["inputs"])
    # Other scores there: other settings, so the rule proposes again, and another digest of what was used.
    write_records(small, from_rows(rows(FULL, truth(FULL[::-1])), DOMAINS, BENCHMARKS, SIZES))
    other = ProposeSettings.of(read_study(path), "next").text()
    assert other != settings
    assert propose(other)["observed"] != first["observed"]


def test_other_strategies_settings_do_not_change(study_data, small):
    before = study_from(study_data, "study.yaml")
    texts = {name: ProposeSettings.of(before, name).text() for name in before.strategies}
    after = study_from(learning(study_data, OTHER), "study.yaml")
    assert {name: ProposeSettings.of(after, name).text() for name in texts} == texts
    assert "cheaper" not in "".join(texts.values())


def test_only_searches_are_proposed_again_by_the_new_default(study_data):
    study = study_from(study_data, "study.yaml")
    assert {name: proposal_version(study, name) for name in study.strategies} == {
        "single": 1,
        "all": 1,
        "alpha": 1,
        "surface": 1,
    }
    learning(study_data)
    assert proposal_version(study_from(study_data, "study.yaml"), "next") == 2


def test_paths_are_beside_the_study_and_results_in_the_working_directory(
    study_data, write_study, small, tmp_path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(small, folder / "table.csv")
    study = read_study(
        shutil.move(write_study(learning(study_data, {"records": "table.csv"}, OTHER)), folder)
    )
    first, second = study.strategies["next"].cheaper_runs
    assert (first.records, first.title) == ("mine/table.csv", "table")
    assert (second.records, second.title) == ("results/small/records.csv", "small")


def test_a_name_of_its_own(study_data, small):
    assert CheaperRuns(records="a/records.csv", name="half").title == "half"
    assert CheaperRuns(records="records.csv").title == "records"


def test_step_averaged_scores_are_averaged_there_too(study_data, small):
    both = [*rows(FULL, truth(FULL), 5), *rows(FULL, truth(FULL) + 0.2)]
    write_records(small, from_rows(both, DOMAINS, BENCHMARKS, SIZES))
    learning(study_data, OTHER)["strategies"]["next"]["scores"] = "mean"
    strategy = study_from(study_data, "study.yaml").strategies["next"]
    seen = with_cheaper_runs(average_steps(full_records()), "next", strategy, ["chart"]).fidelities["small"]
    assert seen.frame["y_chart"].to_numpy() == pytest.approx(truth(FULL)[:, 1] + 0.1)


def test_losses_there_are_as_here_unless_told(study_data, small):
    def scores(other, **options):
        strategy = study_from(learning(study_data, other), "study.yaml").strategies["next"]
        seen = with_cheaper_runs(full_records(), "next", strategy, ["chart"], **options)
        return seen.fidelities["small"].frame[["y_science_test", "y_chart"]].to_numpy()

    plain = scores(OTHER)
    assert (plain > 0).all()
    assert (scores({**OTHER, "lower_is_better": True}) == -plain).all()
    assert (scores(OTHER, lower_is_better=["chart", "unscored"]) == plain * [1, -1]).all()
    assert (scores({**OTHER, "lower_is_better": False}, lower_is_better=True) == plain).all()


def test_fidelities_in_the_other_table_are_fidelities_too(study_data, small):
    lines = small.read_text().splitlines()
    marked = [f"{line},{'' if number < 20 else 'tiny'}" for number, line in enumerate(lines)]
    small.write_text("\n".join([f"{lines[0]},fidelity", *marked[1:]]) + "\n")
    strategy = study_from(learning(study_data, OTHER), "study.yaml").strategies["next"]
    seen = with_cheaper_runs(full_records(), "next", strategy, ["chart"])
    assert {name: len(runs) for name, runs in seen.fidelities.items()} == {"small": 19, "small tiny": 21}
    assert observed_digest(seen) != observed_digest(full_records())


# --- what is wrong is told before anything runs ---------------------------------------------------------------


def spoilt(path, change):
    lines = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join(cells) for cells in change(lines)) + "\n")


def renamed(old, new):
    return lambda lines: [[new if cell == old else cell for cell in lines[0]], *lines[1:]]


def unscored(lines):
    return [
        lines[0],
        *(
            [*row[: lines[0].index("y_chart")], "", *row[lines[0].index("y_chart") + 1 :]]
            for row in lines[1:]
        ),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            renamed("w_boxes", "w_code"),
            "strategies.next.learns_from.1: results/small/records.csv: other domains, code only there, boxes only here: "
            "cheaper runs need the same",
        ),
        (
            renamed("y_chart", "y_maths"),
            "strategies.next.learns_from.1: results/small/records.csv: no score of chart, which the strategy aims at: it "
            "has science_test, maths",
        ),
        (
            lambda lines: lines[:3],
            "strategies.next.learns_from.1: results/small/records.csv: 2 trained runs with a score of chart, fewer than "
            "3: too few to learn from",
        ),
        (
            unscored,
            "strategies.next.learns_from.1: results/small/records.csv: 0 trained runs with a score of chart, fewer than "
            "3: too few to learn from",
        ),
        (lambda lines: [lines[0], lines[1][:-1]], "results/small/records.csv:2: "),
        (lambda lines: [], "results/small/records.csv: "),
    ],
    ids=["domains", "benchmarks", "few", "unscored", "short row", "empty"],
)
def test_a_table_that_does_not_fit(study_data, small, change, message):
    spoilt(small, change)
    with pytest.raises(InputError) as error:
        planned(learning(study_data, OTHER))
    assert str(error.value).removeprefix("study.yaml: ").startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("others", "propose", "options", "message"),
    [
        (
            [{"records": "results/smal/records.csv"}],
            "acquire",
            {},
            "strategies.next.learns_from.1.records: "
            "results/smal/records.csv: no such file: make it: snakemake scores --configfile=STUDY.yaml",
        ),
        (
            [{"records": "other.csv"}],
            "acquire",
            {},
            "strategies.next.learns_from.1.records: other.csv: no such file: nor "
            "in the working directory: paths are relative to the study's file",
        ),
        (
            [{"records": "results/small"}],
            "acquire",
            {},
            "strategies.next.learns_from.1.records: results/small: a folder: "
            "name the table in it, e.g. results/small/records.csv",
        ),
        (
            [OTHER, OTHER],
            "acquire",
            {},
            "strategies.next.learns_from.2: a second 'small': give it another `name`",
        ),
        (
            [OTHER],
            "acquire",
            {"surrogate": "ridge_sqrt"},
            "strategies.next.options.surrogate: 'ridge_sqrt' does not use "
            "cheaper runs: choose one of auto, gp_average, gp_steps, or remove strategies.next.learns_from.1",
        ),
        (
            [OTHER],
            "alpha",
            {},
            "strategies.next.learns_from.1: 'alpha' does not use cheaper runs: remove the records, or "
            "search on a surrogate, e.g. propose: acquire",
        ),
        ([OTHER], "all", {}, "strategies.next.learns_from.1: 'all' learns from no runs: remove the records"),
        (
            [{"record": "x.csv"}],
            "acquire",
            {},
            "strategies.next.learns_from.1.record: unknown key: did you mean 'records'?",
        ),
        (
            [{"cost": 0.1}],
            "acquire",
            {},
            "strategies.next.learns_from.1.records: missing: this key is required",
        ),
        (
            [{**OTHER, "cost": 0}],
            "acquire",
            {},
            "strategies.next.learns_from.1.cost: input should be greater than 0",
        ),
        ([5], "acquire", {}, "strategies.next.learns_from.1: input should be a valid string"),
    ],
)
def test_a_mistake_in_the_study(study_data, small, others, propose, options, message):
    with pytest.raises(InputError) as error:
        planned(learning(study_data, *others, propose=propose, **options))
    text = str(error.value).removeprefix("study.yaml: ")
    assert text.startswith(message) and "\n" not in text


def test_too_few_full_runs_to_calibrate(study_data, small):
    assert FEWEST == 3
    learning(study_data, OTHER)["strategies"]["next"]["learns_from"] = ["all", OTHER]
    with pytest.raises(
        InputError, match="next.learns_from: 1 mixtures run in full: what cheaper runs are worth"
    ):
        planned(study_data)
    study_data["strategies"]["next"]["learns_from"] = [OTHER]
    with pytest.raises(InputError, match="next.learns_from: missing: 'acquire' proposes from scored runs"):
        planned(study_data)


def test_records_of_the_study_itself(study_data, small):
    learning(study_data, OTHER)["name"] = "small"
    with pytest.raises(
        InputError, match="learns_from.1: results/small/records.csv: of this study itself: name the"
    ):
        planned(study_data)


def test_a_missing_table_is_made_by_the_study_beside_this_one(study_data, write_study, small):
    small.unlink()
    path = write_study(learning(study_data, OTHER))
    (Path(path).parent / "little.yaml").write_text("# the small one\nname: small  # 0.5B\n")
    with pytest.raises(InputError, match=r"make it: snakemake scores --configfile=.*little\.yaml$"):
        plan(read_study(path), str(path))


def test_snakemake_tells_it_too_and_plans_with_the_table(study_data, write_study, small):
    path = write_study(learning(study_data, OTHER))
    arguments = ["-n", "--quiet", "rules", "--snakefile", str(ROOT / "Snakefile"), f"--configfile={path}"]
    succeed(snakemake(Path(), *arguments))
    spoilt(small, renamed("w_boxes", "w_code"))
    refused = snakemake(Path(), *arguments)
    assert refused.returncode != 0
    assert "other domains, code only there, boxes only here" in refused.stdout + refused.stderr
