"""The explorer in a real browser: what it shows is what Python predicts, and it answers hand, keyboard and eye."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pages_in_browser import contrast, put, shown, slider, wait_for, weights
from study_records import DOMAINS, example_results, records, without_base

from modomodo.errors import InputError
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.records import Records, from_rows
from modomodo.reporting.explorer import HERE, best, examples_last, exported, front, page_data, render
from modomodo.reporting.results import Results, results_of
from modomodo.reporting.settings import EXPORTABLE
from modomodo.reporting.surface import Surface, fit
from modomodo.study.checks import study_from

Z80 = 1.2815515655446004


# --- the same predictions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPORTABLE)
def test_predictions_equal_pythons(browser, name: str, page_by) -> None:
    surface = fit(example_results().records, name)
    page, path = page_by(name)
    browser.get(path.as_uri())
    points = np.random.default_rng(0).dirichlet(np.full(3, 0.6), 40)
    points = np.vstack([points, np.eye(3), surface.predictor.observations.weights])
    prediction = surface.predictor.predict(points)
    for target in page["targets"]:
        shares = surface.shares[target["name"]]
        mean, deviation = prediction.aggregate(shares)
        run = prediction.run_spread(shares)
        answers = browser.execute_script(
            "return arguments[0].map((w) => surrogate.aggregate(surrogate.predict(w), arguments[1]))",
            points.tolist(),
            shares.tolist(),
        )
        for key, expected in (("mean", mean), ("deviation", deviation), ("run", run)):
            assert np.abs(np.array([answer[key] for answer in answers]) - expected).max() < 1e-6, target[
                "name"
            ]


def many_runs(random: np.random.Generator, count: int) -> Records:
    """Runs of four domains, smooth in the weights, with errors of different sizes."""
    domains, benchmarks = ["a", "b", "c", "d"], ["a_test", "all"]
    rows = []
    for number, mixture in enumerate(random.dirichlet(np.full(4, 0.7), count)):
        scores = np.array([mixture[0] ** 0.5, np.sqrt(mixture) @ [0.2, 0.3, 0.1, 0.4]])
        scores += 0.02 * random.standard_normal(2)
        error = 0.01 + 0.03 * random.random()
        rows.append(
            {
                **{"mixture": f"m{number}", "seed": 0, "step": 1},
                "weights": dict(zip(domains, mixture, strict=True)),
                "scores": dict(zip(benchmarks, scores, strict=True)),
                "standard_errors": dict.fromkeys(benchmarks, error),
            }
        )
    return from_rows(rows, domains, benchmarks, {"out_score": dict.fromkeys(benchmarks, 100)})


@pytest.mark.parametrize("name", EXPORTABLE)
def test_predictions_of_many_noisy_runs_equal_pythons(browser, name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    found = many_runs(random, 90)
    predictor = fit(found, name).predictor
    path = tmp_path / "surrogate.html"
    script = (HERE / "surrogate.js").read_text(encoding="utf-8")
    exported_as = json.dumps(exported(predictor))
    path.write_text(f"<script>{script}\nconst surrogate = new Surrogate({exported_as});</script>")
    assert path.stat().st_size < 150_000, "no matrix between the runs is in the page"
    browser.get(path.as_uri())
    points = np.vstack([random.dirichlet(np.ones(4), 10), np.eye(4), predictor.observations.weights[:5]])
    expected = predictor.predict(points)
    answers = browser.execute_script(
        "return arguments[0].map((w) => [...surrogate.predict(w).mean, ...surrogate.predict(w).deviation,"
        " ...surrogate.mean(w)])",
        points.tolist(),
    )
    deviation = np.sqrt(np.einsum("nbb->nb", expected.covariance))
    close = np.hstack([expected.mean, deviation, expected.mean])
    assert np.abs(np.array(answers) - close).max() < 1e-8


def test_more_runs_than_a_page_can_solve_are_an_error(
    monkeypatch: pytest.MonkeyPatch, surface: Surface
) -> None:
    monkeypatch.setattr("modomodo.reporting.explorer.LARGEST", 100)
    with pytest.raises(InputError, match="runs under . kernels are too many for a page"):
        exported(surface.predictor)


def test_what_is_read_on_the_page_is_the_prediction(opened, surface: Surface) -> None:
    put(opened, "boxes", 0.5)
    read = weights(opened)
    point = np.array([[read[name] for name in surface.predictor.domains]])
    prediction = surface.predictor.predict(point / point.sum())
    for target in ("in_score", "out_score", "chart"):
        mean, _ = prediction.aggregate(surface.shares[target])
        run = prediction.run_spread(surface.shares[target])
        # Weights and scores are read with three digits.
        assert shown(opened, target) == pytest.approx((mean[0], Z80 * run[0]), abs=2e-3)


# --- moving, locking, copying -----------------------------------------------------------------------------------


def test_a_slider_moved_by_keyboard_keeps_the_sum_and_changes_the_scores(opened) -> None:
    before, score = weights(opened), shown(opened, "out_score")
    handle = slider(opened, "science")
    handle.send_keys(*["\ue014"] * 20)  # arrow right
    after = weights(opened)
    assert after["science"] == pytest.approx(before["science"] + 0.1, abs=0.004)
    assert sum(after.values()) == pytest.approx(1, abs=0.002)
    assert after["boxes"] / after["maths"] == pytest.approx(before["boxes"] / before["maths"], rel=0.05)
    assert shown(opened, "out_score") != score
    assert handle.get_attribute("aria-valuetext") == f"{100 * after['science']:.1f} percent"


def test_a_locked_weight_stays(opened) -> None:
    put(opened, "maths", 0.3)
    lock = opened.find_element("css selector", "[aria-label='lock the weight of maths']")
    lock.send_keys(" ")
    assert lock.get_attribute("aria-pressed") == "true"
    put(opened, "boxes", 0.9)  # more than the lock leaves
    assert weights(opened) == pytest.approx({"boxes": 0.7, "maths": 0.3, "science": 0.0}, abs=1e-3)
    put(opened, "boxes", 0.2)
    assert weights(opened) == pytest.approx({"boxes": 0.2, "maths": 0.3, "science": 0.5}, abs=1e-3)


def test_all_weight_can_be_moved_off_and_back(opened) -> None:
    put(opened, "boxes", 1)
    assert weights(opened) == pytest.approx({"boxes": 1, "maths": 0, "science": 0}, abs=1e-3)
    put(opened, "boxes", 0.4)
    assert weights(opened) == pytest.approx({"boxes": 0.4, "maths": 0.3, "science": 0.3}, abs=1e-3)


def test_the_copied_yaml_is_a_strategy_of_a_study(opened, study_data: dict) -> None:
    opened.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    put(opened, "boxes", 1 / 3)
    opened.find_element("id", "copy").click()
    wait_for(lambda: opened.find_element("id", "copied").text == "copied: paste it into a study")
    copied = opened.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))"
    )
    assert copied == opened.find_element("id", "yaml").get_property("value")
    pasted = yaml.safe_load(copied)["strategies"]
    given = pasted["explored"]["options"]["weights"]
    assert sum(round(1e6 * value) for value in given.values()) == 10**6
    assert given["boxes"] == pytest.approx(1 / 3, abs=1e-3)
    study_data["domains"] = {name: study_data["domains"]["science"] for name in DOMAINS}
    study_data["benchmarks"]["science_check"] = study_data["benchmarks"].pop("science_test")
    study_data["strategies"] = pasted
    assert study_from(study_data, "study.yaml").strategies["explored"].propose == "explicit"


# --- what is shown ----------------------------------------------------------------------------------------------


def test_constraints_are_shown_and_broken_ones_reported(opened) -> None:
    marks = [mark.get_attribute("title") for mark in opened.find_elements("css selector", ".bound")]
    assert sorted(marks) == ["least 0.10", "most 0.50", "runs out above 0.70"]
    put(opened, "science", 0.9)
    warning = opened.find_element("id", "warning").text
    assert "science may run out of examples before the last step (above 0.70)" in warning
    assert "maths is below its least weight 0.1" in warning
    assert "boxes" not in warning


def test_the_nearest_run_of_a_trained_mixture_is_itself(opened) -> None:
    opened.find_element("xpath", "//button[text()='equal weights']").click()
    row = opened.find_elements("css selector", "#nearest tbody tr")[0].text
    assert row.startswith("all (seed 4") and " 0% " in row.replace("\n", " ")


def test_the_table_sorts_and_says_how(opened) -> None:
    def column(place: int) -> list[str]:
        rows = opened.find_elements("css selector", "#runs tbody tr")
        return [row.find_elements("css selector", "th, td")[place].text for row in rows]

    scores = [float(text.split()[0]) for text in column(1)]
    assert scores == sorted(scores, reverse=True) and len(scores) == 13, "by Out-Score, repeats included"
    head = opened.find_elements("css selector", "#runs thead th")
    assert head[1].get_attribute("aria-sort") == "descending"
    head[0].find_element("tag name", "button").send_keys(" ")
    assert column(0) == sorted(column(0))
    assert [cell.get_attribute("aria-sort") for cell in head[:2]] == ["ascending", None]


def test_a_run_in_the_table_sets_the_sliders(opened) -> None:
    opened.find_element("xpath", "//table[@id='runs']//button[text()='single-maths']").click()
    assert weights(opened) == {"boxes": 0, "maths": 1, "science": 0}


def test_the_front_is_walked_along_by_keyboard(opened) -> None:
    handle = opened.find_element("id", "along")
    handle.send_keys("\ue010")  # end
    inside, outside = shown(opened, "in_score")[0], shown(opened, "out_score")[0]
    handle.send_keys("\ue011")  # home
    assert shown(opened, "out_score")[0] > outside and shown(opened, "in_score")[0] < inside


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_screen_and_text_stands_out(opened, scheme: str, width: int) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    wide, room = opened.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == room <= width
    for selector in ("#about", "h2", "#scores td", "#presets button"):
        text, ground = opened.execute_script(
            "const e = document.querySelector(arguments[0]); const card = e.closest('section') || document.body;"
            "return [getComputedStyle(e).color, getComputedStyle(card).backgroundColor]",
            selector,
        )
        assert contrast(text, ground) >= 4.5, (selector, text, ground)
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_that_acts_has_a_name_and_the_keyboard(opened) -> None:
    nameless = opened.execute_script(
        "return [...document.querySelectorAll('button, input, textarea, [role=img], [role=region]')].filter((e) => !("
        "e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') ||"
        "document.querySelector(`label[for='${e.id}']`))).map((e) => e.outerHTML)"
    )
    assert nameless == []
    assert opened.find_elements("css selector", "[tabindex='-1']") == []
    assert opened.execute_script("return document.querySelectorAll('h1').length") == 1


# --- the page as a file -----------------------------------------------------------------------------------------


def test_the_page_is_one_file_that_asks_for_no_other(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}, (
        "a name, never fetched"
    )
    assert not any(part in text for part in (" src=", "@import", "url(", "{{"))


def test_the_same_records_give_the_same_bytes(data: dict) -> None:
    limits = Constraints(minimum={"maths": 0.1}, maximum={"boxes": 0.5})
    again = page_data(example_results(), "small study", "gp_sqrt", limits, {"science": 0.7})
    assert render(again) == render(data)


def test_markup_in_names_is_text(data: dict) -> None:
    text = render({**data, "study": "</script><script>alert(1)</script>"})
    assert text.count("</script>") == 2
    assert json.loads(text.split('id="data">')[1].split("</script>")[0])["study"].startswith("</script>")


# --- what it is made of -----------------------------------------------------------------------------------------


def test_the_best_mixture_lies_in_its_spread_and_keeps_to_the_constraints(surface: Surface) -> None:
    limits = Constraints(maximum={"maths": 0.4})
    found = best(surface, ["out_score"], limits)["out_score"]
    chosen = dict(zip(surface.predictor.domains, found["weights"], strict=True))
    assert chosen["maths"] <= 0.4 + 1e-6 and sum(chosen.values()) == pytest.approx(1)
    assert all(np.diff(spread).min() >= 0 for spread in found["spread"]), "quantiles rise"
    everywhere = surface.predictor.mean(np.random.default_rng(1).dirichlet(np.ones(3), 500))
    both = best(surface, ["in_score", "out_score"], limits)
    assert both["out_score"] == found, "whatever else is asked for"
    free = best(surface, ["out_score"], Constraints())["out_score"]
    assert free["mean"] >= (everywhere @ surface.shares["out_score"]).max() - 1e-4


def test_no_mixture_of_the_front_beats_another(surface: Surface) -> None:
    found = front(surface, Constraints())
    mean = surface.predictor.mean(np.array([point["mixture"] for point in found]))
    inside, outside = mean @ surface.shares["in_score"], mean @ surface.shares["out_score"]
    assert np.allclose([point["score"] for point in found], np.column_stack([inside, outside]))
    assert (np.diff(inside) > 0).all() or len(inside) == 1
    assert (np.diff(outside) < 0).all() or len(outside) == 1


def test_a_weight_above_which_examples_run_out(tmp_path: Path) -> None:
    (tmp_path / "table1.csv").write_text(
        "dataset,role,answer_type,examples,rejected\nboxes,training,box,20,0\nmaths,training,number,30,0\n"
        "maths,training,choice,500,0\n"
    )
    caps = examples_last(tmp_path / "table1.csv", ["boxes", "maths"], prompts=100)
    assert caps["maths"] == 1, "530 examples last for 100 prompts at any weight"
    assert 0.1 < caps["boxes"] < 0.2, "20 of 100 prompts, less a margin for the luck of the draw"


def test_records_without_base_model_and_standard_errors_have_a_page() -> None:
    found = without_base(example_results())
    text = render(page_data(found, "bare", "gp_sqrt"))
    assert '"base":null' in text


def changed(**columns: object) -> Results:
    """The study's runs with other columns."""
    one = records()
    frame = one.frame.assign(**columns)
    kinds = [name for name in frame if name.startswith("w_")]
    return results_of(Records(frame, [name[2:] for name in kinds], one.benchmarks, one.aggregates))


def with_untried() -> Results:
    """A domain that no run gave weight."""
    return changed(w_law=records().frame["w_maths"] * 0)


def test_a_domain_that_no_run_tried_has_no_weight_anywhere() -> None:
    data = page_data(with_untried(), "untried", "gp_average")
    domains = data["predictor"]["domains"]
    place = domains.index("law")
    assert data["untried"] == [place]
    for found in data["best"].values():
        assert found["weights"][place] == 0 and found["spread"][place] == [0] * 5
    assert {point["mixture"][place] for point in data["front"]} == {0}


def test_its_slider_does_not_move_and_the_page_says_so(browser, tmp_path: Path) -> None:
    path = tmp_path / "explorer.html"
    online = (records().frame["mixture"] == "other-1").astype(int)
    found = changed(w_law=records().frame["w_maths"] * 0, online=online)
    stopped = pd.DataFrame([{"strategy": "Race: 002", "step": 7, "out_score": 0.25, "se_out_score": 0.01}])
    found = replace(found, stopped=stopped)
    path.write_text(render(page_data(found, "untried", "gp_sqrt")), encoding="utf-8")
    browser.get(path.as_uri())
    about = browser.find_element("id", "about").text
    assert "No run has tried law: nothing is known" in about
    assert "fitted to 12 runs" in about, "not to the online one"
    below = browser.find_element("id", "left-out").text
    assert below.startswith("(online): the weights are the shares") and "Race: 002 at step 7" in below
    browser.find_element("xpath", "//button[text()='equal weights']").click()
    field = browser.find_element("css selector", "[aria-label='weight of law']")
    assert float(field.get_property("value")) == 0 and field.get_property("disabled")
    assert sum(weights(browser).values()) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("case", ["constant", "one mixture"])
def test_what_tells_no_mixture_from_another_has_no_interval_and_no_best(
    browser, tmp_path: Path, case: str
) -> None:
    if case == "constant":
        flat = {f"y_{name}": 0.0 for name in records().benchmarks} | {"in_score": 0.0, "out_score": 0.0}
        found = changed(**flat)
    else:
        one = records()
        kept = one.frame[one.frame["mixture"] == "all"].reset_index(drop=True)
        found = results_of(Records(kept, one.domains, one.benchmarks, one.aggregates))
    data = page_data(found, case, "gp_sqrt")
    assert all(data["undetermined"].values()) and all(
        best["spread"] is None for best in data["best"].values()
    )
    path = tmp_path / "explorer.html"
    path.write_text(render(data), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.find_element("id", "interval-out_score").text == "unknown"
    assert "No best mixture is claimed" in browser.find_element("id", "not-known").text
    text = browser.find_element("tag name", "body").text
    assert "NaN" not in text and "How far mixtures differ is not known" in text


def test_the_page_gives_a_verdict_and_marks_what_cannot_be_told_apart(data: dict) -> None:
    means = {run["label"].split(" (")[0]: run for run in data["runs"]}
    place = next(i for i, target in enumerate(data["targets"]) if target["name"] == "out_score")
    marked = {name for name, run in means.items() if run["near"][place]}
    answer, ties, *why = data["verdict"]["words"]
    best_run = answer.removeprefix("Use ").split(" (")[0]
    assert best_run in marked and "single-boxes" not in marked
    assert ties.startswith(f"{len(marked) - 1} other") and "cannot be told apart from it" in ties
    assert any(" against equal weights (all, mean of 3 seeds)" in text for text in why)
    one = records()
    first = one.frame[one.frame["seed"].isin([0, 42])].reset_index(drop=True)
    unknown = first.assign(**{name: np.nan for name in first if name.startswith("se_")})
    bare = results_of(Records(unknown, one.domains, one.benchmarks, one.aggregates))
    text = " ".join(page_data(bare, "bare", "gp_sqrt")["verdict"]["words"])
    assert "neither standard errors nor repeats" in text and "cannot be told" not in text and "±" not in text


def test_a_surrogate_that_the_page_cannot_evaluate_is_refused() -> None:
    with pytest.raises(
        InputError, match="reporting.surrogate: the explorer cannot evaluate 'quadratic': use gp_sqrt"
    ):
        fit(example_results().records, "quadratic")
