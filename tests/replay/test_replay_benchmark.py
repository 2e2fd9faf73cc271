"""The replay of recorded runs: strangers' tables, the figures by hand, and the line for machines."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ranking import COMPARED, rank, rank_unseen, regret, search
from recorded_tables import read_families, read_table

from modomodo.errors import InputError
from modomodo.mixtures.surrogates.calibration import DEFAULT

ROOT = Path(__file__).parents[2]
laws = runpy.run_path(str(ROOT / "benchmarks/mixing_laws.py"), run_name="laws")


def runs(count=30, domains=3, metrics=2):
    """A plain table: each metric follows a domain of its own, with a little noise."""
    random = np.random.default_rng(7)
    weights = random.dirichlet(np.ones(domains), count)
    scores = np.sqrt(weights[:, np.arange(metrics) % domains]) + 0.02 * random.standard_normal(
        (count, metrics)
    )
    columns = {f"w_d{j}": weights[:, j] for j in range(domains)}
    return pd.DataFrame(columns | {f"y_m{b}": scores[:, b] for b in range(metrics)})


def written(folder, frame, **options):
    path = folder / "T.csv"
    frame.to_csv(path, index=False, **options)
    return path


def read(folder, frame, **options):
    return read_table(written(folder, frame), **options)


def test_the_composite_is_the_mean_of_standardised_metrics(tmp_path):
    frame = runs()
    table = read(tmp_path, frame)
    scores = frame[["y_m0", "y_m1"]].to_numpy()
    standard = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    by_hand = pd.Series(standard.mean(axis=1)).sort_values().to_numpy()
    assert np.sort(table.composite) == pytest.approx(by_hand)
    assert read(tmp_path, frame, lower_is_better=True).composite == pytest.approx(-table.composite)


def test_regret_and_rank_by_hand():
    actual = np.array([0.0, 1.0, 4.0, np.nan])
    assert regret(np.array([1.0, 3.0, 2.0, 9.0]), actual) == pytest.approx(0.75)
    assert regret(np.array([0.0, 3.0, 3.0, 9.0]), actual) == pytest.approx(0.375)
    assert rank(np.array([1.0, 3.0, 2.0, 9.0]), actual) == pytest.approx(0.5)
    assert rank(np.ones(4), actual) == 0.0


def test_other_columns_a_byte_order_mark_and_rounding_change_nothing(tmp_path):
    frame = runs()
    plain = read(tmp_path, frame)
    odd = frame.copy()
    odd[["w_d0", "w_d1", "w_d2"]] *= 1.004
    odd.insert(0, "index", range(len(odd)))
    odd.insert(1, "name", "a run")
    odd["size"], odd["seed"], odd["note"] = "60M", 42, None
    again = read_table(written(tmp_path, odd, encoding="utf-8-sig"))
    assert again.runs.weights == pytest.approx(plain.runs.weights, abs=1e-12)
    assert again.composite == pytest.approx(plain.composite)


def test_repeated_mixtures_become_one_row_with_their_mean(tmp_path):
    frame = runs()
    repeat = frame.iloc[[4, 4, 9]].copy()
    repeat["y_m0"] += [0.3, 0.6, 0.0]
    repeat["y_m1"] = [0.1, np.nan, np.nan]
    table = read(tmp_path, pd.concat([frame, repeat], ignore_index=True))
    assert len(table.runs) == len(frame)
    means = frame.copy()
    means.loc[4, "y_m0"] += 0.3
    means.loc[4, "y_m1"] = (means.loc[4, "y_m1"] + 0.1) / 2
    assert np.sort(table.composite) == pytest.approx(np.sort(read(tmp_path, means).composite))


def test_a_row_without_a_score_is_learnt_from_but_not_ranked_by_the_composite(tmp_path):
    frame = runs()
    frame.loc[[3, 8], "y_m1"] = np.nan
    frame.loc[5, ["y_m0", "y_m1"]] = np.nan
    table = read(tmp_path, frame)
    assert len(table.runs) == 29 and len(table.complete) == 27
    found = rank_unseen(table, DEFAULT, 12, 0)
    assert found["composite_spearman"] > 0.8 and found["metric_spearman"] > 0.8
    curve = search(table, DEFAULT, "expected_improvement", 6, 10, 0)
    assert [row["runs"] for row in curve] == [6, 7, 8, 9, 10]
    assert all(0 <= row["regret"] <= 1 for row in curve)


def test_metrics_that_say_nothing_are_left_out_and_named(tmp_path, capsys):
    frame = runs().assign(y_same=0.25, y_rare=np.nan, w_never=0.0)
    frame.loc[:9, "y_rare"] = np.arange(10.0)
    table = read(tmp_path, frame)
    assert table.runs.benchmarks == ("m0", "m1") and "never" in table.runs.domains
    said = capsys.readouterr().err
    assert "y_same: constant: left out" in said
    assert "y_rare: known of 10 of 30 mixtures: left out" in said
    for name in COMPARED:
        found = rank_unseen(table, name, 8, 0)
        assert all(np.isfinite(value) for value in found.values() if isinstance(value, float)), name


def test_one_metric_is_enough(tmp_path):
    table = read(tmp_path, runs(metrics=1))
    found = rank_unseen(table, DEFAULT, 12, 0)
    assert found["composite_spearman"] == found["metric_spearman"] > 0.8


def test_without_names_no_surrogate_can_tell_a_namesake(tmp_path):
    named = runs(metrics=3).rename(columns={"y_m0": "y_d0", "y_m1": "y_d1", "y_m2": "y_d2"})
    table, anonymous = read(tmp_path, named), read(tmp_path, named, anonymous=True)
    assert anonymous.runs.benchmarks == ("metric000", "metric001", "metric002")
    assert np.array_equal(anonymous.runs.scores, table.runs.scores)
    other = read(tmp_path, runs(metrics=3))
    columns = ("composite_spearman", "metric_spearman", "metric_regret")
    with_names, without, never = (rank_unseen(t, DEFAULT, 6, 1) for t in (table, anonymous, other))
    assert [without[name] for name in columns] == [never[name] for name in columns]
    assert [without[name] for name in columns] != [with_names[name] for name in columns]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.assign(w_d0=f.w_d0 * 100, w_d1=f.w_d1 * 100, w_d2=f.w_d2 * 100),
            "T.csv:2: w_d0.*divide",
        ),
        (lambda f: f.assign(y_m0=1.0, y_m1=2.0), r"T.csv: no column 'y_…' varies"),
        (lambda f: f.head(9), "T.csv: 9 mixtures have every score, 10 are the fewest to replay$"),
        (
            lambda f: f.head(18).assign(y_m1=[0.1] * 4 + [0.2] * 5 + [np.nan] * 9),
            "T.csv: 9 mixtures have every score.*y_m1 lacks 9, fill or remove it",
        ),
        (lambda f: f.assign(y_m1="high"), "T.csv:2: y_m1: 'high' is not a number"),
    ],
)
def test_a_table_that_cannot_be_replayed_is_reported_with_a_hint(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, change(runs()))


def test_losses_by_name(tmp_path):
    frame = runs()
    path = written(tmp_path, frame)
    (table,) = read_families({"T": [path]}, losses=["m1"])
    turned = read(tmp_path, frame.assign(y_m1=-frame.y_m1))
    assert table.composite == pytest.approx(turned.composite)
    with pytest.raises(InputError, match="--losses m7: no table has a column 'y_m7'"):
        read_families({"T": [path]}, losses=["m1", "m7"])
    twice = read_families({"T": [path, path]})
    assert len({table.name for table in twice}) == 2


def test_the_laws_make_tables_that_can_be_replayed(tmp_path):
    for name, family in laws["FAMILIES"].items():
        table = read(tmp_path, laws["table"](name, 40, 3))
        assert (len(table.runs.domains), len(table.runs.benchmarks)) == (family.domains, family.benchmarks), (
            name
        )


def replayed(folder, *words):
    command = [sys.executable, str(ROOT / "benchmarks/replay.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_last_line_is_for_machines_whatever_the_table(tmp_path):
    written(tmp_path, runs(count=20))
    words = ["T.csv", "--runs", "6", "40", "--seeds", "2", "--output", "out"]
    done = replayed(tmp_path, *words, "--surrogates", DEFAULT, "quadratic", "--sequential", "4", "7")
    assert done.returncode == 0, done.stderr
    figure = r"(-?\d\.\d{3})"
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(
        rf"default composite spearman k=6 {figure} k=40 nan; quadratic {figure} nan; lightgbm nan nan", last
    )
    table = pd.read_csv(tmp_path / "out/replay.csv")
    means = table.groupby("surrogate")["composite_spearman"].mean()
    assert found and float(found[1]) == pytest.approx(means[DEFAULT], abs=5e-4)
    assert float(found[2]) == pytest.approx(means["quadratic"], abs=5e-4)
    assert "--runs 40: 'T' has 20 mixtures with every score" in done.stderr
    assert (tmp_path / "out/replay.png").exists()
    curves = pd.read_csv(tmp_path / "out/sequential.csv")
    assert set(curves["method"]) > {"random", "quadratic greedy"} and set(curves["runs"]) == {4, 5, 6, 7}

    small = replayed(tmp_path, "T.csv", "--runs", "40", "--sequential", "6", "24", "--output", "small")
    assert small.returncode == 0, small.stderr
    assert small.stdout.splitlines()[-1] == "default composite spearman k=40 nan; quadratic nan; lightgbm nan"

    wrong = replayed(tmp_path, "T.csv", "--sequential", "9", "6")
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: --sequential 9 6: expected FIRST")
