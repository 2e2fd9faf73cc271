"""Figures: the numbers shown, and the same bytes for the same numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from modomodo.figures import save, score_by_group

TABLE = pd.DataFrame(
    [
        ("base", "Base", "base", 0.30, 0.02),
        ("seed", "Single: x", "single-x", 0.40, 0.03),
        ("seed", "Single: y", "single-y", 0.50, 0.03),
        ("seed", "All", "all", 0.45, 0.03),
        ("model", "CMA-ES", "cma", 0.55, 0.01),
    ],
    columns=["group", "strategy", "mixture", "out_score", "se_out_score"],
)


@pytest.fixture
def figure():
    made, numbers = score_by_group(TABLE)
    yield made, numbers
    plt.close(made)


def points(figure):
    """Places and scores of the points, a pair of lists by group."""
    bars = [item for item in figure.axes[0].containers if isinstance(item, ErrorbarContainer)]
    return [(item.lines[0].get_xdata().tolist(), item.lines[0].get_ydata().tolist()) for item in bars]


def test_every_mixture_is_a_point_in_its_group(figure):
    made, numbers = figure
    (seed_x, seed_y), (_, model_y) = points(made)
    assert (seed_y, model_y) == ([0.40, 0.50, 0.45], [0.55])
    assert len(set(seed_x)) == 3, "no point hides another"
    assert all(abs(x) <= 0.31 for x in seed_x), "inside the box of its group"
    labels = [label.get_text() for label in made.axes[0].get_xticklabels()]
    assert labels == ["seed\n(n = 3)", "model\n(n = 1)"]
    assert numbers.equals(TABLE)


def test_a_lone_point_stands_in_the_middle_of_its_group(figure):
    made, _ = figure
    assert points(made)[1][0] == [1.0]


def test_points_have_their_standard_errors(figure):
    made, _ = figure
    bars = [item for item in made.axes[0].containers if isinstance(item, ErrorbarContainer)]
    (segments,) = bars[0].lines[2]
    heights = [segment[:, 1] for segment in segments.get_segments()]
    assert np.allclose([high - low for low, high in heights], 0.06)


def test_the_base_model_is_a_line_and_no_group(figure):
    made, _ = figure
    dotted = [line for line in made.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in dotted] == [0.30]


def test_another_score_than_the_out_score():
    table = TABLE.rename(columns={"out_score": "y_chart", "se_out_score": "se_y_chart"})
    made, numbers = score_by_group(table, "y_chart", "Chart")
    assert made.axes[0].get_ylabel().startswith("Chart")
    assert "y_chart" in numbers
    plt.close(made)


def test_a_table_without_the_base_model():
    made, _ = score_by_group(TABLE[1:])
    assert len(points(made)) == 2
    plt.close(made)


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        save(*score_by_group(TABLE), tmp_path / folder / "out_score.svg")
    for name in ("out_score.svg", "out_score.png", "out_score.csv"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name
        assert len(one) > 100


def test_the_numbers_shown_lie_beside_the_figure(tmp_path):
    save(*score_by_group(TABLE), tmp_path / "out_score.svg")
    assert pd.read_csv(tmp_path / "out_score.csv").equals(TABLE)
    assert not plt.get_fignums(), "figures are closed"
