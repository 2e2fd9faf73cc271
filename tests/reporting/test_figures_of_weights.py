"""The figures of what a weight does: the numbers of effects.py, drawn so that they can be read."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from study_records import DOMAINS, example_results, records

from modomodo.mixtures.records import Records
from modomodo.reporting.effects import NEAR, STEP, effects, slices
from modomodo.reporting.figures import CAPTIONS, drawable, drawings
from modomodo.reporting.figures.response import FINE, start
from modomodo.reporting.figures.style import Page, styled
from modomodo.reporting.results import Results, results_of
from modomodo.reporting.surface import fit
from modomodo.reporting.templates import FOLDER


def draw(found: Results, name: str):
    return drawings(found, [], Page(), "gp_sqrt")[name]()


def changed(**columns) -> Results:
    """The example's results with other columns."""
    old = records()
    return results_of(Records(old.frame.assign(**columns), old.domains, old.benchmarks, old.aggregates))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def cells(figure) -> dict[tuple[float, float], str]:
    return {text.get_position(): text.get_text() for text in figure.axes[0].texts}


def test_the_map_has_the_effects_from_the_best_mixture_to_one_digit_of_their_errors():
    found = example_results()
    made, numbers = draw(found, "effects")
    surface = fit(found.records, "gp_sqrt")
    at = start(found)[[f"w_{domain}" for domain in DOMAINS]].to_numpy(float)
    wanted = effects(surface, at)
    assert numbers["effect"].tolist() == pytest.approx(wanted["effect"].tolist())
    axes = made.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == DOMAINS
    titles = [label.get_text() for label in axes.get_yticklabels()]
    assert titles == ["boxes test", "science test", "In-Score", "chart", "puzzle", "Out-Score"]
    one = wanted.set_index(["domain", "target"]).loc[("science", "chart")]
    text = cells(made)[DOMAINS.index("science"), titles.index("chart")].replace("−", "-")
    assert float(text) == pytest.approx(one["effect"], abs=0.5 * 10.0 ** -(len(text) - 3))
    places = len(text.partition(".")[2])
    assert 0.05 < 10.0**-places / np.median(wanted["error"]) <= 10, "one digit of the usual error"
    assert "than in" in axes.get_xlabel() and found.best()["strategy"] in axes.get_xlabel()


def test_effects_beyond_noise_are_bold():
    made, numbers = draw(example_results(), "effects")
    bold = sum(text.get_fontweight() == "bold" for text in made.axes[0].texts)
    assert bold == (numbers["effect"].abs() > 1.96 * numbers["error"]).sum() > 0


def test_no_effect_is_claimed_where_nothing_is_known_of_one():
    made, _ = draw(changed(y_chart=0.5, y_puzzle=0.5), "effects")
    titles = [label.get_text() for label in made.axes[0].get_yticklabels()]
    rows = {titles.index(name) for name in ("chart", "puzzle", "Out-Score")}
    assert all(
        text.get_fontweight() == "normal" for text in made.axes[0].texts if text.get_position()[1] in rows
    )


def test_a_domain_that_is_all_there_is_cannot_grow():
    frame = records().frame
    found = changed(out_score=frame["out_score"].where(frame["mixture"] != "single-maths", 0.99))
    made, numbers = draw(found, "effects")
    assert start(found)["mixture"] == "single-maths"
    column = DOMAINS.index("maths")
    assert {text for place, text in cells(made).items() if place[0] == column} == {"–"}
    assert (numbers.loc[numbers["domain"] == "maths", "change"] == 0).all()


def test_slices_are_lines_with_bands_and_the_runs_beside_them():
    found = example_results()
    made, numbers = draw(found, "slices")
    surface = fit(found.records, "gp_sqrt")
    at = start(found)[[f"w_{domain}" for domain in DOMAINS]].to_numpy(float)
    wanted = slices(surface, at, FINE)
    wanted = wanted[(wanted["target"] == "out_score") & (wanted["domain"] == "maths")]
    panel = next(axes for axes in made.axes if axes.get_title() == "maths")
    assert panel.lines[0].get_ydata().tolist() == pytest.approx(wanted["mean"].tolist())
    assert len(panel.collections) >= 3, "two bands and error bars"
    dotted = [line for line in panel.lines if line.get_linestyle() == ":"]
    assert dotted[0].get_xdata()[0] == pytest.approx(at[DOMAINS.index("maths")])
    runs = numbers[numbers["mixture"].notna()]
    assert (runs["apart"] <= 0.15).all()
    best = start(found)["mixture"]
    assert all(best in set(runs.loc[runs["domain"] == domain, "mixture"]) for domain in DOMAINS)
    single = runs[(runs["mixture"] == "single-maths") & (runs["domain"] == "maths")]
    assert single["weight"].tolist() == [1.0], "at weight 1 every slice meets the domain alone"


def test_slices_have_no_band_where_nothing_is_known_of_one():
    made, numbers = draw(changed(y_chart=0.5, y_puzzle=0.5, out_score=0.5), "slices")
    assert numbers["run"].isna().all()
    assert "80% of runs" not in made.axes[0].get_legend_handles_labels()[1]


def test_a_study_of_few_mixtures_has_neither():
    few = [[1, 0], [0, 1], [0.5, 0.5], [0.3, 0.7]]
    assert not {"effects", "slices"} & set(drawable(few))
    assert {"effects", "slices"} <= set(drawable([*few, [0.6, 0.4]]))


@pytest.mark.parametrize("name", ["effects", "slices", "before_after"])
def test_long_names_stay_on_the_page(name):
    found = example_results()
    table = found.table.assign(strategy="a strategy with quite a long label, as a study may give it")
    with styled():
        made, _ = draw(replace(found, table=table), name)
        made.canvas.draw()
    width = made.get_window_extent().width
    texts = [axes.xaxis.label for axes in made.axes]
    texts += [text for axes in made.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    texts += [text for legend in made.legends for text in legend.get_texts()]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= -1 and box.x1 <= width + 1, text.get_text()


def test_every_figure_has_a_caption_and_it_says_what_was_drawn():
    said = {name: (FOLDER / f"{name}.rst").read_text(encoding="utf-8") for name in CAPTIONS}
    assert all(text.strip() and "{{" not in text for text in said.values()), (
        "the report takes them as they are"
    )
    assert f"has {STEP} more weight" in said["effects"]
    assert f"at most {NEAR:.0%} of the prompts" in said["slices"]
