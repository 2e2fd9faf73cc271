"""Figures: the numbers shown, and the same bytes for the same numbers."""

import runpy
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.container import ErrorbarContainer
from study_records import DOMAINS, SIDES, bare, example_results, records, without_base

from modomodo.errors import InputError
from modomodo.mixtures.mixture import seed_kind
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import from_rows
from modomodo.reporting.figures import FROM_RECORDS, drawable, drawings, figures_of
from modomodo.reporting.figures.comparison import comparison
from modomodo.reporting.figures.strategies import FEWEST, scores
from modomodo.reporting.figures.style import Page, look, save, styled
from modomodo.reporting.figures.surface import fits, principal_plane
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import FiguresSettings, Heading

ROOT = Path(__file__).parents[2]

SCORED = (
    ("base", 0.30, 0.02),
    ("single-x", 0.40, 0.03),
    ("single-y", 0.50, 0.03),
    ("all", 0.45, 0.03),
    ("cma", 0.55, 0.01),
)
OF = {"single-x": [1.0, 0.0], "single-y": [0.0, 1.0], "all": [0.5, 0.5], "cma": [0.3, 0.7]}
NAMES = [
    Heading("seed", "Single", ["single-x", "single-y"]),
    Heading("seed", "All", ["all"]),
    Heading("model", "CMA-ES", ["cma"]),
]


def five(*left_out):
    """The base model and four mixtures."""
    rows = [
        {
            "mixture": name,
            "seed": 0,
            "step": 9,
            "strategy": name.partition("-")[0],
            "weights": dict(zip("xy", OF[name], strict=True)) if name in OF else {},
            "scores": {"chart": score},
            "standard_errors": {"chart": error},
        }
        for name, score, error in SCORED
        if name not in left_out
    ]
    return results_of(from_rows(rows, ["x", "y"], ["chart"], {"out_score": {"chart": 9}}), NAMES)


@pytest.fixture
def figure():
    made, numbers = scores(five(), Page())
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
    assert labels == ["seed mixtures\n(n = 3)", "model\n(n = 1)"], "a seed is a random one"
    assert numbers["out_score"].tolist() == [0.30, 0.40, 0.50, 0.45, 0.55]


def test_a_lone_point_stands_in_the_middle_of_its_group(figure):
    made, _ = figure
    assert points(made)[1][0] == [1.0]


def test_points_have_the_standard_errors_of_their_difference_from_the_best(figure):
    made, _ = figure
    bars = [item for item in made.axes[0].containers if isinstance(item, ErrorbarContainer)]
    (segments,) = bars[0].lines[2]
    heights = [segment[:, 1] for segment in segments.get_segments()]
    assert np.allclose([high - low for low, high in heights], 2 * np.sqrt(0.03**2 + 0.01**2))
    (segments,) = bars[1].lines[2]
    assert np.ptp(segments.get_segments()[0][:, 1]) == 0, "the best is compared with itself"


def test_the_base_model_is_a_line_and_no_group(figure):
    made, _ = figure
    dotted = [line for line in made.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in dotted] == [0.30]


def test_the_base_models_name_stands_beside_the_axes_where_no_error_bar_is(figure):
    made, _ = figure
    axes = made.axes[0]
    (name,) = axes.texts
    made.canvas.draw()
    assert name.get_text() == "base\nmodel"
    assert name.get_window_extent().x0 > axes.get_window_extent().x1


@pytest.mark.parametrize(("count", "boxes"), [(FEWEST - 1, 0), (FEWEST, 1)])
def test_few_points_have_no_box_over_them(count, boxes):
    table = five().table
    more = [table.iloc[[1]].assign(mixture=f"more-{i}", out_score=0.3 + 0.02 * i) for i in range(count)]
    found = five()
    table = pd.concat(more, ignore_index=True)
    made, _ = scores(replace(found, table=table, differences=replace(found.differences, table=table)), Page())
    assert len(made.axes[0].patches) == boxes
    plt.close(made)


def test_a_table_without_the_base_model():
    made, _ = scores(five("base"), Page())
    assert len(points(made)) == 2
    plt.close(made)


def test_a_figure_does_not_take_the_look_that_a_user_has_set():
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black", "savefig.transparent": True}):
        with styled():
            drawn = dict(matplotlib.rcParams)
        assert matplotlib.rcParams["axes.facecolor"] == "black"
    with styled():
        assert drawn == dict(matplotlib.rcParams)
    assert not drawn["text.usetex"] and drawn["font.size"] == 7


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        save(*scores(five(), Page()), tmp_path / folder / "out_score.svg")
    for name in ("out_score.svg", "out_score.png", "out_score.csv"):
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name
        assert len(one) > 100


def test_the_numbers_shown_lie_beside_the_figure(tmp_path):
    save(*scores(five(), Page()), tmp_path / "out_score.svg")
    shown = pd.read_csv(tmp_path / "out_score.csv")
    assert shown["mixture"].tolist() == [name for name, *_ in SCORED]
    assert shown["se_out_score"].tolist() == [error for *_, error in SCORED]
    assert not plt.get_fignums(), "figures are closed"


# --- which figures there are ------------------------------------------------------------------------------------

ALL, ONE, WITHOUT = [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        (ALL, "all"),
        (ONE, "single"),
        (WITHOUT, "exclude-one"),
        ([0.333333, 0.333333, 0.333334], "all"),
        ([0.6, 0.2, 0.2], None),
        ([0.0, 1.0], "single"),
        ([np.nan, np.nan], None),
    ],
)
def test_seeds_are_known_by_their_weights(weights, kind) -> None:
    assert seed_kind(weights) == kind


def test_a_study_has_the_figures_that_its_mixtures_give() -> None:
    def few(*weights, **options):
        return set(drawable(weights, **options))

    assert few(ALL, ONE, runs=False) == {"before_after", "all_against_single", "out_score", "mixtures"}
    assert few(ALL, WITHOUT, base=False, runs=False) == {"all_against_exclude_one", "out_score", "mixtures"}
    assert {"mixture_model", "calibration"} <= few(ALL, ONE, None, None, None), "what will be proposed counts"
    assert {"mixture_model", "calibration"}.isdisjoint(few(ALL, ALL, ALL, ALL, ONE)), (
        "five of the same do not"
    )
    assert {"reward_curves", "realised_shares", "cost"} <= few(ALL)
    assert few([np.nan] * 3, runs=False) == {"out_score"}, "scores without weights"
    assert few() == set()


def test_where_proposals_were_known_mixtures_figures_say_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = records()
    few = whole.frame[whole.frame["mixture"].isin(["base", "all", "single-maths"])].reset_index(drop=True)
    few.to_csv(tmp_path / "records.csv", index=False)
    settings = FiguresSettings(
        seed=42, headings=[Heading("seed", "Seeds", ["all", "single-maths"])], benchmarks=[*SIDES.items()]
    )
    words = ["figures.py", "--settings", settings.text(), "--records", str(tmp_path / "records.csv")]
    monkeypatch.setattr("sys.argv", [*words, "--only", "effects", "--output", str(tmp_path)])
    runpy.run_path(str(ROOT / "scripts/figures.py"))["main"]()
    assert "2 different mixtures have a score, 5 are needed" in (tmp_path / "effects.csv").read_text()
    assert (tmp_path / "effects.svg").exists()
    monkeypatch.setattr("sys.argv", [*words, "--only", "cost", "--output", str(tmp_path)])
    with pytest.raises(InputError, match="cost: .*does not give it"):
        runpy.run_path(str(ROOT / "scripts/figures.py"))["main"]()


def test_the_figures_of_a_study_are_known_before_its_first_run(small_study) -> None:
    # Three singles, All, one heuristic, two of the surface: seven mixtures, no exclude-one.
    found = figures_of(plan(small_study))
    assert "all_against_single" in found and "all_against_exclude_one" not in found
    assert {"mixture_model", "cost"} <= set(found)


# --- all of them, from records alone ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Every figure of records, twice."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder in folders:
        for name, draw in drawings(example_results(), [], Page(), "gp_sqrt").items():
            if name in FROM_RECORDS:
                with styled():
                    save(*draw(), folder / f"{name}.svg", 100)
    return folders


def test_records_alone_give_every_figure_of_records_and_the_same_bytes_twice(drawn) -> None:
    one, two = drawn
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(f"{name}.{kind}" for name in FROM_RECORDS for kind in ("svg", "png", "csv"))
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_figures_are_as_wide_as_asked(drawn, tmp_path: Path) -> None:
    with styled():
        save(
            *drawings(example_results(), [], Page(width=5.0), "gp_sqrt")["before_after"](),
            tmp_path / "wide.svg",
            100,
        )
    assert 'width="244.8pt"' in (drawn[0] / "before_after.svg").read_text(), "3.4 inches"
    assert 'width="360pt"' in (tmp_path / "wide.svg").read_text()
    with PIL.Image.open(tmp_path / "wide.png") as image:
        assert image.width == 500, "5 inches at 100 dots"


def test_the_numbers_before_and_after_training(drawn) -> None:
    numbers = pd.read_csv(drawn[0] / "before_after.csv").set_index(["target", "strategy"])
    table = records().frame.set_index(["mixture", "seed", "step"])
    assert numbers.loc[("chart", "before training"), "score"] == 0.15
    seeds = [table.loc[("all", seed, 10), "y_chart"] for seed in (42, 43, 44)]
    assert numbers.loc[("chart", "trained on All"), "score"] == pytest.approx(np.mean(seeds)), (
        "the mean of its seeds"
    )
    assert numbers.loc[("out_score", "trained on All"), "standard_error"] == pytest.approx(0.02 / np.sqrt(2))
    assert numbers.index.unique("target").tolist() == [
        *("boxes_test", "science_test", "in_score"),
        *("chart", "puzzle", "out_score"),
    ], "sides one after the other, each with its aggregate"


def test_singles_and_exclude_ones_are_called_by_their_domain(drawn) -> None:
    single = pd.read_csv(drawn[0] / "all_against_single.csv")
    assert single["strategy"].unique().tolist() == ["All", "only boxes", "only maths", "only science"]
    without = pd.read_csv(drawn[0] / "all_against_exclude_one.csv").set_index(["target", "strategy"])
    expected = records().frame.set_index(["mixture", "step"]).loc[("exclude-maths", 10), "y_chart"]
    assert without.loc[("chart", "without maths"), "score"] == expected


def test_error_bars_are_standard_errors_of_the_difference_from_the_first() -> None:
    found = example_results()
    made, numbers = comparison(found, found.mixtures.iloc[:3], Page())
    bars = [item for item in made.axes[0].containers if isinstance(item, ErrorbarContainer)]
    (segments,) = bars[1].lines[2]
    widths = [segment[1, 0] - segment[0, 0] for segment in segments.get_segments()]
    shown = numbers[numbers["mixture"] == "single-maths"]
    assert np.allclose(widths, 2 * shown["difference_error"]) and (shown["difference_error"] > 0).all()
    (segments,) = bars[0].lines[2]
    assert all(np.ptp(segment[:, 0]) == 0 for segment in segments.get_segments())
    plt.close(made)


def test_every_thing_has_a_marker_and_a_hatch_of_its_own_for_grey_pages() -> None:
    looks = [look(place) for place in range(7)]
    for part in ("colour", "marker", "hatch"):
        assert len({getattr(one, part) for one in looks}) == 7, part


def test_long_names_are_cut_off_nowhere_and_lie_on_no_other() -> None:
    found = example_results()
    groups = [f"a long name of the group {place % 5}" for place in range(len(found.mixtures))]
    table = found.table.assign(group=["base", *groups])
    crowded = replace(found, table=table, differences=replace(found.differences, table=table))
    with styled():
        for name in ("out_score", "mixture_model", "mixtures"):
            made, _ = drawings(crowded, [], Page(), "gp_sqrt")[name]()
            made.canvas.draw()
            page = made.get_window_extent()
            for legend in made.legends:
                assert legend.get_window_extent().x1 <= page.x1 + 1, name
            assert made.axes[0].get_window_extent().width > 0.3 * page.width, name
            if name == "out_score":
                assert {label.get_rotation() for label in made.axes[0].get_xticklabels()} == {30.0}
            plt.close(made)


def test_mixtures_are_ordered_by_score(drawn) -> None:
    numbers = pd.read_csv(drawn[0] / "mixtures.csv")
    assert numbers["out_score"].is_monotonic_decreasing and len(numbers) == 11
    assert np.allclose(numbers[[f"w_{domain}" for domain in DOMAINS]].sum(axis=1), 1)


def test_what_cannot_be_told_apart_from_the_best_is_marked_beside_its_score() -> None:
    made, numbers = drawings(example_results(), [], Page(), "gp_sqrt")["mixtures"]()
    texts = [text.get_text() for text in made.axes[1].texts]
    near = numbers["near_best"].to_numpy(bool)
    assert 1 < near.sum() < len(near)
    assert texts[0] == f"{numbers['out_score'][0]:.3f}", "the best itself is bold"
    assert [text.endswith(" ≈") for text in texts[1:]] == near[1:].tolist()
    made.canvas.draw()
    edge = made.axes[1].get_window_extent().x1
    assert all(text.get_window_extent().x0 > edge for text in made.axes[1].texts), "no marker is under them"
    plt.close(made)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_table_of_strangers_without_names_and_errors_gives_figures(tmp_path: Path, repeated: bool) -> None:
    seeds = [42, 43, 44] if repeated else [42]
    frame = records().frame[lambda frame: (frame["step"] == 10) & frame["seed"].isin(seeds)]
    bare(frame).to_csv(tmp_path / "records.csv", index=False)
    from modomodo.mixtures.records_csv import read_records

    found = results_of(read_records(tmp_path / "records.csv"))
    assert found.groups == ["seed", "other"]
    assert "before_after" not in drawable(list(found.weights()), found.base is not None, runs=False)
    with styled():
        made, numbers = drawings(found, [], Page(), "gp_sqrt")["all_against_single"]()
    assert numbers["standard_error"].isna().all()
    others = numbers[numbers["strategy"] != "All"]
    if repeated:  # the noise between seeds is all that is known of a difference
        assert (others["difference_error"] > 0).all()
    else:
        assert others["difference_error"].isna().all()
        assert made.axes[0].get_xlabel() == "score", "no errors are promised"
    plt.close(made)


def test_a_base_model_that_was_not_scored_is_no_row() -> None:
    assert without_base(example_results()).base is None


# --- figure 7 ---------------------------------------------------------------------------------------------------


def test_principal_components_of_three_points_on_a_line() -> None:
    plane, explained, loadings = principal_plane(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    # The line has the length of the root of 2; its largest loading, the first, is made positive.
    assert plane[:, 0] == pytest.approx([np.sqrt(0.5), 0, -np.sqrt(0.5)])
    assert plane[:, 1] == pytest.approx([0, 0, 0])
    assert explained == pytest.approx([1, 0])
    assert loadings[0] == pytest.approx([np.sqrt(0.5), -np.sqrt(0.5)])


def test_held_out_predictions_have_not_seen_the_fold() -> None:
    features = np.column_stack([np.ones(10), np.arange(10.0)])
    scores = 2 + 3 * np.arange(10.0)
    fitted, held_out = fits(features, scores, np.arange(10))
    assert np.allclose(fitted, scores) and np.allclose(held_out, scores)
    odd = scores.copy()
    odd[4] += 100
    _, held_out = fits(features, odd, np.arange(10))
    # Its own outlier is not in the fit that predicts run 4; the others of its fold neither.
    assert held_out[4] == pytest.approx(scores[4])


def test_repeats_of_a_mixture_are_held_out_together() -> None:
    features = np.column_stack([np.ones(6), [0, 0, 1, 2, 3, 4]])
    scores = np.array([7.0, 7.0, 0.0, 0.0, 0.0, 0.0])
    _, held_out = fits(features, scores, np.array([0, 0, 1, 2, 3, 4]))
    assert held_out[:2] == pytest.approx([0, 0], abs=1e-9), "as if neither of the two had been seen"


def outlines(figure, parts):
    """Rectangles of what is drawn."""
    figure.canvas.draw()
    return [part.get_window_extent() for part in parts]


def test_titles_and_legends_of_figure_7_lie_over_nothing_else() -> None:
    with styled():
        made, _ = drawings(example_results(), [], Page(), "gp_sqrt")["mixture_model"]()
        plane, linear, quadratic = (made.axes[i] for i in range(3))
        one, other = outlines(made, [linear.title, quadratic.title])
        assert one.x1 < other.x0
        assert not linear.texts and not quadratic.texts and linear.get_legend() is None
        legend, panel = outlines(made, [made.legends[1], linear])
        assert legend.y1 < panel.y0
        groups, legend = made.legends
        handles = groups.legend_handles
    assert {handle.get_markerfacecolor() for handle in handles} == {"white"}, "a colour is a score"
    first, second = plane.get_xlabel().splitlines()[1:]
    assert first.startswith("first: ") and second.startswith("second: ")
    assert sum(domain in first for domain in DOMAINS) >= 2
    plt.close(made)


def test_the_legend_of_the_calibration_lies_on_no_curve() -> None:
    with styled():
        made, _ = drawings(example_results(), [], Page(), "gp_sqrt")["calibration"]()
        legend, *panels = outlines(made, [made.legends[0], *made.axes])
    assert all(legend.y1 < panel.y0 for panel in panels) and all(
        axes.get_legend() is None for axes in made.axes
    )
    plt.close(made)
