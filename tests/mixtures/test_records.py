import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modomodo.errors import InputError
from modomodo.mixtures import records, records_csv
from modomodo.mixtures.surrogates.base import objective

IN = {"LISA": 3397, "SAT": 1928, "ScienceQA": 2017}
OUT = {"ChartQA": 2500, "InfoVQA": 2801, "MathVista": 1000, "MMMU": 900}

# LISA, SAT, ScienceQA, ChartQA, InfoVQA, MathVista, MMMU, printed In-Score and Out-Score: the rows of the
# paper's Table 2 in which our copy's nine numbers are undamaged.
TABLE_2 = """
0.1525 0.2479 0.0486 0.236  0.3144 0.391 0.3789 0.149  0.3059
0.4015 0.5047 0.0258 0.41   0.5357 0.436 0.3811 0.3254 0.4589
0.4433 0.4035 0.0253 0.3704 0.476  0.426 0.3922 0.318  0.4219
0.0835 0.2547 0.4284 0.4936 0.5086 0.405 0.3989 0.2232 0.4753
0.0551 0.5949 0.063  0.5476 0.5075 0.414 0.3722 0.199  0.4915
0.0279 0.3786 0.7828 0.494  0.3787 0.426 0.3867 0.3274 0.4263
0.4064 0.5902 0.7288 0.4488 0.5471 0.429 0.4011 0.5432 0.4783
0.4728 0.6011 0.7283 0.5424 0.4875 0.437 0.4022 0.5767 0.4889
0.4727 0.4824 0.7313 0.498  0.4858 0.423 0.4122 0.5463 0.4721
0.4493 0.5856 0.4259 0.5108 0.5387 0.406 0.3978 0.4787 0.493
0.4778 0.5737 0.6991 0.4816 0.4681 0.435 0.41   0.5638 0.4609
0.4687 0.5928 0.7476 0.5524 0.5111 0.434 0.4    0.5779 0.5008
0.4616 0.5788 0.7179 0.488  0.5125 0.422 0.3989 0.5628 0.4772
0.4755 0.5892 0.7338 0.552  0.5179 0.441 0.4144 0.5763 0.5061
0.4494 0.5773 0.7055 0.5304 0.4851 0.432 0.3978 0.5533 0.4825
0.4573 0.5664 0.705  0.564  0.5083 0.467 0.4133 0.554  0.51
0.4415 0.5939 0.7581 0.522  0.5036 0.417 0.4133 0.5685 0.4867
0.4676 0.5877 0.7382 0.5548 0.5063 0.436 0.4078 0.5735 0.5011
0.4678 0.5783 0.6083 0.4076 0.5035 0.422 0.4089 0.5354 0.4471
0.4732 0.5762 0.7372 0.5764 0.5156 0.449 0.4022 0.5728 0.5133
0.4498 0.402  0.7129 0.5456 0.5065 0.428 0.4089 0.5095 0.497
0.0873 0.5856 0.7015 0.4692 0.4932 0.421 0.4022 0.3869 0.4635
0.4666 0.5892 0.7447 0.5572 0.5307 0.427 0.3967 0.5752 0.5088
0.448  0.5923 0.704  0.4836 0.5002 0.402 0.3933 0.5562 0.4674
0.4662 0.5794 0.711  0.5072 0.507  0.42  0.41   0.5632 0.4829
0.4257 0.4414 0.7204 0.5096 0.4308 0.403 0.3956 0.5108 0.4499
0.0556 0.5731 0.6896 0.488  0.5053 0.415 0.4022 0.3657 0.4739
0.4637 0.5529 0.7248 0.4904 0.4847 0.429 0.3922 0.5589 0.4674
0.2274 0.5871 0.7387 0.5196 0.5246 0.453 0.3911 0.4623 0.4962
0.2674 0.5762 0.7288 0.5536 0.525  0.438 0.3956 0.4752 0.5067
0.2225 0.5747 0.7427 0.514  0.5005 0.446 0.4044 0.4579 0.4856
0.438  0.597  0.7154 0.5344 0.5016 0.424 0.3844 0.556  0.4876
0.1219 0.6006 0.7313 0.4844 0.5256 0.414 0.4178 0.415  0.4823
0.4293 0.5949 0.7402 0.5528 0.5126 0.427 0.3867 0.5582 0.4989
0.2382 0.5669 0.7234 0.5412 0.5269 0.443 0.4033 0.4578 0.5048
0.3843 0.5887 0.7214 0.516  0.5067 0.448 0.3989 0.5306 0.4883
0.3955 0.5773 0.7343 0.5648 0.5258 0.434 0.3789 0.5363 0.5082
"""


def table_2():
    return [[float(cell) for cell in line.split()] for line in TABLE_2.strip().splitlines()]


def write(path, text):
    path.write_text(text)
    return path


def rows(*runs):
    """(mixture, seed, step, weight of a, score x) as rows of two domains and two benchmarks."""
    return [
        {
            "mixture": mixture,
            "seed": seed,
            "step": step,
            "weights": {} if weight is None else {"a": weight, "b": 1 - weight},
            "scores": {"x": score, "y": 2 * score},
            "standard_errors": {"x": 0.3, "y": 0.4},
        }
        for mixture, seed, step, weight, score in runs
    ]


def make(*runs, aggregates=None):
    return records.from_rows(rows(*runs), ["a", "b"], ["x", "y"], aggregates)


def test_in_and_out_score_of_the_papers_clean_rows():
    names = [*IN, *OUT]
    table = table_2()
    assert len(table) == 37
    for row in table:
        scores = dict(zip(names, row[:7], strict=True))
        assert records.aggregate(scores, {}, IN)[0] == pytest.approx(row[7], abs=5.1e-5)
        assert records.aggregate(scores, {}, OUT)[0] == pytest.approx(row[8], abs=5.1e-5)


def test_aggregate_by_hand():
    score, error = records.aggregate({"x": 0.2, "y": 0.6}, {"x": 0.04, "y": 0.01}, {"x": 1, "y": 3})
    assert score == pytest.approx(0.5)  # (0.2 + 3 · 0.6) / 4
    assert error == pytest.approx(math.sqrt(0.01**2 + 0.0075**2))
    assert math.isnan(records.aggregate({"x": 0.2, "y": math.nan}, {}, {"x": 1, "y": 3})[0])
    with pytest.raises(InputError, match="no score of 'z'"):
        records.aggregate({"x": 0.2}, {}, {"z": 1})


def test_the_table_shows_how_its_aggregates_are_made():
    names = [*IN, *OUT]
    runs = [
        {
            "mixture": f"m{i}",
            "seed": 0,
            "step": 1,
            "weights": {"a": 1.0},
            "scores": dict(zip(names, row[:7], strict=True)),
        }
        for i, row in enumerate(table_2())
    ]
    table = records.from_rows(runs, ["a"], names, {"in_score": IN, "out_score": OUT})
    shares = records.aggregate_shares(table, "out_score")
    assert shares == pytest.approx({name: size / 7201 for name, size in OUT.items()}, abs=1e-6)
    assert records.aggregate_shares(table, "in_score") == pytest.approx(
        {name: size / 7342 for name, size in IN.items()}, abs=1e-6
    )
    assert records.aggregate_shares(table, "MMMU") == {"MMMU": 1.0}
    # Three rows cannot tell seven benchmarks apart.
    few = records.from_rows(runs[:3], ["a"], names, {"out_score": OUT})
    assert records.aggregate_shares(few, "out_score") is None


def test_few_runs_keep_what_their_aggregates_are_made_of(tmp_path):
    # Two runs, two benchmarks with the same scores: no solver could tell their weights.
    made = make(
        ("all", 42, 500, 0.5, 0.2), ("all", 43, 500, 0.5, 0.2), aggregates={"out_score": {"x": 500, "y": 100}}
    )
    path = tmp_path / "records.csv"
    records.write_records(path, made)
    read = records_csv.read_records(path)
    for table in (made, read, records.trained(read), records.last_step(records.average_seeds(read))):
        aim = objective(table, "out_score")
        assert (aim.benchmarks, list(aim.shares)) == (("x", "y"), [500 / 600, 100 / 600])
    solved = objective(replace(read, aggregates={}), "out_score")
    assert solved.benchmarks == ("out_score",), "its own column is modelled"


def test_an_aggregate_can_be_filled_from_what_it_is_made_of(tmp_path):
    path = tmp_path / "records.csv"
    path.write_text("w_a,y_x,y_y,n_in_x,n_in_y\n1,0.2,0.6,1,3\n")
    table = records_csv.read_records(path)
    assert table.frame["in_score"].tolist() == [pytest.approx(0.5)]
    assert "n_in_x" not in table.frame


@pytest.mark.parametrize(
    ("cells", "line", "cell"),
    [(("1", "2"), 3, "2"), (("1", ""), 3, ""), (("0", "0"), 2, "0"), (("-1", "1"), 2, "-1")],
)
def test_what_a_benchmark_counts_is_one_positive_number(tmp_path, cells, line, cell):
    path = tmp_path / "records.csv"
    path.write_text("w_a,seed,y_x,n_out_x\n" + "".join(f"1,{i},0.5,{n}\n" for i, n in enumerate(cells)))
    with pytest.raises(
        InputError, match=rf"records.csv:{line}: n_out_x: '{cell}' is not the one positive number"
    ):
        records_csv.read_records(path)


def test_columns_and_round_trip(tmp_path):
    made = make(
        ("base", 42, 0, None, 0.1), ("all", 42, 500, 0.5, 0.2), aggregates={"in_score": {"x": 1, "y": 1}}
    )
    assert list(made.frame) == [
        *("mixture", "seed", "step", "strategy", "w_a", "w_b", "y_x", "y_y", "se_x", "se_y"),
        *("in_score", "out_score", "se_in_score", "se_out_score"),
    ]
    path = tmp_path / "records.csv"
    records.write_records(path, made)
    header, first, _ = path.read_text().splitlines()
    assert header.endswith(",se_out_score,n_in_x,n_in_y")
    assert first == "base,42,0,,,,0.1,0.2,0.3,0.4,0.15000000000000002,,0.25,,1,1"
    again = records_csv.read_records(path)
    assert again.aggregates == {"in_score": {"x": 1, "y": 1}}
    assert list(again.frame) == list(made.frame)
    records.write_records(tmp_path / "again.csv", again)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    assert records.observed_digest(again) == records.observed_digest(made)
    assert (again.domains, again.benchmarks) == (["a", "b"], ["x", "y"])


def test_base_model_is_kept_but_not_learned_from():
    made = make(("base", 42, 0, None, 0.1), ("all", 42, 500, 0.5, 0.2))
    assert len(made) == 2
    assert list(records.trained(made).frame["mixture"]) == ["all"]


def test_steps_and_seeds():
    made = make(
        ("base", 1, 0, None, 0.0),
        ("all", 1, 500, 0.5, 0.2),
        ("all", 1, 1500, 0.5, 0.3),
        ("all", 1, 2000, 0.5, 0.7),
        ("all", 2, 2000, 0.5, 0.9),
    )
    mean = records.average_steps(made).frame
    assert list(mean["y_x"]) == pytest.approx([0.0, 0.4, 0.9])
    assert list(mean["step"]) == [0, 2000, 2000]
    assert list(mean["se_x"]) == pytest.approx([0.3, 0.3, 0.3])
    last = records.last_step(made).frame
    assert list(last["y_x"]) == [0.0, 0.7, 0.9]
    seeds = records.average_seeds(records.last_step(made)).frame
    assert list(seeds["y_x"]) == pytest.approx([0.0, 0.8])
    assert list(seeds["seed"]) == [1, 1]
    assert seeds["se_x"][1] == pytest.approx(0.3), "they answer the same questions"


def test_a_score_missing_at_one_step_is_missing_in_the_mean():
    made = make(("all", 1, 500, 0.5, math.nan), ("all", 1, 2000, 0.5, 0.7))
    assert math.isnan(records.average_steps(made).frame["y_x"][0])


def test_seed_noise_by_hand():
    made = make(
        ("m", 1, 9, 0.5, 0.2),
        ("m", 2, 9, 0.5, 0.4),  # variance 0.02, one degree of freedom
        ("n", 1, 9, 0.3, 0.1),
        ("n", 2, 9, 0.3, 0.1),
        ("n", 3, 9, 0.3, 0.4),  # variance 0.03, two degrees
        ("o", 1, 9, 0.2, 0.9),
    )
    assert records.seed_noise(made, "x") == pytest.approx(math.sqrt((0.02 + 2 * 0.03) / 3))
    assert math.isnan(records.seed_noise(make(("m", 1, 9, 0.5, 0.2)), "x"))


def test_weights_by_name():
    made = make(("m", 1, 9, 0.2, 0.2))
    assert records.weights_matrix(made, ["b", "a"]).tolist() == [[0.8, 0.2]]
    with pytest.raises(InputError, match="no domain 'c'"):
        records.weights_matrix(made, ["c"])
    with pytest.raises(InputError, match="no target 'z'"):
        records.target_values(made, "z")


def test_the_digest_knows_content_not_order(tmp_path):
    made = make(("m", 1, 9, 0.2, 0.2), ("n", 1, 9, 0.4, 0.3))
    path = tmp_path / "permuted.csv"
    made.frame.iloc[::-1, ::-1].assign(comment="aside").to_csv(path, index=False)
    again = records_csv.read_records(path)
    assert records.observed_digest(again) == records.observed_digest(made)
    assert list(again.frame["comment"]) == ["aside", "aside"]
    other = make(("m", 1, 9, 0.2, 0.2), ("n", 1, 9, 0.4, 0.3001))
    assert records.observed_digest(other) != records.observed_digest(made)


def test_a_table_of_weights_and_losses_only(tmp_path):
    path = write(tmp_path / "runs.csv", "w_a,w_b,y_x\n0.5,0.5,3.0\n1.0,0.0,2.0\n0.5,0.5,3.5\n")
    table = records_csv.read_records(path, lower_is_better=True, aggregates={"out_score": {"x": 1}})
    assert list(table.frame["y_x"]) == [-3.0, -2.0, -3.5]
    assert list(table.frame["out_score"]) == [-3.0, -2.0, -3.5]
    assert list(table.frame["mixture"]) == ["mixture-0001", "mixture-0002", "mixture-0001"]
    assert list(table.frame["seed"]) == [0, 0, 1]
    with pytest.raises(InputError, match="unknown benchmark 'z'"):
        records_csv.read_records(path, lower_is_better=["z"])


def test_weights_off_by_rounding_are_scaled(tmp_path):
    path = write(tmp_path / "runs.csv", "w_a,w_b,y_x\n0.333,0.666,3.0\n")
    table = records_csv.read_records(path)
    np.testing.assert_allclose(records.weights_matrix(table, ["a", "b"]), [[1 / 3, 2 / 3]], atol=1e-12)


def test_the_two_file_form(tmp_path):
    ratios = write(tmp_path / "ratios.csv", "run,name,index,web,code\nr1,one,0,0.5,0.5\nr2,two,1,0.1,0.9\n")
    metrics = write(tmp_path / "metrics.csv", "run,name,index,bpb\nr2,two,1,0.7\nr1,one,0,0.8\n")
    table = records_csv.read_ratios_and_metrics(ratios, metrics, lower_is_better=["bpb"])
    assert list(table.frame["mixture"]) == ["one", "two"]
    assert list(table.frame["y_bpb"]) == [-0.8, -0.7]  # matched by run, not by line
    assert table.domains == ["web", "code"]
    assert records.observed_digest(records_csv.read_records(tmp_path, ["bpb"])) == records.observed_digest(
        table
    )
    write(metrics, "run,name,index,bpb\nr2,two,1,0.7\n")
    with pytest.raises(InputError, match=r"ratios.csv:2: run: 'r1' has no row in .*metrics.csv"):
        records_csv.read_records(tmp_path)


@pytest.mark.parametrize("key", ["run", "run_id", "name", "index", "", "Unnamed: 0"])
def test_the_two_file_form_by_whatever_names_the_runs(tmp_path, key):
    write(tmp_path / "ratios.csv", f"{key},web,code\n7,0.5,0.5\n9,0.1,0.9\n")
    write(tmp_path / "metrics.csv", f"{key},bpb\n9,0.7\n7,0.8\n")
    table = records_csv.read_records(tmp_path)
    assert table.domains == ["web", "code"] and table.benchmarks == ["bpb"]
    assert list(table.frame["mixture"]) == ["7", "9"] and list(table.frame["y_bpb"]) == [0.8, 0.7]


def test_equal_weights_in_the_two_file_form_are_repeats_of_one_mixture(tmp_path):
    write(tmp_path / "ratios.csv", "run,web,code\na,0.5,0.5\nb,0.1,0.9\nc,0.5,0.5\nd,0.500000,0.5\n")
    write(tmp_path / "metrics.csv", "run,bpb\nc,0.7\na,0.8\nd,0.6\nb,0.1\n")
    table = records_csv.read_records(tmp_path)
    assert table.frame[["mixture", "seed", "y_bpb"]].to_numpy().tolist() == [
        *(["a", 0, 0.8], ["b", 0, 0.1], ["a", 1, 0.7], ["a", 2, 0.6]),
    ]
    assert records.seed_noise(table, "bpb") == pytest.approx(0.1)


def test_a_run_with_several_rows_of_metrics_was_repeated(tmp_path):
    write(tmp_path / "ratios.csv", "run,web,code\na,0.5,0.5\nb,0.1,0.9\n")
    write(tmp_path / "metrics.csv", "run,bpb\nb,0.1\na,0.8\na,0.6\n")
    table = records_csv.read_records(tmp_path)
    assert table.frame[["mixture", "seed", "y_bpb"]].to_numpy().tolist() == [
        *(["a", 0, 0.8], ["a", 1, 0.6], ["b", 0, 0.1])
    ]
    # Seeds and steps are what they are called, and no metrics.
    write(tmp_path / "metrics.csv", "run,step,seed,bpb\nb,9,7,0.1\na,5,7,0.9\na,9,7,0.8\na,9,8,0.6\n")
    table = records_csv.read_records(tmp_path)
    assert table.benchmarks == ["bpb"]
    assert records.last_step(table).frame[["mixture", "seed", "step", "y_bpb"]].to_numpy().tolist() == [
        *(["a", 7, 9, 0.8], ["a", 8, 9, 0.6], ["b", 7, 9, 0.1])
    ]
    write(tmp_path / "metrics.csv", "run,step,bpb\nb,9,0.1\na,5,0.9\na,9,0.8\n")
    assert records_csv.read_records(tmp_path).frame["seed"].tolist() == [0, 0, 0], "two steps of one run"


def test_a_bad_cell_of_two_files_is_reported_with_its_own_file_and_line(tmp_path):
    ratios = write(tmp_path / "ratios.csv", "run,web,code\na,0.5,0.5\nb,0.1,0.9\n")
    write(tmp_path / "metrics.csv", "run,bpb\nb,0.1\na,0.8\na,much\n")
    with pytest.raises(InputError, match=r"metrics\.csv:4: bpb: 'much' is not a number"):
        records_csv.read_records(tmp_path)
    write(ratios, "run,web,code\na,0.5,0.5\na,0.1,0.9\n")
    with pytest.raises(InputError, match=r"ratios\.csv:3: run: 'a' appears twice"):
        records_csv.read_records(tmp_path)


def test_a_column_of_runs_names_the_mixtures(tmp_path):
    path = write(tmp_path / "runs.csv", "run,w_a,w_b,y_x\nbig,1,0,3\nlong,0,1,2\nagain,1,0,4\n,0.5,0.5,1\n")
    table = records_csv.read_records(path)
    assert table.frame[["mixture", "seed"]].to_numpy().tolist() == [
        *(["big", 0], ["long", 0], ["big", 1], ["mixture-0003", 0])
    ]


def test_two_files_without_a_common_name_of_the_runs(tmp_path):
    write(tmp_path / "ratios.csv", "run,web,code\n7,0.5,0.5\n")
    write(tmp_path / "metrics.csv", "experiment,bpb\n7,0.8\n")
    with pytest.raises(InputError, match="no common column to match rows by: give both 'run', 'run_id'"):
        records_csv.read_records(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w_a,w_b,y_x\n0.5,0.5,three\n", "R.csv:2: y_x: 'three' is not a number"),
        ("w_a,w_b,y_x\n0.5,0.5,1\n0.5,0.5,inf\n", "R.csv:3: y_x: 'inf' is not a finite number"),
        ("w_a,w_b,y_x\n0.5,0.5,1\n0.5,0.6,1\n", "R.csv:3: w_a…: the weights sum to 1.1, not 1"),
        (
            "w_a,w_b,y_x\n500,500,1\n",
            "R.csv:2: w_a…: the weights sum to 1000, not 1: divide them by their sum",
        ),
        ("w_a,w_b,y_x\n1.5,-0.5,1\n", "R.csv:2: w_b: the weight -0.5 is negative"),
        ("w_a,w_b,y_x\n1.0,,1\n", "R.csv:2: w_b: empty, though other weights are given: write 0"),
        ("w_a,y_x\n1.0,1\n1.0\n", "R.csv:3: 1 cells, expected 2"),
        ("w_a,w_a,y_x\n1.0,0,1\n", "R.csv:1: column 'w_a' appears twice"),
        ("a,y_x\n1.0,1\n", "R.csv: no column 'w_…'"),
        ("w_a\n1.0\n", "R.csv: no column 'y_…'"),
        ("", "R.csv: empty"),
        ("w_a,y_x,seed\n1,1,1.5\n", "R.csv:2: seed: '1.5' is not a whole number"),
        ("w_a,y_x,se_x\n1,1,-1\n", "R.csv:2: se_x: a standard error is not negative"),
        (
            "mixture,seed,step,w_a,y_x\nm,1,1,1,1\nm,1,1,1,1\n",
            "R.csv:3: mixture: 'm' with seed 1 and step 1 appears twice",
        ),
        (
            "mixture,seed,w_a,w_b,y_x\nm,1,1,0,1\nm,2,0,1,1\n",
            "R.csv: mixture 'm' stands with different weights",
        ),
    ],
)
def test_a_damaged_table_is_reported_with_file_line_and_column(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "R.csv", text)
    with pytest.raises(InputError) as error:
        records_csv.read_records("R.csv")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_weights_that_are_off_by_rounding(tmp_path):
    text = "w_a,w_b,w_c,y_x\n0.33,0.33,0.33,1\n0.34,0.33,0.34,2\n-1e-17,0.5,0.5,3\n"
    weights = (
        records_csv.read_records(write(tmp_path / "R.csv", text)).frame[["w_a", "w_b", "w_c"]].to_numpy()
    )
    assert weights[0] == pytest.approx([1 / 3] * 3) and weights[2].tolist() == [0, 0.5, 0.5]
    assert weights.sum(axis=1) == pytest.approx([1, 1, 1])


def test_named_mixtures_without_seeds_are_repeats(tmp_path):
    text = "mixture,step,w_a,w_b,y_x\nm,1,1,0,1\nm,2,1,0,1\nm,1,1,0,2\nn,1,0,1,3\n"
    assert records_csv.read_records(write(tmp_path / "R.csv", text)).frame["seed"].tolist() == [0, 0, 1, 0]
    with pytest.raises(InputError, match="mixture 'm' stands with different weights"):
        records_csv.read_records(write(tmp_path / "R.csv", text.replace("2,1,0", "2,0,1")))


def test_a_missing_file_and_ragged_rows(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        records_csv.read_records(tmp_path / "none.csv")
    with pytest.raises(InputError, match="R.csv:3: 3 cells, expected 2"):
        records_csv.read_records(write(tmp_path / "R.csv", "w_a,y_x\n1,1\n1,1,1\n"))


def test_unknown_names_in_rows_are_reported():
    with pytest.raises(InputError, match="unknown domain 'c'"):
        records.from_rows([{"mixture": "m", "seed": 0, "step": 0, "weights": {"c": 1.0}}], ["a"], ["x"])
    with pytest.raises(InputError, match="appears twice"):
        make(("m", 1, 9, 0.2, 0.2), ("m", 1, 9, 0.2, 0.3))


def test_missing_scores_are_nan(tmp_path):
    table = records_csv.read_records(write(tmp_path / "R.csv", "w_a,y_x,y_z\n1,NaN,1\n1,,0.5\n"))
    assert pd.isna(table.frame["y_x"]).all()
    assert list(table.frame["y_z"]) == [1, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "w_a;w_b;y_x\n1;0;0.5\n",
            r"t.csv:1: cells are separated by semicolons \(;\): separate them by commas",
        ),
        ("w_a\tw_b\ty_x\n1\t0\t0.5\n", r"t.csv:1: cells are separated by tabs: separate them by commas"),
        ('w_a,w_b,y_x\n1,0,"0,5"\n', r"t.csv:2: y_x: '0,5' is not a number: write a point, not a comma"),
        ("w_a,w_b,y_x\n1,0,50 %\n", r"t.csv:2: y_x: '50 %' is not a number: write it without %"),
        (
            "w_a,w_b,y_x\n100,0,50\n",
            r"t.csv:2: w_a…: the weights sum to 100, not 1: divide percentages by 100",
        ),
    ],
)
def test_a_table_of_another_dress_is_told_what_it_wears(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        records_csv.read_records(tmp_path / "t.csv")
