"""The report: its numbers are those of the records, it reads as English, and its first part prints on one sheet."""

import html
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chromium import FLAGS
from pages_in_browser import CHROMIUM
from study_records import BENCHMARKS, DOMAINS, SIDES, example_results, records

from modomodo.config.schema import Lora, Reporting, Training
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import STOPPED, from_rows
from modomodo.reporting.report import (
    Figure,
    chosen_by,
    differences,
    explained,
    in_words,
    interval_plot,
    read_figures,
    report,
    text_report,
)
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import Heading, ProposedBy, ReportSettings
from modomodo.reporting.verdict import Lead, verdict_of
from modomodo.reporting.winner import elsewhere, winner_of
from modomodo.reporting.wording import words
from modomodo.warning_files import Warned

SINGLES = ["single-boxes", "single-maths", "single-science"]
OTHERS = ["other-1", "other-2", "other-3", "other-4"]


def settings_of(**changes: object) -> ReportSettings:
    values = {
        "study": "small",
        "seed": 42,
        "headings": [],
        "model": "tiny_qwen2vl",
        "domains": DOMAINS,
        "benchmarks": [(name, SIDES[name]) for name in BENCHMARKS],
        "training": Training(steps=10, scored_steps=[5, 10]),
        "strategies": [
            ProposedBy("seed", "Single", "single", SINGLES, []),
            ProposedBy(
                "own", "Mine in", "alpha", OTHERS, ["seed"], {"alpha": 1.0, "alpha_single": None}, True
            ),
            ProposedBy(
                "own",
                "Mine out",
                "alpha",
                OTHERS,
                ["seed"],
                {"alpha": 0.0},
                target="in_score",
                without=["maths"],
            ),
        ],
    }
    return ReportSettings(**values | changes)


RUNS = [
    {
        "mixture": "all",
        "seed": 42,
        "seconds": {"train": 3600.0},
        "hardware": {"cores": 2, "gpus": []},
        "versions": {"trl": "1.16.0", "vllm": None},
        "commit": "abc",
    },
    {
        "mixture": "all",
        "seed": 43,
        "seconds": {"train": 7200.0},
        "hardware": {"gpus": ["H100"]},
        "commit": "abc",
    },
]
FOUND = example_results()
VERDICT = verdict_of(FOUND, runs=RUNS)


def text_of(page: str) -> str:
    """What a reader sees."""
    body = re.sub(r"<(style|script).*?</\1>", "", page.split("</head>")[1], flags=re.DOTALL)
    inline = re.sub(r"</?(b|a|code|i)\b[^>]*>", "", body)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", inline)).split())


@pytest.fixture
def page() -> str:
    return report(settings_of(), FOUND, VERDICT, RUNS, examples={"boxes": 1234})


@pytest.fixture
def text(page: str) -> str:
    return text_of(page)


def test_the_verdict_comes_first_in_the_words_of_all_pages(text: str) -> None:
    places = [
        text.index(words(VERDICT)[0]),
        text.index(words(VERDICT)[1]),
        text.index("Evidence", 60),
        text.index("Method", 60),
    ]
    assert text.startswith("Study small") and places == sorted(places)
    assert all(sentence in text for sentence in words(VERDICT))


def test_the_best_mixtures_are_ranked_with_their_weights_and_pages(page: str, text: str) -> None:
    winner = winner_of(FOUND, "out_score")
    assert winner is not None and winner.score in text.replace(" ", "\u00a0")
    assert winner.rows[0].behind == "" and all(row.behind.startswith("−") for row in winner.rows[1:])
    assert f'href="runs.html#{winner.mixture}/42"' in page
    assert sum(winner.rows[0].weights.values()) == pytest.approx(1)


def test_it_says_what_was_run(text: str) -> None:
    assert "boxes (1,234), maths, science." in text
    assert "11 mixtures in 13 runs, 2 of them the same mixture again with another seed." in text
    assert "up to 10 steps of 2 prompts with 6 completions each" in text


def test_a_strategy_function_is_explained_once_in_words(text: str) -> None:
    assert text.count("Weights by the scores of the mixtures that have a domain") == 1
    assert (
        "Mine in (own, 4 mixtures): alpha 1; alpha single none; scores averaged over the steps; learns from seed mixtures"
        in text
    )
    assert (
        "Mine out (own, 4 mixtures): alpha 0; for In-Score; without maths; learns from seed mixtures" in text
    )
    assert "Single (seed mixtures, 3 mixtures)" in text


def test_the_choice_is_explained_beside_its_name() -> None:
    rows = settings_of().strategies
    label, text = chosen_by("Mine in, mean of 3 seeds", rows) or ("", "")
    assert label == "Mine in" and text.startswith("Weights by the scores") and "alpha 1; " in text
    assert chosen_by("Single: maths", rows) == (
        "Single",
        "One mixture for each domain, with all weight on it.",
    )
    assert chosen_by("Mine", rows) is None and chosen_by("", rows) is None


def test_it_says_what_it_cost(page: str, text: str) -> None:
    assert "2 runs took 3 h 0 min of training, one after another; the longest 2 h 0 min." not in text
    assert f"2 runs took {VERDICT.cost.said()} of training, one after another; the longest 2 h 0 min." in text
    assert "Machine: 2 CPU cores, no GPU; H100." in text
    assert "Versions: trl 1.16.0." in text and "Code: commit abc." in text
    assert text.index("all, seed 43") < text.index("all, seed 42") and 'href="runs.html#all/43"' in page
    assert "Nothing was trained here" in text_of(report(settings_of(), FOUND, verdict_of(FOUND), []))


def test_runs_that_a_race_stopped_cost_something_and_have_no_page() -> None:
    whole = records()
    frame = whole.frame[(whole.frame["mixture"] != "other-4") | (whole.frame["step"] == 5)].reset_index(
        drop=True
    )
    raced = replace(whole, frame=frame.assign(**{STOPPED: (frame["mixture"] == "other-4").astype(int)}))
    headings = [
        Heading("own", name.capitalize(), [name])
        for name in dict.fromkeys(frame["mixture"])
        if name != "base"
    ]
    found = results_of(raced, headings)
    runs = [{"mixture": name, "seed": 42, "seconds": {"train": 60.0}} for name in ("all", "other-4")]
    shown = report(settings_of(headings=headings), found, verdict_of(found, runs=runs), runs)
    assert "compare with none above: Other-4 at step 5: 0.1" in text_of(shown)
    assert "Other-4, seed 42: 60 s" in text_of(shown) and "runs.html#other-4" not in shown
    assert 'href="runs.html#all/42">All, seed 42</a>' in shown
    mixtures = len({*frame["mixture"]} - {"base"})
    again = report(settings_of(headings=headings), found, verdict_of(found), [])
    assert f"{mixtures} mixtures in {mixtures + 2} runs, 2 of them the same mixture again" in text_of(again)
    assert "1 of them stopped early by a race" in text_of(shown)


def test_it_says_how_online_runs_and_replaced_prompts_came_about() -> None:
    said = (
        "Runs marked (online) choose the domain",
        "is replaced by the next example of its domain, at most 3 times",
    )
    assert not any(words in text_of(report(settings_of(), FOUND, VERDICT, RUNS)) for words in said)
    whole = records()
    frame = whole.frame.assign(online=(whole.frame["mixture"] == "all").astype(int))
    found = results_of(replace(whole, frame=frame))
    training = Training(steps=10, scored_steps=[5, 10], dynamic_sampling={"max_tries": 3})
    shown = text_of(report(settings_of(training=training), found, verdict_of(found), []))
    assert all(words in shown for words in said)
    # It alone has several seeds in these records, and they are runs of different weights.
    assert "Only online runs were repeated with another seed" in shown


def test_a_strategy_has_as_many_mixtures_as_were_trained_and_its_rungs_in_words() -> None:
    budget = ProposedBy("model", "Next", "acquire", ["all", "next-1", "next-2"], [], {"budget": 2.5})
    race = ProposedBy("race", "Race", "race", ["other-1"], [], {"rungs": {"2": 5, "9": 1}})
    listed = {each.function: each.asked[0] for each in explained([budget, race], {"all", "other-1"})}
    assert listed["acquire"] == ("Next", "model", "1 of at most 3 new mixtures", "budget 2.5")
    assert listed["race"] == ("Race", "race", "1 mixture", "5 to step 2, 1 to step 9")


def test_it_says_what_differs_from_the_paper_and_nothing_as_python_would(text: str) -> None:
    training = Training(
        steps=10,
        scored_steps=[5, 10],
        bf16=False,
        learning_rate=1e-5,
        save_steps=2,
        lora=Lora(rank=4),
    )
    found = dict((name, (own, papers)) for name, own, papers in differences(settings_of(training=training)))
    assert found["base model"] == ("tiny_qwen2vl", "Qwen/Qwen2-VL-2B-Instruct")
    assert found["training domains"] == ("3", "5") and found["benchmarks"] == ("4", "7")
    assert found["training.steps"] == ("10", "2,000") and found["training.scored_steps"][0] == "5, 10"
    assert found["training.bf16"] == ("no", "yes") and found["training.learning_rate"] == ("1e-05", "1e-06")
    assert found["training.lora"][1] == "none" and "rank: 4" in found["training.lora"][0]
    assert "training.beta" not in found, "the paper's value is no difference"
    assert "training.save_steps" not in found
    shown = text_of(report(settings_of(training=training), FOUND, VERDICT, RUNS))
    assert not re.search(r"\b(None|True|False|nan|inf)\b|\{'|\['", shown)
    same = settings_of(
        model="Qwen/Qwen2-VL-2B-Instruct",
        training=Training(),
        domains=list("abcde"),
        benchmarks=[(name, "out") for name in "tuvwxyz"],
    )
    assert differences(same) == []


def test_settings_are_written_as_words() -> None:
    assert [in_words(value) for value in (True, None, 0.5, 12000, [1, 2], [], {"a": {"b": 1}}, {}, "x")] == [
        "yes",
        "none",
        "0.5",
        "12,000",
        "1, 2",
        "none",
        "a: {b: 1}",
        "none",
        "x",
    ]


def test_names_and_notes_are_text_whatever_they_hold() -> None:
    notes = "50 % <b>of</b> {{ us }} & </script><script>x</script>"
    shown = report(settings_of(study="odd </title>", notes=notes), FOUND, VERDICT, RUNS)
    assert notes in text_of(shown) and "<script" not in shown and "<b>of" not in shown
    assert "<title>odd &lt;/title&gt;: report</title>" in shown


def test_noise_is_unknown_without_repeats() -> None:
    frame = records().frame
    alone = records().__class__(
        frame[~frame["seed"].isin([43, 44])].reset_index(drop=True), DOMAINS, BENCHMARKS
    )
    found = results_of(alone)
    assert "the noise between seeds is unknown" in text_of(
        report(settings_of(), found, verdict_of(found), [])
    )


def test_it_names_the_warnings_about_results() -> None:
    warning = Warned("nothing was learnt", ["all/42", "all/43"])
    assert "nothing was learnt (all/42, all/43)" in text_of(
        report(settings_of(), FOUND, VERDICT, [], warned=[warning])
    )


def test_gains_in_each_domain_are_shown_where_they_were_measured(text: str) -> None:
    gains = pd.DataFrame(
        [
            {
                "domain": "maths",
                "questions": 1200,
                "base": 0.2,
                "base_se": 0.03,
                "trained": 0.5,
                "trained_se": 0.03,
                "gain": 0.3,
                "gain_se": 0.02,
            }
        ]
    )
    shown = text_of(report(settings_of(), FOUND, VERDICT, RUNS, in_domain=gains))
    assert "maths 1,200 0.200 ± 0.030 0.500 ± 0.030 +0.300 ± 0.020" in shown.replace("\u00a0", " ")
    assert "alone gains" not in text


def test_only_what_the_page_shows_is_a_reason_to_write_it_again(small_study) -> None:
    planned = plan(small_study)
    shown = ReportSettings.of(small_study, planned).text()
    quiet = small_study.model_copy(update={"reporting": Reporting(dpi=72)})
    assert ReportSettings.of(quiet, planned).text() == shown
    noted = small_study.model_copy(update={"reporting": Reporting(notes="new")})
    assert ReportSettings.of(noted, planned).text() != shown


def test_leads_lie_on_one_axis_with_zero() -> None:
    plot = interval_plot(
        [
            Lead(over="a", gap=0.3, error=0.1),
            Lead(over="b", gap=-0.1, error=0.05),
            Lead(over="c", gap=0.1, error=None),
        ]
    )
    assert plot is not None and [row["over"] for row in plot["rows"]] == ["a", "b"]
    low, high = -0.1 - 1.96 * 0.05, 0.3 + 1.96 * 0.1
    assert plot["zero"] == pytest.approx(-100 * low / (high - low))
    assert plot["rows"][0]["high"] == pytest.approx(100) and plot["rows"][1]["low"] == pytest.approx(0)
    assert [row["sure"] for row in plot["rows"]] == [True, True]
    assert interval_plot([]) is None


def test_halves_of_the_questions_are_only_split_where_their_scores_are_known() -> None:
    assert elsewhere(FOUND, "out_score") is None


def test_figures_have_their_captions_and_the_papers_come_first(tmp_path: Path) -> None:
    for name in ("calibration", "out_score", "another_one", "before_after"):
        (tmp_path / f"{name}.svg").write_text("<svg/>")
    figures = read_figures(tmp_path.glob("*.svg"))
    assert [each.name for each in figures] == ["before_after", "out_score", "calibration", "another_one"]
    assert "{{" not in "".join(each.caption for each in figures) and figures[0].caption.startswith(
        "Each row is"
    )
    assert figures[3].title == "another one" and figures[3].caption == ""


def test_a_written_report_becomes_a_page_and_its_html_stays_text() -> None:
    shown = text_report("# Next\n\n<img src=x onerror=y>\n\n| a | b |\n|---|---|\n| 1 | `<i>` |\n")
    assert "<title>Next</title>" in shown and "<td>1</td>" in shown
    assert "<img" not in shown and "&lt;i&gt;" in shown


# --- on a screen and on paper -----------------------------------------------------------------------------------


def large() -> str:
    """The page of a large study: twenty domains and long names, many strategies and warnings."""
    random = np.random.default_rng(0)
    domains = [f"a_domain_with_a_long_name_{number:02d}" for number in range(20)]
    benchmarks = [f"benchmark_of_a_long_name_{number}" for number in range(12)]
    rows = [
        {
            "mixture": "base",
            "seed": 0,
            "step": 0,
            "strategy": "base",
            "scores": dict.fromkeys(benchmarks, 0.2),
        }
    ]
    for number in range(60):
        weights = random.dirichlet(np.ones(20)) if number else np.full(20, 0.05)
        scores = dict(zip(benchmarks, random.uniform(0.3, 0.8, 12), strict=True))
        rows.append(
            {
                "mixture": f"a-mixture-of-a-long-name-{number:03d}",
                "seed": 42,
                "step": 10,
                "strategy": "x",
                "weights": dict(zip(domains, weights, strict=True)),
                "scores": scores,
                "standard_errors": dict.fromkeys(benchmarks, 0.02),
            }
        )
    found = results_of(from_rows(rows, domains, benchmarks, {"out_score": dict.fromkeys(benchmarks, 100)}))
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="244pt" height="190pt"><rect width="244" height="190"/></svg>'
    settings = settings_of(domains=domains, benchmarks=[(name, "out") for name in benchmarks])
    warnings = [Warned("something is odd with this benchmark and with that reward " * 3, ["all/42"])] * 9
    figures = [
        Figure(name, name, "A caption. " * 20, f"data:image/svg+xml,{svg}") for name in ("out_score", "cost")
    ]
    return report(settings, found, verdict_of(found), RUNS[:0], figures, {}, warnings)


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_overflows_on_a_phone_or_a_screen(browser, tmp_path: Path, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for name, page in (("small", report(settings_of(), FOUND, VERDICT, RUNS)), ("large", large())):
        path = tmp_path / f"{name}.html"
        path.write_text(page, encoding="utf-8")
        browser.get(path.as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, name
    assert browser.get_log("browser") == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("study", ["small", "large"])
def test_its_summary_prints_on_one_sheet(browser, tmp_path: Path, study: str) -> None:
    page = large() if study == "large" else report(settings_of(notes="long " * 900), FOUND, VERDICT, RUNS)
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    pdf = tmp_path / "summary.pdf"
    flags = [
        *FLAGS,
        "--no-pdf-header-footer",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--print-to-pdf={pdf}",
    ]
    subprocess.run([str(CHROMIUM), *flags, path.as_uri()], check=True, capture_output=True, timeout=120)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == 1
