"""Runs that others recorded: their tables in, mixtures and how sure they are out."""

import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from running import snakemake

from modomodo.errors import InputError
from modomodo.mixtures.mixture import read_mixture
from modomodo.replay import report
from modomodo.replay import run as replay
from modomodo.replay.config import replay_from
from modomodo.reporting.explorer import page_data
from modomodo.reporting.figures import drawable, drawings
from modomodo.reporting.figures.style import Page

ROOT = Path(__file__).parents[2]
DOMAINS = ("maths", "code", "prose")


def losses(weights):
    """Two losses: `a` wants maths, `b` wants code; both are worst without prose."""
    return np.column_stack(
        [np.exp(-3 * weights[:, 0] - weights[:, 2]), np.exp(-3 * weights[:, 1] - weights[:, 2])]
    )


def test_a_seed_replicates_and_constraints_reach_the_judgement(table):
    """Of the optimum, by the best mixtures of the halves."""

    def best(**changed):
        found = outcome(table, **changed).uncertainty
        return found.best[:, [found.domains.index("maths")]]

    assert (len(best()), len(best(replicates=4))) == (8, 4)
    assert not np.array_equal(best(seed=1), best())
    assert best()[:, 0].max() > 0.2 >= best(constraints={"maximum": {"maths": 0.2}})[:, 0].max() - 1e-6


@pytest.fixture
def table(tmp_path):
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), 16).round(4)
    weights[:, 2] = 1 - weights[:, :2].sum(axis=1)
    frame = pd.DataFrame(weights, columns=[f"w_{domain}" for domain in DOMAINS])
    frame[["y_a", "y_b"]] = losses(weights)
    path = tmp_path / "runs.csv"
    frame.to_csv(path, index=False)
    return path


def config(path, **changed):
    data = {
        "name": "strangers",
        "records": {
            "path": str(path),
            "lower_is_better": True,
            "aggregates": {"mine": {"a": 3, "b": 1}},
        },
        "target": "mine",
        "replicates": 8,
        "strategies": {"next": {"propose": "acquire", "count": 2, "options": {"acquisition": "greedy"}}},
    }
    return data | changed


def outcome(path, **changed):
    study = replay_from(config(path, **changed), "study.yaml")
    return replay.run(study, replay.read(study))


def test_a_strangers_losses_lead_to_the_mixture_of_the_lowest(table):
    found = outcome(table)
    best = found.proposals["next-001"][1]
    # 3 a + b: by hand the lowest lies at maths (3 ln 3 - ln 1 apart) with some code, no prose.
    assert best.weights["maths"] > 0.5 > best.weights["prose"]
    assert found.chosen.informed and found.objective.shares.tolist() == [0.75, 0.25]
    # Reversed, the same table leads away from maths.
    upside = outcome(table, records=config(table)["records"] | {"lower_is_better": False})
    assert upside.proposals["next-001"][1].weights["maths"] < 0.3


def test_the_two_file_form_says_the_same(table, tmp_path):
    frame = pd.read_csv(table)
    folder = tmp_path / "swarm"
    folder.mkdir()
    names = [f"run{i:02d}" for i in range(len(frame))]
    ratios = frame[[f"w_{domain}" for domain in DOMAINS]].rename(columns=lambda name: name[2:])
    ratios.assign(run=names).to_csv(folder / "ratios.csv", index=False)
    metrics = frame[["y_a", "y_b"]].rename(columns=lambda name: name[2:])
    metrics.assign(run=names)[::-1].to_csv(folder / "metrics.csv", index=False)
    one, two = outcome(table), outcome(folder)
    for mixture in one.proposals:
        assert one.proposals[mixture][1].weights == pytest.approx(two.proposals[mixture][1].weights, abs=1e-6)


def test_columns_in_another_order_change_nothing_by_name(table, tmp_path):
    frame = pd.read_csv(table)
    other = tmp_path / "other.csv"
    frame[["y_b", "w_prose", "w_maths", "y_a", "w_code"]].to_csv(other, index=False)
    one, two = outcome(table), outcome(other)
    for mixture, (_, proposal) in one.proposals.items():
        assert proposal.weights == two.proposals[mixture][1].weights
    pd.testing.assert_frame_equal(one.uncertainty.weights(), two.uncertainty.weights())


def test_noise_is_not_taken_for_an_optimum(table):
    frame = pd.read_csv(table)
    frame[["y_a", "y_b"]] = np.random.default_rng(5).standard_normal((len(frame), 2))
    frame.to_csv(table, index=False)
    found = outcome(table)
    assert not found.chosen.informed
    assert "No optimum is claimed" in report.report(found, report.verdict(found))
    assert "these probabilities mean nothing" in report.report(found, report.verdict(found))
    assert found.uncertainty.over_baselines()["within_noise"].all()
    assert found.uncertainty.proposals_over_reference()["within_noise"].all()
    assert found.proposals["next-001"][1].note.startswith("explore")


def test_three_mixtures_tell_nothing_of_the_certainty_and_print_no_nan(table, tmp_path):
    few = tmp_path / "few.csv"
    pd.read_csv(table).head(3).to_csv(few, index=False)
    found = outcome(few)
    text = report.report(found, report.verdict(found))
    assert "cannot be split into halves" in text and "half's optimum" not in text
    assert "nan" not in text.split("## Calibration")[0]


def test_nothing_is_claimed_of_a_domain_that_no_run_tried(table):
    frame = pd.read_csv(table).assign(w_law=0.0)
    frame.to_csv(table, index=False)
    searches = {
        name: {"propose": "cma_es", "options": {"surrogate": name}} for name in ("gp_average", "ridge_sqrt")
    }
    found = outcome(table, strategies=searches)
    text = report.report(found, report.verdict(found))
    assert "**No run has tried law:** nothing is known of it" in text
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert (
        "no run has tried law" in rows["uniform"]
        and "unknown" in rows["uniform"]
        and "1.00" not in rows["uniform"]
    )
    assert rows["law"].count("not tried") == 3 and "1.00" in rows["uniform without law"]
    place = found.observations.domains.index("law")
    assert found.worst[place] == 0 and found.uncertainty.optimum[place] == 0
    assert all(proposal.weights["law"] == 0 for _, proposal in found.proposals.values())
    assert "no run has tried law" in report.in_short(found)


@pytest.mark.parametrize("case", ["one row", "constant"])
def test_nearly_empty_records_print_no_nan_and_no_certainty(table, case):
    frame = pd.read_csv(table)
    if case == "constant":
        frame[["y_a", "y_b"]] = 5.0
    (frame.head(1) if case == "one row" else frame).to_csv(table, index=False)
    found = outcome(table)
    text = report.report(found, report.verdict(found))
    assert "nan" not in text and "how far mixtures differ is not known" in text
    assert "±" not in text.split("## Proposed mixtures")[1].split("Better than")[0]
    assert "Worst predicted mixture" not in text and "half's optimum" not in text
    assert "there is no optimum to be certain of" in text
    assert found.uncertainty.proposals_over_reference()["probability"].isna().all()


def test_everything_is_written_and_twice_the_same(table, tmp_path):
    settings = tmp_path / "config.yaml"
    settings.write_text(json.dumps(config("elsewhere.csv")))
    for name in ("one", "two"):
        subprocess.run(
            [
                sys.executable,
                "scripts/propose.py",
                "--records",
                table,
                "--config",
                settings,
                "--output",
                tmp_path / name,
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert {path.name for path in files} >= {
        *("next-001.json", "next-002.json", "table2.csv", "comparison.csv", "calibration.csv"),
        *("left_out.csv", "optimum_weights.csv", "optimum_against.csv", "proposals_against.csv", "report.md"),
    }
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert set(read_mixture(tmp_path / "one/mixtures/next-001.json").weights) == set(DOMAINS)
    shown = pd.read_csv(tmp_path / "one/table2.csv")
    assert shown["group"].value_counts().to_dict() == {"recorded": 16, "model": 2}
    assert shown.loc[shown["group"] == "model", "predicted"].notna().all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"target": "mnie"}, "target: the records have no 'mnie': did you mean 'mine'"),
        (
            {"target": "in_score"},
            r"target: the records have no 'in_score'.* records: \{aggregates: \{in_score: \{a: 1, b: 1\}\}\}",
        ),
        (
            {"strategies": {"s": {"propose": "acquire", "target": "c"}}},
            "strategies.s.target: the records have no 'c': known: a, b, mine",
        ),
        ({"strategies": {"s": {"propose": "aquire"}}}, "strategies.s: unknown strategy 'aquire'"),
        (
            {"strategies": {"s": {"propose": "acquire", "options": {"surrogate": "gp_leed"}}}},
            "strategies.s: unknown surrogate 'gp_leed'",
        ),
        (
            {"strategies": {"s": {"propose": "acquire", "learns_from": ["seed"]}}},
            "strategies.s.learns_from: no row of the records has the strategy 'seed'",
        ),
        ({"replicats": 3}, "replicats: unknown key: did you mean 'replicates'"),
    ],
)
def test_a_mistake_is_reported_in_one_line(table, changed, message):
    with pytest.raises(InputError, match=message):
        outcome(table, **changed)


# --- another study's records ------------------------------------------------------------------------------------


@pytest.fixture
def two(table, tmp_path, monkeypatch):
    """A study of 7 runs, and one of 60 of a smaller model in results/small/records.csv, with other losses."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    weights = random.dirichlet(np.ones(3), 60)
    small = pd.DataFrame(weights, columns=[f"w_{domain}" for domain in DOMAINS])
    small[["y_a", "y_b"]] = 2 + 0.5 * losses(weights)
    Path("results/small").mkdir(parents=True)
    small.to_csv("results/small/records.csv", index=False)
    pd.read_csv(table)[:7].to_csv(table, index=False)
    return config(table, strategies=learner())


def learner(*named, **other):
    return {
        "next": {
            "propose": "acquire",
            "learns_from": [*named, {"records": "results/small/records.csv", **other}],
            "options": {"acquisition": "greedy"},
        }
    }


def test_a_study_learns_from_the_records_of_a_cheaper_one(two, tmp_path):
    study = tmp_path / "full.yaml"
    study.write_text(json.dumps(two))
    arguments = ["--snakefile", ROOT / "Snakefile", f"--configfile={study}"]
    done = snakemake(tmp_path, *map(str, arguments))
    assert done.returncode == 0, done.stdout + done.stderr
    alone = outcome(two["records"]["path"]).proposals["next-001"][1]
    helped = outcome(two["records"]["path"], strategies=two["strategies"]).proposals["next-001"][1]
    assert "60 of small weigh" in helped.note and "small" not in alone.note
    written = read_mixture(tmp_path / "results/strangers/mixtures/next-001.json").weights
    assert written == pytest.approx(helped.weights, abs=1e-4)
    assert cost(helped) < 0.97 * cost(alone)
    # Snakemake: what was made stays, until the other study's table is another.
    rerun = ["-n", "--quiet", "rules", *map(str, arguments)]
    assert "Nothing to be done" in (said := snakemake(tmp_path, *rerun)).stdout + said.stderr
    frame = pd.read_csv("results/small/records.csv")
    frame.assign(y_a=frame["y_b"]).to_csv("results/small/records.csv", index=False)
    again = snakemake(tmp_path, "-n", *map(str, arguments))
    assert "propose_from_records" in again.stdout + again.stderr


def cost(proposal):
    """The loss at its weights."""
    return (losses(np.array([[proposal.weights[domain] for domain in DOMAINS]])) @ [0.75, 0.25]).item()


def test_rows_and_the_records_of_a_cheaper_study(two):
    frame = pd.read_csv(two["records"]["path"])
    frame.assign(strategy=["seed"] * 5 + ["late"] * 2).to_csv(two["records"]["path"], index=False)
    found = outcome(two["records"]["path"], strategies=learner("seed", name="half", cost=0.1))
    note = found.proposals["next-001"][1].note
    assert note.startswith("greedy, 5 runs") and "60 of half weigh" in note
    assert "60 runs of half cost as much as 6 full ones" in note


def test_its_losses_may_differ_from_this_tables(two):
    frame = pd.read_csv("results/small/records.csv")
    frame[["y_a", "y_b"]] *= -1
    frame.to_csv("results/small/records.csv", index=False)
    path = two["records"]["path"]
    turned = outcome(path, strategies=learner(lower_is_better=False)).proposals["next-001"][1]
    misread = outcome(path, strategies=two["strategies"]).proposals["next-001"][1]
    assert cost(turned) < cost(misread)


@pytest.mark.parametrize(
    ("spoil", "other", "message"),
    [
        (
            lambda frame: frame.rename(columns={"w_code": "w_law"}),
            {},
            "other domains, law only there, code only here",
        ),
        (
            lambda frame: frame.rename(columns={"y_a": "y_c", "y_b": "y_d"}),
            {},
            "no score of a, b, which the strategy aims at: it has c, d",
        ),
        (lambda frame: frame[:2], {}, "2 trained runs with a score of a, b, fewer than 3"),
        (lambda frame: frame.assign(y_a="x"), {}, "results/small/records.csv:2: y_a: 'x' is not a number"),
        (
            lambda frame: frame,
            {"records": "results/big/records.csv"},
            "no such file: make it: snakemake scores",
        ),
        (
            lambda frame: frame,
            {"lower_is_better": ["c"]},
            r"next.learns_from.0.lower_is_better: unknown benchmark 'c'",
        ),
    ],
)
def test_a_mistake_about_a_cheaper_study_is_told_before_anything_runs(two, spoil, other, message):
    spoil(pd.read_csv("results/small/records.csv")).to_csv("results/small/records.csv", index=False)
    study = replay_from(two | {"strategies": learner(**other)}, "study.yaml")
    with pytest.raises(InputError, match=message) as error:
        replay.read(study)
    assert "\n" not in str(error.value)


def test_too_few_full_runs_to_calibrate_cheaper_ones(two):
    pd.read_csv(two["records"]["path"])[:2].to_csv(two["records"]["path"], index=False)
    with pytest.raises(InputError, match=r"next.learns_from: 2 mixtures run in full"):
        replay.read(replay_from(two, "study.yaml"))


def test_the_papers_seed_rows(tmp_path):
    study = replay.load(str(ROOT / "config/replay.yaml"))
    records = replay.read(study, ROOT / "config/replay/modomodo_seeds.csv")
    # What is not legible stays unknown, and Table 1's sizes give back the printed Out-Score.
    row = records.frame.set_index("mixture").loc["exclude-COCO"]
    assert row["in_score"] == 0.5146 and np.isnan(row["out_score"])
    aim = replay.objective(records, "out_score", study.records.aggregates)
    whole = records.frame[records.frame["out_score"].notna()]
    sums = whole[[f"y_{name}" for name in aim.benchmarks]].to_numpy() @ aim.shares
    np.testing.assert_allclose(sums, whole["out_score"], atol=6e-5)


def results(path, **changed):
    return replay.replay_results(json.dumps(config(path, **changed)))[1]


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, "−mine"),  # a mean of losses is one, and is shown negated
        ({"target": "a"}, "−a"),
        ({"records": {"lower_is_better": False}, "target": "a"}, "a"),
        (
            {
                "records": {"lower_is_better": ["a"], "aggregates": {"mixed": {"a": 1, "b": 1}}},
                "target": "mixed",
            },
            "mixed",
        ),
    ],
)
def test_a_table_without_out_score_gives_every_figure_of_its_own_target(table, changed, shown):
    changed = changed | (
        {"records": {"path": str(table), **changed["records"]}} if "records" in changed else {}
    )
    found = results(table, **changed)
    names = drawable(list(found.weights()), base=False, runs=False, scored=found.known())
    assert names == ["out_score", "mixture_model", "mixtures", "effects", "slices", "calibration"]
    draw = drawings(found, [], Page(), "gp_sqrt")
    labels = {}
    for name in names:
        figure, numbers = draw[name]()
        labels[name] = [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())]
        labels[name] += [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
        labels[name].append(figure.get_supylabel())
        assert len(numbers) >= (6 if name == "effects" else 16)
        plt.close(figure)
    assert any(text.split(" (")[0] == shown for text in labels["out_score"])
    assert shown in labels["mixtures"]
    assert {f"actual {shown}", f"predicted {shown}"} <= set(labels["mixture_model"])
    assert f"actual {shown}" in labels["calibration"]
    assert shown in labels["effects"]
    assert any(text.split(" (")[0] == shown for text in labels["slices"])
    assert not any("Out-Score" in text for texts in labels.values() for text in texts)


def test_the_best_mixture_of_a_loss_is_that_of_the_lowest(table):
    frame = pd.read_csv(table)
    lowest = (0.75 * frame["y_a"] + 0.25 * frame["y_b"]).idxmin()
    figure, numbers = drawings(results(table), [], Page(), "gp_sqrt")["mixtures"]()
    plt.close(figure)
    assert numbers["mixture"].iloc[0] == f"mixture-{lowest + 1:04d}"


def test_the_explorer_of_a_table_without_out_score_shows_its_scores(table):
    data = page_data(results(table), "strangers", "gp_sqrt")
    assert data["aim"] == "mine" and list(data["best"]) == ["mine"]
    assert [target["title"] for target in data["targets"]] == ["−a", "−b", "−mine"]
    frame = pd.read_csv(table)
    assert data["runs"][0]["scores"] == pytest.approx(
        [-frame["y_a"][0], -frame["y_b"][0], -(0.75 * frame["y_a"][0] + 0.25 * frame["y_b"][0])]
    )


def test_scores_that_are_all_equal_or_hardly_known_are_drawn_without_a_warning(table, recwarn):
    constant = pd.read_csv(table).assign(y_a=1.0, y_b=1.0)
    hardly = pd.read_csv(table)
    hardly.loc[2:, "y_a"] = np.nan
    for frame, count in ((constant, 6), (hardly, 2)):
        frame.to_csv(table, index=False)
        found = results(table, target="a")
        names = drawable(list(found.weights()), base=False, runs=False, scored=found.known())
        assert len(names) == count
        for name in names:
            plt.close(drawings(found, [], Page(), "gp_sqrt")[name]()[0])
    assert [str(warning.message) for warning in recwarn] == []


def test_the_table_lies_relative_to_the_study_and_not_to_where_one_works(table, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own = tmp_path / "own.yaml"
    own.write_text(json.dumps(config("runs.csv")))
    (elsewhere / "runs.csv").write_text("w_other,y_a,y_b\n1,0.5,0.5\n")  # not this one
    monkeypatch.chdir(elsewhere)
    study = replay.load("../own.yaml")
    assert study.records.path == "../runs.csv" and replay.read(study).domains == list(DOMAINS)
    assert replay.load(study.text()).records.path == "../runs.csv", "as the rules pass it on"
    # As it was read before, where none lies beside the study.
    table.rename(elsewhere / "kept.csv")
    own.write_text(json.dumps(config("kept.csv")))
    assert replay.load("../own.yaml").records.path == "kept.csv"
    own.write_text(json.dumps(config("lost.csv")))
    with pytest.raises(
        InputError, match=r"records.path: ../lost.csv: no such file, nor in the working directory"
    ):
        replay.read(replay.load("../own.yaml"))


def test_runs_of_a_table_keep_their_names(table):
    frame = pd.read_csv(table)
    again = pd.concat([frame, frame.head(1)]).assign(run=[f"exp-{i}" for i in range(17)])
    again.to_csv(table, index=False)
    records = replay.read(replay_from(config(table), "study.yaml"))
    assert records.frame["mixture"].tolist() == [*(f"exp-{i}" for i in range(16)), "exp-0"]
    assert records.frame["seed"].tolist() == [0] * 16 + [1], (
        "the same weights again: another seed of that mixture"
    )
    # A column that names no mixture: the numbers in file order.
    again.assign(run="sweep").to_csv(table, index=False)
    records = replay.read(replay_from(config(table), "study.yaml"))
    assert records.frame["mixture"].iloc[0] == "mixture-0001"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w_a;w_b;y_a\n0,5;0,5;0,3\n", "t.csv:1: cells are separated by semicolons (;)"),
        ("w_a,w_b,y_c\n0.5,0.5,0.3\n", "target: the records have no 'a'"),
    ],
)
def test_a_dry_run_tells_what_is_wrong_with_the_table(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    study = {
        "name": "t",
        "records": {"path": "t.csv"},
        "target": "a",
        "strategies": {"s": {"propose": "acquire"}},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    run = snakemake(ROOT, "-n", "--configfile", str(tmp_path / "study.yaml"))
    assert run.returncode != 0 and message in run.stderr
