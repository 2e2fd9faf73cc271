"""What can be done on the explorer's page: typing, links, own weights, slices, effects, zoom, files."""

import csv
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from pages_in_browser import contrast, put, shown, slider, wait_for, weights
from PIL import Image
from study_records import BENCHMARKS, DOMAINS, example_results, records

from modomodo.mixtures.records import aggregate
from modomodo.reporting.effects import apart, effects, slices
from modomodo.reporting.explorer import page_data, render
from modomodo.reporting.settings import EXPORTABLE
from modomodo.reporting.surface import Surface, fit
from modomodo.reporting.verdict import Case, Lead, Verdict, verdict_of
from modomodo.reporting.wording import headed, words

AT = [0.5, 0.3, 0.2]


def said(browser) -> str:
    return browser.find_element("id", "said").text


def place(data: dict, name: str) -> int:
    return next(i for i, target in enumerate(data["targets"]) if target["name"] == name)


# --- verdict ----------------------------------------------------------------------------------------------------


def test_the_sliders_start_on_the_verdicts_mixture(opened, data: dict) -> None:
    given = verdict_of(example_results()).weights
    assert weights(opened) == pytest.approx(given, abs=1e-3)
    assert data["start"] == [given.get(name, 0.0) for name in sorted(DOMAINS)]


def test_the_head_of_the_page_is_short_and_the_rest_folded(opened, data: dict) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    height = opened.execute_script("return document.getElementById('verdict').getBoundingClientRect().height")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert height < 844 / 2
    folded = opened.find_elements("css selector", "#why li")
    told = [opened.find_element("id", name).text for name in ("answer", "head")]
    opened.execute_script("document.getElementById('why').closest('details').open = true")
    assert "equal weights" in told[1]
    assert sorted([*told, *(line.text for line in folded)]) == sorted(data["verdict"]["words"]), (
        "none is lost"
    )


def test_the_lead_over_equal_weights_stands_in_the_head_else_the_first() -> None:
    leads = [
        Lead(over="the base model", gap=0.3, error=0.1),
        Lead(over="equal weights (All)", gap=0.1, error=0.1),
    ]
    found = Verdict(
        case=Case.TIED, score="Out-Score", mixtures=3, choice="A", value=0.5, ties=["B"], leads=leads
    )
    assert next(words(found)[i] for i in headed(found)).startswith("+0.10 against equal weights")
    found = found.model_copy(update={"leads": leads[:1], "case": Case.CLEAR, "ties": []})
    assert next(words(found)[i] for i in headed(found)).startswith("+0.30 against the base model")
    found = found.model_copy(update={"online": True})
    assert words(found)[headed(found)[1]].startswith("It was trained online")
    assert headed(Verdict(case=Case.NOTHING, score="Out-Score")) == []


# --- typing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0,3", "0.3", ".3", "30 %", "30%", " 0,30 "])
def test_a_weight_is_typed_as_people_write_numbers(opened, text: str) -> None:
    put(opened, "boxes", text)
    assert weights(opened)["boxes"] == 0.3
    assert said(opened).startswith("boxes ") and "→ 0.300; to keep the sum 1: " in said(opened)


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("2", 1.0, "2 is above 1: for a percentage type 2%. boxes"),
        ("-1", 0.0, "-1 is below 0. boxes"),
        ("lots", None, "“lots” is no number: boxes stays"),
        ("1.2.3", None, "“1.2.3” is no number: boxes stays"),
        ("", None, "boxes stays"),
    ],
)
def test_what_cannot_be_a_weight_is_told(opened, text: str, value: float | None, why: str) -> None:
    before = weights(opened)["boxes"]
    put(opened, "boxes", text or "\ue017")
    assert weights(opened)["boxes"] == (before if value is None else value)
    assert said(opened).startswith(why)


def test_what_locks_leave_is_told(opened) -> None:
    put(opened, "maths", 0.4)
    opened.find_element("css selector", "[aria-label='lock the weight of maths']").click()
    put(opened, "boxes", "0,9")
    assert said(opened).startswith("0,9 is more than the locked weights leave. boxes")
    assert weights(opened)["boxes"] == 0.6


# --- the link ---------------------------------------------------------------------------------------------------


def test_a_link_holds_all_that_is_seen(opened, page: Path) -> None:
    put(opened, "boxes", 0.4)
    opened.find_element("css selector", "[aria-label='lock the weight of maths']").click()
    own_weights(opened, chart=3, puzzle=1)
    opened.find_element("xpath", "//div[@id='zoom']/button[text()='best quarter of the runs']").click()
    opened.find_elements("css selector", "#runs thead button")[0].click()
    before = seen(opened)
    wait_for(lambda: "sort" in opened.current_url and "zoom" in opened.current_url)
    link = opened.current_url
    assert set(parse_qs(urlsplit(link).fragment)) == {"w", "lock", "by", "own", "zoom", "sort"}
    opened.get("about:blank")
    opened.get(link)
    assert seen(opened) == before
    opened.get(page.as_uri() + "#")
    assert seen(opened) != before, "the page follows its address"


def seen(browser) -> dict:
    return browser.execute_script(
        "return { weights: rounded(weights), locks, aim, own, zoom, sorting,"
        " scores: document.getElementById('scores').innerText, runs: document.getElementById('runs').innerText,"
        " points: document.querySelectorAll('#plane .plot-area > path').length }"
    )


def test_a_link_of_another_page_is_followed_as_far_as_it_goes_and_the_rest_told(opened, page: Path) -> None:
    opened.get("about:blank")
    rest = "&by=score:fame&own=fame:2&zoom=1,0,x&sort=99-&lock=law"
    opened.get(page.as_uri() + "#w=boxes:0.5&w=law:0.5&w=maths:nan" + rest)
    assert weights(opened) == {"boxes": 1, "maths": 0, "science": 0}
    assert (
        said(opened)
        == "This page does not know what the link says of fame:2, score:fame, law, law:0.5, maths:nan."
    )
    assert opened.execute_script("return [aim, own, zoom, sorting.column]") == ["out_score", None, None, 1]


def test_a_link_runs_nothing(opened, page: Path) -> None:
    opened.get("about:blank")
    evil = quote("<img src=x onerror=alert(1)>:1")
    opened.get(page.as_uri() + f"#w={evil}&by={evil}&own={evil}")
    assert "<img src=x" in said(opened)
    assert opened.find_elements("css selector", "img") == []


# --- own weights of the benchmarks ------------------------------------------------------------------------------


def own_weights(browser, **numbers: object) -> None:
    browser.execute_script("document.getElementById('own-fields').closest('details').open = true")
    for name, number in numbers.items():
        label = browser.find_element(
            "xpath", f"//div[@id='own-fields']//label[text()='{name.replace('_', ' ')}']"
        )
        field = browser.find_element("id", label.get_attribute("for"))
        field.send_keys("\ue009a\ue000", str(number), "\t")


def test_own_weights_move_the_target_and_everything_follows_exactly(opened, surface: Surface) -> None:
    put(opened, "boxes", 0.5)
    own_weights(opened, chart="0,75", puzzle=0.25)
    assert opened.find_element("id", "aim").get_property("value") == " own"
    assert opened.find_element("id", "own-said").text == "Own score: chart 75%, puzzle 25%."
    names = list(surface.predictor.benchmarks)
    shares = np.array([{"chart": 0.75, "puzzle": 0.25}.get(name, 0.0) for name in names])
    point = np.array([opened.execute_script("return weights")])
    prediction = surface.predictor.predict(point)
    cell = opened.find_element("id", "score-own")
    mean, _ = prediction.aggregate(shares)
    assert float(cell.get_attribute("data-value")) == pytest.approx(mean[0], abs=1e-6)
    assert float(cell.get_attribute("data-deviation")) == pytest.approx(
        prediction.run_spread(shares)[0], abs=1e-6
    )
    assert shown(opened, "own")[0] == pytest.approx(mean[0], abs=1e-3)
    runs = opened.execute_script(
        "return data.runs.map((run) => [run.mixture, run.seed, run.scores.at(-1), run.errors.at(-1)])"
    )
    frame = records().frame.query("step == 10").set_index(["mixture", "seed"])
    for mixture, seed, score, error in runs:
        row = frame.loc[(mixture, seed)]
        scores = {name: row[f"y_{name}"] for name in BENCHMARKS}
        errors = {name: row[f"se_{name}"] for name in BENCHMARKS}
        assert (score, error) == pytest.approx(aggregate(scores, errors, {"chart": 3, "puzzle": 1}), abs=1e-9)
    titles = ("tradeoff-title", "optimum-title", "slices-said", "nearest", "runs")
    show_section(opened, "slices")
    wait_for(
        lambda: all(
            "own score" in opened.find_element("id", name).get_property("textContent") for name in titles
        )
    )
    head = opened.find_elements("css selector", "#runs thead th")[1]
    assert head.text == "own score ▾" and head.get_attribute("aria-sort") == "descending"


def test_the_best_mixture_for_own_weights_is_found_as_python_finds_it(opened, surface: Surface) -> None:
    from modomodo.mixtures.acquisition import CmaSearch, cma_candidates
    from modomodo.mixtures.constraints import Constraints
    from modomodo.mixtures.surrogates.base import Objective

    own_weights(opened, chart=1, boxes_test=1)
    opened.find_element("xpath", "//div[@id='presets']/button[text()='best for own score']").click()
    names = surface.predictor.benchmarks
    shares = np.array([0.5 if name in ("chart", "boxes_test") else 0.0 for name in names])
    found = np.array([opened.execute_script("return weights")])
    limits = Constraints(minimum={"maths": 0.1}, maximum={"boxes": 0.5})
    search = CmaSearch(list(surface.predictor.domains), limits, 0)
    best = cma_candidates(surface.predictor, Objective("own", names, shares), search, 1)[0]
    assert float((surface.predictor.mean(found) @ shares)[0]) >= best.mean - 1e-4
    chosen = dict(zip(surface.predictor.domains, found[0], strict=True))
    assert chosen["maths"] >= 0.1 - 1e-9 and chosen["boxes"] <= 0.5 + 1e-9


def test_own_weights_start_from_the_studys_and_can_be_taken_back(opened) -> None:
    before = seen(opened)
    opened.execute_script("document.getElementById('own-fields').closest('details').open = true")
    opened.find_element("xpath", "//div[@id='own-starts']/button[text()='as In-Score']").click()
    own = opened.execute_script("return own")
    assert own == {"boxes_test": 0.25, "science_test": 0.75}
    assert opened.find_element("id", "score-own").text == opened.find_element("id", "score-in_score").text
    own_weights(opened, chart="plenty")
    assert said(opened) == "“plenty” is no weight: give 0 or a number above it."
    opened.find_element("xpath", "//div[@id='own-starts']/button[text()='none']").click()
    assert seen(opened) == before
    assert opened.find_elements("id", "score-own") == []


def test_another_score_to_judge_by_moves_every_view(opened, data: dict) -> None:
    opened.execute_script(
        "const s = document.getElementById('aim'); s.value = 'chart'; s.dispatchEvent(new Event('change'))"
    )
    best = max(data["runs"], key=lambda run: run["scores"][place(data, "chart")])
    assert opened.find_element("id", "best-run").text == f"best run by chart, {best['label']}"
    assert opened.find_element("id", "tradeoff-title").text == "chart against In-Score"
    assert "Best mixture for chart" in opened.find_element("id", "optimum-title").text
    assert "is judged for Out-Score and In-Score only" in opened.find_element("id", "not-known").text.replace(
        "In-Score and Out-Score", "Out-Score and In-Score"
    )


# --- slices and effects -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPORTABLE)
def test_slices_and_effects_equal_pythons(browser, name: str, page_by) -> None:
    surface = fit(example_results().records, name)
    _, path = page_by(name)
    browser.get(path.as_uri())
    for at in (AT, [1.0, 0.0, 0.0]):
        browser.execute_script("weights = arguments[0]; show(null)", at)
        rows = browser.execute_script("return slicesTable().slice(1)")
        frame = slices(surface, np.array(at))
        frame = frame[frame["target"] == "out_score"]
        columns = ["weight", "mean", "deviation", "run"]
        assert [row[0] for row in rows] == frame["domain"].tolist() and len(rows) == 3 * 41
        found = np.array([[row[1], *row[3:]] for row in rows])
        assert np.abs(found - frame[columns].to_numpy(float)).max() < 1e-6
        rows = browser.execute_script("return effectsTable().slice(1)")
        frame = effects(surface, np.array(at)).set_index(["domain", "target"])
        titles = {
            "In-Score": "in_score",
            "Out-Score": "out_score",
            "boxes test": "boxes_test",
            "science test": "science_test",
        }
        expected = np.array(
            [frame.loc[(row[0], titles.get(row[1], row[1])), ["change", "effect", "error"]] for row in rows],
            float,
        )
        assert len(rows) == len(frame) == 3 * 6
        assert np.abs(np.array([row[2:] for row in rows]) - expected).max() < 1e-6


def test_a_mean_alone_equals_the_prediction(opened, surface: Surface) -> None:
    points = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    found = opened.execute_script("return arguments[0].map((w) => surrogate.mean(w))", points.tolist())
    assert np.abs(np.array(found) - surface.predictor.mean(points)).max() < 1e-6


def test_a_slice_shows_the_real_runs_near_it(opened, data: dict, surface: Surface) -> None:
    opened.execute_script("weights = arguments[0]; show(null)", AT)
    show_section(opened, "slices")
    wait_for(lambda: len(opened.find_elements("css selector", "#slice-charts .slice")) == 3)
    runs = np.array([run["weights"] for run in data["runs"]])
    for i, domain in enumerate(DOMAINS):
        near = int((apart(surface, np.array(AT), domain, runs) <= 0.15).sum())
        chart = opened.find_elements("css selector", "#slice-charts figure")[i]
        assert len(chart.find_elements("css selector", ".plot-area > path")) == near > 0
        assert f"along the weight of {domain}" in chart.find_element("css selector", "svg").get_attribute(
            "aria-label"
        )


def show_section(browser, name: str) -> None:
    browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", name)


def test_a_slice_is_drawn_when_it_is_seen_and_not_before(opened) -> None:
    assert opened.find_elements("css selector", "#slice-charts .slice") == []
    show_section(opened, "slices")
    wait_for(lambda: opened.find_elements("css selector", "#slice-charts .slice"))


def test_what_is_drawn_late_has_its_room_before(opened) -> None:
    """Else what lies below moves away from under the pointer."""
    sections = (
        "return ['slices', 'triangle', 'effects'].map((id) => document.getElementById(id).offsetHeight)"
    )
    before = opened.execute_script(sections)
    for section, drawn in (
        ("slices", "#slice-charts .slice"),
        ("triangle", "#triangle-chart .cell"),
        ("effects", "#effect td[title]"),
    ):
        show_section(opened, section)
        wait_for(lambda drawn=drawn: opened.find_elements("css selector", drawn))
    assert opened.execute_script(sections) == pytest.approx(before, abs=2)


def test_effects_are_a_table_that_says_its_errors(opened, surface: Surface) -> None:
    opened.execute_script("weights = arguments[0]; show(null)", AT)
    show_section(opened, "effects")
    wait_for(lambda: opened.find_elements("css selector", "#effect td[title]"))
    found = effects(surface, np.array(AT)).set_index(["domain", "target"])
    rows = opened.find_elements("css selector", "#effect tbody tr")
    assert len(rows) == 6
    text = {row.find_element("tag name", "th").text: row.find_elements("tag name", "td") for row in rows}
    for i, domain in enumerate(DOMAINS):
        row, cell = found.loc[(domain, "chart")], text["chart"][i]
        said_error = cell.get_property("textContent").replace("−", "-")
        assert said_error == f"{row['effect']:+.3f} plus or minus {row['error']:.3f}".replace(
            "-0.000", "-0.000"
        )
        assert ("clear" in cell.get_attribute("class")) == (abs(row["effect"]) > 1.96 * row["error"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_on_the_map_of_effects_stand_out(opened, theme: str) -> None:
    opened.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    show_section(opened, "effects")
    wait_for(lambda: opened.find_elements("css selector", "#effect td[title]"))
    pairs = opened.execute_script(
        "return [...document.querySelectorAll('#effect .heat')].map((cell) => getComputedStyle(cell))"
        ".map((style) => [style.color, style.backgroundColor])"
    )
    assert len({ground for _, ground in pairs}) > 3, "colours follow the effects"
    assert min(contrast(*pair) for pair in pairs) >= 4.5


# --- the plane --------------------------------------------------------------------------------------------------


def test_real_runs_have_error_bars_and_seeds_are_joined(opened) -> None:
    plot = "#plane .plot-area "
    assert len(opened.find_elements("css selector", plot + ".error")) == 13
    assert len(opened.find_elements("css selector", plot + "polyline.seeds")) == 1, "all, with three seeds"
    opened.find_element("id", "errors").click()
    assert opened.find_elements("css selector", plot + ".error") == []


def test_the_plane_is_zoomed_by_buttons_keys_and_a_rectangle(opened) -> None:
    def ranges() -> list:
        return opened.execute_script("return zoom || plane.whole")

    whole = ranges()
    opened.find_element("xpath", "//div[@id='zoom']/button[text()='zoom in']").click()
    assert np.ptp(ranges()[0]) == pytest.approx(np.ptp(whole[0]) / 2, abs=2e-5)
    assert opened.find_element("id", "zoomed").text.startswith("shown: In-Score ")
    area = opened.find_element("id", "plane")
    area.send_keys("\ue014")  # arrow right
    assert ranges()[0][0] > whole[0][0] + np.ptp(whole[0]) / 4 + 1e-6
    area.send_keys("-")
    area.send_keys("0")
    assert ranges() == whole and opened.execute_script("return zoom") is None
    from selenium.webdriver import ActionChains

    opened.execute_script("arguments[0].scrollIntoView({ block: 'center' })", area)
    size = area.size
    ActionChains(opened).move_to_element_with_offset(
        area, 0, -size["height"] // 4
    ).click_and_hold().move_by_offset(size["width"] // 4, size["height"] // 5).release().perform()
    (low, high), _ = ranges()
    assert whole[0][0] < low < high < whole[0][1]
    opened.find_element("xpath", "//div[@id='zoom']/button[text()='best quarter of the runs']").click()
    assert len(opened.find_elements("css selector", "#plane .plot-area > path")) < 13


# --- files ------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(opened, tmp_path: Path):
    """Click a button that saves, and read what came."""
    opened.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )

    def save(label: str, name: str) -> Path:
        opened.find_element("css selector", f"[aria-label='{label}']").click()
        wait_for(lambda: (tmp_path / name).is_file() and (tmp_path / name).stat().st_size > 0)
        return tmp_path / name

    return save


def test_what_is_seen_is_saved_as_csv(saved, data: dict) -> None:
    path = saved("all-runs: save as CSV", "small-study-all-runs.csv")
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == len(data["runs"]) == 13
    by_name = {(run["mixture"], run["seed"]): run for run in data["runs"]}
    for row in found:
        run = by_name[row["mixture"], int(row["seed"])]
        assert [float(row[f"w_{name}"]) for name in DOMAINS] == run["weights"]
        assert float(row["Out-Score"]) == run["scores"][place(data, "out_score")]
        assert float(row["se chart"]) == run["errors"][place(data, "chart")]
    assert [row["run"] for row in found] == [
        run["label"] for run in sorted(data["runs"], key=lambda run: -run["scores"][place(data, "out_score")])
    ], "as the table is sorted"


@pytest.mark.parametrize("view", ["runs", "slices", "effects"])
def test_what_is_drawn_is_saved_as_png(opened, saved, view: str) -> None:
    section = {"runs": "tradeoff"}.get(view, view)
    show_section(opened, section)
    wait_for(lambda: opened.find_elements("css selector", f"#{section} svg text, #{section} td[title]"))
    path = saved(f"{view}: save as PNG", f"small-study-{view}.png")
    with Image.open(path) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
        assert min(image.size) > 200 and colours is not None and len(colours) > 20


def test_text_with_commas_and_quotes_stays_one_cell(opened) -> None:
    text = opened.execute_script("return csv([['a,b', 'say \"x\"', null, 0.5]])")
    assert text == '"a,b","say ""x""",,0.5\r\n'


# --- what screen readers and phones get -------------------------------------------------------------------------


def test_each_view_is_a_named_section_and_what_changes_is_told(opened) -> None:
    unnamed = opened.execute_script(
        "return [...document.querySelectorAll('main section')].filter((s) =>"
        " !document.getElementById(s.getAttribute('aria-labelledby'))?.textContent.trim()).map((s) => s.id)"
    )
    assert unnamed == []
    told = opened.find_elements("css selector", "[role=status]")
    assert {"said", "warning", "spoken", "copied", "linked"} <= {
        element.get_attribute("id") for element in told
    }
    unlabelled = opened.execute_script(
        "return [...document.querySelectorAll('select, input')].filter((e) => !e.getAttribute('aria-label') &&"
        " !document.querySelector(`label[for='${e.id}']`)).map((e) => e.outerHTML)"
    )
    assert unlabelled == []


def test_the_button_says_what_it_does(opened) -> None:
    button = opened.find_element("id", "theme")
    first = button.text
    assert first in ("switch to dark", "switch to light")
    button.click()
    assert button.text == {"switch to dark": "switch to light", "switch to light": "switch to dark"}[first]


def test_marks_on_the_sliders_have_a_legend(opened) -> None:
    text = opened.find_element("id", "bounds").text
    assert "least or most that the study's searches allow" in text and "may run out" in text


def test_off_the_front_the_walk_says_so(opened) -> None:
    opened.find_element("id", "along").send_keys("\ue010")
    assert opened.find_element("id", "off-front").text == "this mixture is on the front"
    put(opened, "maths", 1)
    assert re.fullmatch(
        r"this mixture is not on it: the nearest one differs in \d+% of the prompts",
        opened.find_element("id", "off-front").text,
    )


def test_a_table_of_one_score_has_no_plane(browser, tmp_path: Path) -> None:
    from modomodo.mixtures.records import Records
    from modomodo.reporting.results import results_of

    frame = records().frame.drop(
        columns=[f"{kind}_{name}" for kind in ("y", "se") for name in BENCHMARKS[1:]]
    )
    frame = frame.assign(in_score=np.nan, out_score=np.nan)
    found = results_of(Records(frame, DOMAINS, BENCHMARKS[:1]))
    path = tmp_path / "explorer.html"
    path.write_text(render(page_data(found, "one", "gp_sqrt")), encoding="utf-8")
    browser.get(path.as_uri())
    assert not browser.find_element("id", "tradeoff").is_displayed()
    put(browser, "boxes", "0,5")
    assert weights(browser)["boxes"] == 0.5
    assert json.dumps(browser.get_log("browser")) == "[]"
    assert slider(browser, "boxes").get_attribute("aria-valuetext") == "50.0 percent"


# --- three domains ----------------------------------------------------------------------------------------------


def test_the_triangle_shows_what_python_expects_of_three_domains(opened, surface: Surface) -> None:
    put(opened, "boxes", 0.5)
    rows = np.array(opened.execute_script("return triangleTable().slice(1)"))
    assert len(rows) == 900 and np.abs(rows[:, :3].sum(axis=1) - 1).max() < 1e-9
    order = [DOMAINS.index(name) for name in surface.predictor.domains]
    expected = surface.predictor.mean(rows[:, order]) @ surface.shares["out_score"]
    assert np.abs(rows[:, 3] - expected).max() < 1e-6
    show_section(opened, "triangle")
    wait_for(lambda: opened.find_elements("css selector", "#triangle-chart polygon"))
    label = opened.find_element("css selector", "#triangle-chart svg").get_attribute("aria-label")
    assert label.startswith("Expected Out-Score between boxes, maths, science: from ")
    # Of three domains every run lies in it, and there is nothing to choose.
    assert len(opened.find_elements("css selector", "#triangle-chart svg > path")) == 13 + 1
    assert opened.find_elements("css selector", "#corners select") == []


def test_three_of_more_domains_are_chosen_and_the_others_keep_their_weight(browser, tmp_path: Path) -> None:
    from modomodo.mixtures.records import Records
    from modomodo.reporting.results import results_of

    one = records()
    frame = one.frame.assign(w_maths=one.frame["w_maths"] / 2, w_law=one.frame["w_maths"] / 2)
    found = results_of(Records(frame, [*DOMAINS, "law"], one.benchmarks, one.aggregates))
    path = tmp_path / "explorer.html"
    path.write_text(render(page_data(found, "four", "gp_sqrt")), encoding="utf-8")
    browser.get(
        path.as_uri()
        + "#w=boxes:0.4&w=maths:0.2&w=science:0.3&w=law:0.1&corner=boxes&corner=maths&corner=law"
    )
    rows = np.array(browser.execute_script("return triangleTable().slice(1)"))
    assert np.allclose(rows[:, 2], 0.3), "science keeps its weight"
    show_section(browser, "triangle")
    wait_for(lambda: browser.find_elements("css selector", "#triangle-chart polygon"))
    first, _, third = browser.find_elements("css selector", "#corners select")
    assert [field.get_attribute("aria-label") for field in (first, third)] == [
        f"{which} domain of the triangle" for which in ("first", "third")
    ]
    first.send_keys("law")  # what was first takes its place
    assert browser.execute_script("return cornersShown().map((i) => domains[i])") == ["law", "maths", "boxes"]
    browser.execute_script("pick(cornersShown(), [0.5, 0.5, -0.1])")
    assert browser.execute_script("return weights") == pytest.approx([0, 0.35, 0.35, 0.3])
    browser.execute_script("locks[1] = true; pick(cornersShown(), [1, 0, 0])")
    assert said(browser) == "law is locked."


def test_each_run_has_a_link_to_its_page_where_there_are_pages_of_runs(
    browser, opened, tmp_path: Path
) -> None:
    assert opened.find_elements("css selector", "a.evidence") == []
    data = page_data(example_results(), "linked", "gp_sqrt", run_pages="runs.html")
    data["runs"][0]["mixture"] = "a b/#c"
    path = tmp_path / "explorer.html"
    path.write_text(render(data), encoding="utf-8")
    browser.get(path.as_uri())
    links = [link.get_attribute("href") for link in browser.find_elements("css selector", "#runs a.evidence")]
    assert len(links) == 13
    folder = tmp_path.as_uri()
    assert {
        f"{folder}/runs.html#all/43",
        f"{folder}/runs.html#a%20b%2F%23c/{data['runs'][0]['seed']}",
    } <= set(links)


def test_the_address_stays_clean_until_something_changes(opened, page: Path) -> None:
    opened.get("about:blank")
    opened.get(page.as_uri())
    opened.execute_async_script("setTimeout(arguments[0], 400)")
    assert opened.current_url == page.as_uri()
    put(opened, "boxes", 0.4)
    wait_for(lambda: "#w=" in opened.current_url)


@pytest.mark.parametrize("width", [390, 1200])
def test_long_names_leave_the_page_as_wide_as_the_screen(browser, tmp_path: Path, width: int) -> None:
    from modomodo.mixtures.records import Records
    from modomodo.reporting.results import results_of

    one = records()
    named = {name: f"{name}_of_a_name_that_goes_on_and_on" for name in [*DOMAINS, *BENCHMARKS]}
    columns = {name: "_".join([name[:1], named[name[2:]]]) for name in one.frame if name[2:] in named}
    columns |= {f"se_{name}": f"se_{named[name]}" for name in BENCHMARKS}
    found = Records(
        one.frame.rename(columns=columns), [named[n] for n in DOMAINS], [named[n] for n in BENCHMARKS]
    )
    path = tmp_path / "explorer.html"
    path.write_text(render(page_data(results_of(found), "long", "gp_sqrt")), encoding="utf-8")
    size = {"width": width, "height": 6000, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    wait_for(lambda: browser.find_elements("css selector", "#slice-charts .slice"))
    wide, room = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    outside = browser.execute_script(
        "return [...document.querySelectorAll('main section *')].filter((e) => !e.closest('svg, .scroll, .hidden') &&"
        " e.getBoundingClientRect().right > e.closest('section').getBoundingClientRect().right + 1).map((e) => e.outerHTML)"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == room <= width and outside == []


def test_scores_without_errors_are_shown_without_a_word_of_them(browser, tmp_path: Path) -> None:
    from modomodo.mixtures.records import Records
    from modomodo.reporting.results import results_of

    one = records()
    unknown = one.frame.assign(**{name: np.nan for name in one.frame if name.startswith("se_")})
    path = tmp_path / "explorer.html"
    found = results_of(Records(unknown, one.domains, one.benchmarks, one.aggregates))
    path.write_text(render(page_data(found, "bare", "gp_sqrt")), encoding="utf-8")
    browser.get(path.as_uri())
    show_section(browser, "slices")
    wait_for(lambda: browser.find_element("id", "slices-said").text)
    assert not browser.find_element("id", "with-errors").is_displayed()
    assert "standard error" not in browser.find_element("id", "slices-said").text
    assert "standard error" not in browser.find_element("id", "plane-legend").text
