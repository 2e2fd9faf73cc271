"""Table 2 and its noise, on numbers done by hand."""

import math
from dataclasses import replace

import pytest

from modomodo.errors import InputError
from modomodo.mixtures.records import from_rows, mark_stopped
from modomodo.reporting.differences import Differences
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import Heading
from modomodo.reporting.tables import noise_report, render, table2, with_differences
from modomodo.reporting.verdict import verdict_of

WEIGHTS = {"single-x": {"x": 1.0}, "single-y": {"y": 1.0}, "best": {"x": 0.5, "y": 0.5}, "base": {}}
STRATEGIES = {"cma-es-001": "cma-es", "cma-es-002": "cma-es"}
HEADINGS = [Heading("seed", "Single", ["single-x", "single-y"]), Heading("model", "Best", ["best"])]


def rendered(records, headings=HEADINGS):
    table = table2(records, headings)
    return render(records, table, Differences.of(records, table))


def records_of(*runs, error=0.03):
    """Records of runs (mixture, seed, step, score of chart); science_test, in, is always 0.5."""
    rows = [
        {
            "mixture": mixture,
            "seed": seed,
            "step": step,
            "strategy": STRATEGIES.get(mixture, mixture.partition("-")[0]),
            "weights": WEIGHTS[mixture],
            "scores": {"science_test": 0.5, "chart": score},
            "standard_errors": {"science_test": 0.1, "chart": error},
        }
        for mixture, seed, step, score in runs
    ]
    aggregates = {"in_score": {"science_test": 10}, "out_score": {"chart": 10}}
    return from_rows(rows, ["x", "y"], ["science_test", "chart"], aggregates)


REPEATED = [
    *(("base", 0, 0, 0.1), ("single-x", 42, 9, 0.5), ("single-x", 43, 9, 0.6), ("single-y", 42, 9, 0.8)),
    *(("best", 42, 9, 0.2), ("best", 43, 9, 0.2), ("best", 44, 9, 0.5)),
]


# --- the table ----------------------------------------------------------------------------------------------


def test_the_table_has_a_row_a_mixture_in_the_order_of_the_headings():
    records = records_of(*reversed(REPEATED))
    table = table2(records, HEADINGS)
    assert table[["group", "mixture"]].to_numpy().tolist() == [
        *(["base", "base"], ["seed", "single-x"], ["seed", "single-y"], ["model", "best"])
    ]
    assert table["out_score"].tolist() == pytest.approx([0.1, 0.55, 0.8, 0.3]), "means over the seeds"
    assert table["seeds"].tolist() == [1, 2, 1, 3]
    assert table["w_x"].tolist()[1:] == [1.0, 0.0, 0.5]
    assert math.isnan(table["w_x"][0])
    assert list(table) == [
        *("group", "strategy", "mixture", "w_x", "w_y"),
        *("y_science_test", "y_chart", "in_score", "out_score"),
        *("se_science_test", "se_chart", "se_in_score", "se_out_score", "seeds"),
    ]


def test_the_table_shows_the_mean_over_the_seeds_at_their_last_steps():
    runs = [("base", 0, 0, 0.1)]
    for mixture in ("single-x", "single-y", "best"):
        runs += [(mixture, seed, step, seed / 100 + step / 1000) for seed in (42, 44) for step in (2, 9, 7)]
    runs += [("best", 49, 3, 0.6)]  # its stream ran dry
    table = table2(records_of(*runs), HEADINGS)
    assert table["out_score"].tolist()[1:] == pytest.approx([0.439, 0.439, (0.429 + 0.449 + 0.6) / 3])
    assert table["seeds"].tolist() == [1, 2, 2, 3]
    # The seeds answer the same questions: their mean is as sure as one of them.
    assert table["se_chart"].tolist() == pytest.approx([0.03] * 4)


@pytest.mark.parametrize(
    ("mixtures", "labels"),
    [
        (["single-x"], ["Single"]),
        (["single-x", "single-y"], ["Single: x", "Single: y"]),
        (["single-big-x", "single-y"], ["Single: big-x", "Single: y"]),
        (
            ["single-big-x", "single-big-y"],
            ["Single: big-x", "Single: big-y"],
        ),
        (
            ["cma-es-001", "cma-es-002"],
            ["Single: 001", "Single: 002"],
        ),
    ],
)
def test_one_of_several_mixtures_is_called_by_its_suffix(mixtures, labels, monkeypatch):
    for mixture in mixtures:
        monkeypatch.setitem(WEIGHTS, mixture, {"x": 1.0})
    table = table2(
        records_of(*((mixture, 42, 9, 0.5) for mixture in mixtures)), [Heading("s", "Single", mixtures)]
    )
    assert table["strategy"].tolist() == labels


def test_a_mixture_without_a_record_is_reported():
    with pytest.raises(InputError, match="records: no row of mixture 'best'"):
        table2(records_of(("single-x", 42, 9, 0.5), ("single-y", 42, 9, 0.5)), HEADINGS)


# --- noise --------------------------------------------------------------------------------------------------


def test_the_noise_report_by_hand():
    records = records_of(*REPEATED)
    report = noise_report(records, table2(records, HEADINGS))
    assert list(report) == ["science_test", "chart", "in_score", "out_score"]
    # Between seeds: single-x gives 0.005 of one degree of freedom, best 0.06 of two: √(0.065 / 3).
    # Between mixtures, base aside: 0.55, 0.8 and 0.3 give 0.25.
    assert report["out_score"]["between_seeds"] == pytest.approx(math.sqrt(0.065 / 3))
    assert report["out_score"]["between_mixtures"] == pytest.approx(0.25)
    assert report["out_score"]["degrees"] == 3
    assert report["out_score"]["ratio"] == pytest.approx(0.25 / math.sqrt(0.065 / 3))
    assert report["chart"] == report["out_score"]


def test_scores_that_never_differ_have_no_ratio():
    records = records_of(*REPEATED)
    found = noise_report(records, table2(records, HEADINGS))["in_score"]
    assert found == {"between_mixtures": 0.0, "between_seeds": 0.0, "degrees": 3, "ratio": None}


def test_without_repeats_the_noise_is_unknown():
    records = records_of(("single-x", 42, 9, 0.5), ("single-y", 42, 9, 0.8), ("best", 42, 9, 0.2))
    found = noise_report(records, table2(records, HEADINGS))["out_score"]
    assert found == {
        "between_mixtures": pytest.approx(0.3),
        "between_seeds": None,
        "degrees": 0,
        "ratio": None,
    }


def test_earlier_steps_are_no_noise():
    records = records_of(*REPEATED, ("single-x", 42, 2, 0.9), ("single-x", 43, 2, 0.1))
    found = noise_report(records, table2(records, HEADINGS))["out_score"]
    assert (found["between_seeds"], found["degrees"]) == (pytest.approx(math.sqrt(0.065 / 3)), 3)


def test_one_mixture_has_no_spread():
    records = records_of(("single-x", 42, 9, 0.5), ("single-x", 43, 9, 0.6))
    table = table2(records, [Heading("seed", "Single", ["single-x"])])
    assert noise_report(records, table)["out_score"]["between_mixtures"] is None


def test_what_is_said_of_the_noise_is_what_is_known():
    runs = [("single-x", 42, 9, 0.5), ("single-y", 42, 9, 0.8), ("best", 42, 9, 0.2)]
    assert "No mixture was repeated with another seed: the noise" in rendered(records_of(*runs))
    again = records_of(*runs, ("best", 43, 9, 0.2))
    assert "0.300 between mixtures, 0.000 between seeds of one mixture (1 degrees of freedom).\n" in rendered(
        again
    )
    online = again.frame.assign(online=(again.frame["mixture"] == "best").astype(int))
    assert "Only online runs were repeated with another seed" in rendered(replace(again, frame=online))
    one = records_of(("single-x", 42, 9, 0.5), ("single-x", 43, 9, 0.6))
    assert "standard deviation 0.071 between seeds" in rendered(one, [Heading("seed", "X", ["single-x"])])


# --- Markdown -----------------------------------------------------------------------------------------------


def cells(text):
    """Strategy → the cells of its line."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in split}


def test_the_best_is_bold_and_what_is_near_it_marked():
    # 1.96 √(2 · 0.03²) = 0.083: 0.75 is within noise of 0.8 and 0.7 is not.
    runs = [("base", 0, 0, 0.1), ("single-x", 42, 9, 0.75), ("single-y", 42, 9, 0.8), ("best", 42, 9, 0.7)]
    records = records_of(*runs)
    text = rendered(records)
    found = cells(text)
    assert found["strategy"] == ["x", "y", "science_test", "chart", "in_score", "out_score"]
    names = ["Base", "Single: x", "Single: y", "Best"]
    for column in (3, 5):
        assert [found[name][column] for name in names] == [
            "0.100 ± 0.030",
            "0.750 ± 0.030 ≈",
            "**0.800** ± 0.030",
            "0.700 ± 0.030",
        ]
    assert [found[name][:2] for name in names] == [
        ["", ""],
        ["1.00", "0.00"],
        ["0.00", "1.00"],
        ["0.50", "0.50"],
    ]
    assert "noise between seeds is unknown" in text


def test_equal_scores_are_all_best():
    records = records_of(
        ("base", 0, 0, 0.1), ("single-x", 42, 9, 0.8), ("single-y", 42, 9, 0.8), ("best", 42, 9, 0.1)
    )
    text = rendered(records)
    assert text.count("**0.800** ± 0.030") == 4  # chart and out_score, twice
    assert text.count("**0.50** ± 0.10") == 8


def test_the_noise_between_seeds_widens_what_is_marked():
    records = records_of(*REPEATED)
    text = rendered(records)
    # √0.0217 = 0.147: single-x, mean 0.55 of two seeds, is within 1.96 √(2 · 0.03² + 0.0217 (1 + 1/2)) = 0.363 of 0.8,
    # best, mean 0.3 of three seeds, not within 1.96 √(2 · 0.03² + 0.0217 (1 + 1/3)) = 0.343.
    found = cells(text)
    assert [found[name][5] for name in ("Single: x (2 seeds)", "Single: y", "Best (3 seeds)")] == [
        "0.550 ± 0.030 ≈",
        "**0.800** ± 0.030",
        "0.300 ± 0.030",
    ]
    assert (
        "Out-Score: standard deviation 0.25 between mixtures, 0.15 between seeds of one mixture "
        "(3 degrees of freedom): ratio 1.7."
    ) in text


def test_the_csv_has_the_error_of_each_difference_from_the_best():
    records = records_of(
        ("base", 0, 0, 0.1), ("single-x", 42, 9, 0.75), ("single-y", 42, 9, 0.8), ("best", 42, 9, 0.7)
    )
    table = table2(records, HEADINGS)
    shown = with_differences(table, Differences.of(records, table))
    assert shown["se_difference_chart"].tolist() == pytest.approx(
        [math.sqrt(2) * 0.03, math.sqrt(2) * 0.03, math.nan, math.sqrt(2) * 0.03], nan_ok=True
    )
    assert list(shown)[: len(list(table))] == list(table)


def test_groups_stand_under_their_headings():
    records = records_of(*REPEATED)
    lines = rendered(records).splitlines()
    first = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    assert first[2:] == [
        "Base",
        "**seed mixtures**",
        "Single: x (2 seeds)",
        "Single: y",
        "**model**",
        "Best (3 seeds)",
    ]
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1, "a table of one width"


def test_a_score_that_nobody_has_leaves_its_column_empty():
    rows = [
        {"mixture": "single-x", "seed": 42, "step": 9, "weights": {"x": 1.0}, "scores": {"science_test": 0.5}}
    ]
    records = from_rows(rows, ["x", "y"], ["science_test", "chart"])
    text = rendered(records, [Heading("seed", "Single", ["single-x"])])
    assert cells(text)["Single"] == ["1.00", "0.00", "**0.500**", "", "", ""]


# --- runs that a race has stopped -------------------------------------------------------------------------------


def test_a_stopped_mixture_has_no_row_and_is_named_below_with_its_step():
    """Its early score is the greatest of all, and compares with none."""
    records = mark_stopped(
        records_of(
            ("base", 0, 0, 0.1), ("single-x", 42, 2, 0.9), ("single-y", 42, 9, 0.3), ("best", 42, 9, 0.5)
        )
    )
    found = results_of(records, HEADINGS)
    assert found.table["mixture"].tolist() == ["base", "single-y", "best"]
    assert found.stopped[["strategy", "step"]].to_numpy().tolist() == [["Single: x", 2]]
    best = found.best()
    assert best is not None and best["mixture"] == "best"
    assert verdict_of(found).choice == "Best" and verdict_of(found).mixtures == 2
    text = render(found.records, found.table, found.differences, found.stopped)
    assert "compare with none above: Single: x at step 2: 0.900 ± 0.030." in text
    assert noise_report(records, found.table) == noise_report(found.records, found.table)


def test_a_stopped_mixture_that_a_repeat_took_to_the_end_has_that_row():
    records = mark_stopped(records_of(("best", 42, 2, 0.9), ("best", 43, 9, 0.5), ("single-y", 42, 9, 0.3)))
    found = results_of(records, [HEADINGS[1], Heading("seed", "Single", ["single-y"])])
    assert found.table.set_index("mixture")["out_score"]["best"] == 0.5 and found.stopped.empty
