"""The replay by family: means, paired standard errors, the noise ceiling and the choice by other families, by hand."""

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from family_means import family_means, figures_left_out, leave_one_family_out
from noise_ceiling import attenuation, ceiling_of, from_repeats, run_variance
from ranking import COVERAGES, FIGURES, coverage, rank_unseen
from recorded_tables import Table, family_files, read_families, read_table
from test_replay_benchmark import ROOT, replayed, runs

from modomodo.errors import InputError
from modomodo.mixtures.surrogates.base import Prediction
from modomodo.mixtures.surrogates.calibration import DEFAULT

replay = runpy.run_path(str(ROOT / "benchmarks/replay.py"), run_name="replay")
OTHER = "ridge_sqrt"


def tables(**families: list[str]) -> list[Table]:
    """Tables without content: names alone decide how their figures are averaged."""
    nothing = ceiling_of(
        np.full((2, 1), np.nan), np.arange(2), np.full((2, 1), np.nan), np.full((2, 1), np.nan)
    )
    return [Table(name, family, None, None, nothing) for family, names in families.items() for name in names]


def ranks(figures: dict[tuple[str, str, str], list[float]], count: int = 8) -> pd.DataFrame:
    """Spearman by (family, table, surrogate), one a choice of runs; all other figures are 1 - Spearman."""
    rows = []
    for (family, table, surrogate), values in figures.items():
        for seed, value in enumerate(values):
            row = {"family": family, "table": table, "surrogate": surrogate, "runs": count, "seed": seed}
            row |= dict.fromkeys([*FIGURES, *COVERAGES], 1 - value)
            rows.append(row | {"composite_spearman": value})
    return pd.DataFrame(rows)


# Family a has two tables, b one: a's figure by choice of runs is .5 .7 (default) and .4 .8 (other).
FIGURES_BY_HAND = {
    ("a", "a1", DEFAULT): [0.4, 0.6],
    ("a", "a2", DEFAULT): [0.6, 0.8],
    ("a", "a1", OTHER): [0.4, 0.8],
    ("a", "a2", OTHER): [0.4, 0.8],
    ("b", "b1", DEFAULT): [0.1, 0.3],
    ("b", "b1", OTHER): [0.4, 0.4],
}


def test_means_and_paired_standard_errors_by_hand():
    means = family_means(ranks(FIGURES_BY_HAND), tables(a=["a1", "a2"], b=["b1"]))
    means = means.set_index(["family", "surrogate"])
    found = means["composite_spearman"]
    assert found["a", DEFAULT] == pytest.approx(0.6) and found["b", DEFAULT] == pytest.approx(0.2)
    # Each family weighs the same, though a has two tables.
    assert found["mean", DEFAULT] == pytest.approx(0.4) and found["mean", OTHER] == pytest.approx(0.5)
    # Two choices of runs, x and y: the standard error of their mean is |x - y| / 2.
    errors = means["composite_spearman_se"]
    assert errors["a", DEFAULT] == pytest.approx(0.1) and errors["a", OTHER] == pytest.approx(0.2)
    assert errors["mean", DEFAULT] == pytest.approx(0.1)  # (.5 + .1) / 2 = .3 and (.7 + .3) / 2 = .5
    # a: -.1 and +.1; b: +.3 and +.1; mean of the two: +.1 and +.1.
    ahead, its_error = means["composite_spearman_ahead"], means["composite_spearman_ahead_se"]
    assert ahead["a", OTHER] == pytest.approx(0.0) and its_error["a", OTHER] == pytest.approx(0.1)
    assert ahead["b", OTHER] == pytest.approx(0.2) and its_error["b", OTHER] == pytest.approx(0.1)
    assert ahead["mean", OTHER] == pytest.approx(0.1)
    assert its_error["mean", OTHER] == pytest.approx(0.0, abs=1e-12)
    assert (means.xs(DEFAULT, level="surrogate")["composite_spearman_ahead"] == 0).all()
    # A smaller regret is ahead, too.
    assert means["composite_regret_ahead"]["b", OTHER] == pytest.approx(0.2)


def test_one_choice_of_runs_has_no_standard_error_and_one_family_no_mean():
    means = family_means(ranks({("a", "a1", OTHER): [0.5]}), tables(a=["a1"]))
    assert means["family"].tolist() == ["a"] and np.isnan(means["composite_spearman_se"]).all()
    assert "composite_spearman_ahead" not in means
    assert leave_one_family_out(means).empty


def test_a_family_left_out_is_judged_by_what_the_others_choose():
    figures = {
        ("a", "a1", "one"): [0.9],
        ("a", "a1", "two"): [0.8],
        ("a", "a1", "three"): [0.1],
        ("b", "b1", "one"): [0.3],
        ("b", "b1", "two"): [0.2],
        ("b", "b1", "three"): [0.4],
        ("c", "c1", "one"): [0.2],
        ("c", "c1", "two"): [0.5],
        ("c", "c1", "three"): [0.1],
    }
    means = family_means(ranks(figures), tables(a=["a1"], b=["b1"], c=["c1"]))
    choices = leave_one_family_out(means)
    chosen = choices[choices["chosen"]].set_index("family")
    # In b and c one ranks 2, 2; two 3, 1; three 1, 3. Of equal ranks the greatest mean: .25, .35, .25.
    assert chosen["surrogate"].to_dict() == {"a": "two", "b": "two", "c": "one"}
    assert chosen["rank_elsewhere"].to_dict() == {"a": 2.0, "b": 1.5, "c": 1.5}
    assert chosen["spearman_elsewhere"].to_dict() == pytest.approx({"a": 0.35, "b": 0.65, "c": 0.6})
    left = figures_left_out(means, choices).set_index("family")
    assert left["composite_spearman"].to_dict() == pytest.approx({"a": 0.8, "b": 0.2, "c": 0.2})
    assert left["hindsight"].to_dict() == {"a": "one", "b": "three", "c": "two"}


# --- the noise ceiling ------------------------------------------------------------------------------------------


def test_the_variance_between_repeats_by_hand():
    values, mixtures = np.array([1.0, 3.0, 5.0, 6.0, 9.0, np.nan]), np.array([0, 0, 1, 1, 2, 2])
    # (1 + 1 + ¼ + ¼) over two degrees of freedom; the mixture that was scored once adds none.
    assert run_variance(values, mixtures) == (pytest.approx(1.25), 2)
    assert run_variance(values[::2], mixtures[::2])[1] == 0


def test_what_a_seed_adds_to_all_mixtures_is_no_noise():
    mixtures = np.repeat([0, 1, 2], 2)
    values = np.array([0.0, 5.0, 1.0, 6.0, 2.0, 8.0])
    # Less their mixture's mean and the seeds' ∓8/3: ±1/6, ±1/6 and ∓1/3, with (3 - 1)(2 - 1) degrees of freedom.
    assert run_variance(values, mixtures) == (pytest.approx((4 / 36 + 2 / 9) / 2), 2)


def test_the_ceiling_by_hand():
    scores = np.array([0.0, 1.0, 2.0, 3.0])  # variance 5/3
    assert attenuation(scores, np.full(4, 0.6)) == pytest.approx(np.sqrt(1 - 0.36))
    assert attenuation(scores, np.full(4, 2.0)) == 0.0
    assert np.isnan(attenuation(scores, np.array([0.6, 0.6, 0.6, np.nan])))
    # Four mixtures, three of them run twice: variance (3 · 2 · ¼) / 3 = ½, that of the means ¼ ¼ ¼ ½.
    values = np.array([-0.5, 0.5, 0.5, 1.5, 1.5, 2.5, 3.0])
    mixtures = np.array([0, 0, 1, 1, 2, 2, 3])
    assert from_repeats(values, mixtures) == pytest.approx(np.sqrt(1 - 0.3125 / (5 / 3)))
    assert np.isnan(from_repeats(values[2:], mixtures[2:]))  # two repeats tell no variance


def test_repeats_see_noise_that_metrics_share_and_standard_errors_do_not():
    mixtures = np.repeat(np.arange(4), 2)
    truth = np.repeat([0.0, 1.0, 2.0, 3.0], 2)
    together = np.array([-0.5, 0.5, 0.5, -0.5] * 2)
    means, errors = np.repeat(truth[::2, None], 2, axis=1), np.full((4, 2), np.nan)
    shared = ceiling_of(np.column_stack([truth + together] * 2), mixtures, means, errors)
    opposed = ceiling_of(np.column_stack([truth + together, truth - together]), mixtures, means, errors)
    assert shared.composite == pytest.approx(shared.metric) and shared.metric == pytest.approx(opposed.metric)
    assert opposed.composite == pytest.approx(1.0) and shared.composite < 1
    assert shared.noise == "4 repeats"
    # Standard errors of .6 each on a variance of 5/3: the composite's noise is half of that, as if independent.
    known = ceiling_of(means, np.arange(4), means, np.full((4, 2), 0.6))
    assert known.metric == pytest.approx(np.sqrt(1 - 0.36 / (5 / 3)))
    assert known.composite == pytest.approx(np.sqrt(1 - 0.18 / (5 / 3)))
    assert known.noise == "standard errors"


def test_the_ceiling_of_tables(tmp_path):
    frame = runs()
    path = tmp_path / "T.csv"
    frame.to_csv(path, index=False)
    unknown = read_table(path).ceiling
    assert unknown.noise == "unknown" and np.isnan([unknown.composite, unknown.metric]).all()
    spread = frame[["y_m0", "y_m1"]].std()
    frame.assign(se_m0=spread["y_m0"] / 2, se_m1=spread["y_m1"] / 2).to_csv(path, index=False)
    assert read_table(path).ceiling.metrics == pytest.approx([np.sqrt(0.75)] * 2)
    random = np.random.default_rng(1)
    again = frame.assign(y_m0=frame.y_m0 + 0.05 * random.standard_normal(len(frame)))
    pd.concat([frame, again]).to_csv(path, index=False)
    repeated = read_table(path).ceiling
    assert repeated.noise == "30 repeats" and 0.9 < repeated.metrics[0] < repeated.metrics[1] == 1.0


def test_the_ceiling_bounds_what_the_truth_itself_would_get():
    """A thousand mixtures whose expected scores are known: their correlation with noisy scores is the ceiling."""
    random = np.random.default_rng(2)
    truth = random.standard_normal(1000)
    first, second = (truth + random.standard_normal(1000) for _ in range(2))
    both = np.stack([first, second], axis=1).ravel()
    ceiling = from_repeats(both, np.repeat(np.arange(1000), 2))
    judged = np.corrcoef(truth, (first + second) / 2)[0, 1]
    assert ceiling == pytest.approx(np.sqrt(2 / 3), abs=0.02) and ceiling == pytest.approx(judged, abs=0.02)


# --- coverage, families, the command ----------------------------------------------------------------------------


def test_the_coverage_by_hand():
    # One metric has a deviation of √(.09 + .16) = ½, the other 1; the mean of both √(.25 + 1) / 2 = .56.
    covariance = np.broadcast_to(np.diag([0.09, 0.5]), (4, 2, 2))
    prediction = Prediction(np.zeros((4, 2)), covariance, np.diag([0.16, 0.5]))
    actual = np.array([[0.6, 1.2], [0.7, 1.4], [-0.1, np.nan], [0.0, -1.3]])
    # .64 and 1.28 are the half widths; of the mean .72. Rows: .9 out, 1.05 out, unknown, .65 in.
    composite, metric = coverage(prediction, actual)
    assert composite == pytest.approx(1 / 3)
    assert metric == pytest.approx((3 / 4 + 1 / 3) / 2)


def test_intervals_are_only_made_when_asked_for(tmp_path):
    runs().to_csv(tmp_path / "T.csv", index=False)
    table = read_table(tmp_path / "T.csv")
    with_them, without = (rank_unseen(table, OTHER, 12, 0, intervals) for intervals in (True, False))
    assert 0 < with_them["composite_coverage_80"] <= 1 and np.isnan(without["metric_coverage_80"])
    assert with_them["composite_spearman"] == without["composite_spearman"]


def test_files_of_a_family(tmp_path):
    for name in ("b2", "b1", "c"):
        (tmp_path / f"{name}.csv").touch()
    name, files = family_files([f"worlds={tmp_path}/b*.csv", f"{tmp_path}/c.csv"])
    assert name == "worlds" and [path.stem for path in files] == ["b1", "b2", "c"]
    with pytest.raises(InputError, match="--family T.csv: expected NAME=FILE"):
        family_files(["T.csv"])
    with pytest.raises(InputError, match="--family worlds: no file matches '.*d.csv'"):
        family_files([f"worlds={tmp_path}/*d.csv"])


def test_losses_of_some_families(tmp_path):
    frame = runs()
    for name in ("one", "two"):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    families = {"a": [tmp_path / "one.csv"], "b": [tmp_path / "two.csv"]}
    plain, turned = read_families(families, lower_is_better=["b"])
    assert (plain.family, turned.family) == ("a", "b")
    assert turned.composite == pytest.approx(-plain.composite)
    every = read_families(families, lower_is_better=None)
    assert every[0].composite == pytest.approx(-plain.composite)
    with pytest.raises(InputError, match="--lower-is-better: no family 'bb': did you mean 'b'"):
        read_families(families, lower_is_better=["bb"])


def test_the_command_by_family(tmp_path: Path):
    frame = runs(count=20)
    frame.to_csv(tmp_path / "loss.csv", index=False)
    for name in ("w1", "w2"):
        pd.concat([frame, frame.tail(6).add([0, 0, 0, 0.01, 0.01])]).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    words = ["--family", "worlds=w*.csv", "--family", "losses=loss.csv", "--lower-is-better", "losses"]
    words += ["--surrogates", DEFAULT, OTHER, "--runs", "6", "--seeds", "2", "--output", "out"]
    words += ["--coverage", DEFAULT]
    done = replayed(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out/replay.csv")
    assert set(table["family"]) == {"worlds", "losses"} and len(table) == 3 * 2 * 2
    means = pd.read_csv(tmp_path / "out/families.csv")
    assert set(means["family"]) == {"worlds", "losses", "mean"}
    by_family = table[table["surrogate"] == DEFAULT].groupby("family")["composite_spearman"].mean()
    assert f"k=6 {by_family.mean():.3f};" in done.stdout.splitlines()[-1]
    assert "noise ceiling: worlds 0.9" in done.stdout and "losses unknown, mean unknown" in done.stdout
    judged = means.set_index("surrogate")["composite_coverage_80"]
    assert judged[DEFAULT].between(0, 1).all() and judged[OTHER].isna().all()
    choices = pd.read_csv(tmp_path / "out/choices.csv")
    assert len(choices) == 4 and choices.groupby("family")["chosen"].sum().eq(1).all()
    assert pd.read_csv(tmp_path / "out/tables.csv")["noise_from"].tolist() == ["6 repeats"] * 2 + ["unknown"]
    assert (tmp_path / "out/replay.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no table: give CSV files, or --family NAME=FILE …"),
        (["a.csv", "--runs", "0"], "--runs and --seeds: expected numbers of at least 1"),
        (["a.csv", "--surrogates", "ridge"], "unknown surrogate 'ridge': did you mean 'ridge_sqrt'?"),
        (
            ["a.csv", "--surrogates", OTHER, "--coverage", "ridge"],
            "--coverage ridge: not compared: did you mean 'ridge_sqrt'?",
        ),
        (["--family", "mean=a.csv"], "--family mean: the mean over families is called so: choose another"),
        (
            ["--family", "a=a.csv", "--family", "a=b.csv"],
            "--family a: given twice: write all its files after",
        ),
    ],
)
def test_words_that_make_no_replay(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        arguments = replay["options"]().parse_args(words)
        replay["check"](arguments)
        replay["families"](arguments.tables, arguments.family)


def test_a_table_alone_is_a_family_of_its_own_name():
    found = replay["families"]([Path("x/T.csv"), Path("y/T.csv")], [["a=b.csv", "c.csv"]])
    assert found == {
        "a": [Path("b.csv"), Path("c.csv")],
        "T": [Path("x/T.csv")],
        "y/T.csv": [Path("y/T.csv")],
    }
