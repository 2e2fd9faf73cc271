"""The report's first page: its numbers are those of the records, and its text is valid for Snakemake's reader."""

from statistics import NormalDist

import docutils.core
import numpy as np
import pytest
from study_records import BENCHMARKS, DOMAINS, SIDES, example_results, records

from modomodo.config.schema import Reporting, Training
from modomodo.mixtures.plan import plan
from modomodo.reporting.overview import overview
from modomodo.reporting.results import results_of
from modomodo.reporting.settings import OverviewSettings
from modomodo.reporting.verdict import verdict_of
from modomodo.warning_files import Warned


def settings_of(**changes: object) -> OverviewSettings:
    values = {
        "study": "small",
        "seed": 42,
        "headings": [],
        "model": "tiny_qwen2vl",
        "domains": DOMAINS,
        "benchmarks": [(name, SIDES[name]) for name in BENCHMARKS],
        "training": Training(steps=10, scored_steps=[5, 10]),
        "strategies": [("seed", "Single", "single", 3, []), ("own", "Mine", "explicit", 8, ["seed"])],
        "runs": 13,
    }
    return OverviewSettings(**values | changes)


RUNS = [
    {
        "seconds": {"train": 3600.0},
        "hardware": {"cores": 2, "gpus": []},
        "versions": {"trl": "1.16.0"},
        "commit": "abc",
    },
    {"seconds": {"train": 7200.0}, "hardware": {"gpus": ["H100"]}, "commit": "abc"},
]
VERDICT = verdict_of(example_results())


@pytest.fixture
def page() -> str:
    return overview(settings_of(), example_results(), VERDICT, RUNS, {"boxes": 1234})


def test_it_says_what_was_run(page: str) -> None:
    assert "boxes (1,234), maths, science." in page
    assert "Together 11 mixtures in 13 runs, 2 of them the same mixture again with another seed." in page
    assert "up to 10 steps of 2 prompts with 6 completions each" in page


def test_it_says_what_won_and_how_sure(page: str) -> None:
    frame = records().frame
    last = frame[(frame["step"] == 10) | (frame["mixture"] == "base")]
    means = last.groupby("mixture")["out_score"].mean()
    best = means.drop("base").idxmax()
    assert f"**Use {best} (" in page and f"Out-Score {means[best]:.3f} ± 0.014" in page
    # Standard errors of 0.02 / √2 each, as if of other questions, and the noise between three seeds of All.
    noise = last[last["mixture"] == "all"]["out_score"].var(ddof=1)
    error = np.sqrt(0.02**2 + noise)
    low, high = (means[best] - means["base"] + sign * 1.96 * error for sign in (-1, 1))
    assert (
        f"{means[best] - means['base']:+.3f} against the base model: 95% interval {low:+.3f} to {high:+.3f}"
        in page
    )
    error = np.sqrt(0.02**2 + noise * (1 + 1 / 3))
    better = NormalDist().cdf((means[best] - means["all"]) / error)
    said = f"{means[best] - means['all']:+.3f} against equal weights (all, mean of 3 seeds): 95% interval"
    assert said in page and f"better with a probability of {better:.2f}" in page
    assert "cannot be told apart from it" in page
    assert "by how much is not known" in page and "as if each mixture had answered other questions" in page


def test_it_says_what_it_cost(page: str) -> None:
    assert "2 runs took 3 h 0 min of training, one after another; the longest 2 h 0 min." in page
    assert "Machine: 2 CPU cores, no GPU; H100." in page
    assert "Versions: trl 1.16.0." in page and "Code: commit abc." in page


def test_it_says_what_differs_from_the_paper(page: str) -> None:
    assert "- the base model is tiny\\_qwen2vl, not Qwen/Qwen2-VL-2B-Instruct" in page
    assert "- 3 training domains and 4 benchmarks, not 5 and 7" in page
    assert "- training.steps: 10, the paper's is 2000" in page
    assert "training.beta" not in page, "the paper's value is no difference"
    same = settings_of(
        model="Qwen/Qwen2-VL-2B-Instruct",
        training=Training(),
        domains=list("abcde"),
        benchmarks=[(name, "out") for name in "tuvwxyz"],
    )
    assert "training settings are the paper's" in overview(same, example_results(), VERDICT, [], {})


def test_records_of_others_cost_nothing_here() -> None:
    assert "Nothing was trained here" in overview(settings_of(), example_results(), VERDICT, [], {})


def test_it_is_valid_for_snakemakes_reader_whatever_the_names(page: str) -> None:
    from jinja2 import Environment

    odd = overview(
        settings_of(study="odd_", notes="50 % *of* {{ us }} like_ `this` |x| {% no %}"),
        example_results(),
        VERDICT,
        RUNS,
        {},
    )
    for text in (page, odd):
        rendered = Environment(trim_blocks=True, lstrip_blocks=True).from_string(text).render()
        html = docutils.core.publish_parts(
            rendered, writer="html", settings_overrides={"halt_level": 2, "report_level": 2}
        )["body"]
        assert "What won" in html and "system-message" not in html
    assert "*of*" in html and "{ { us }}" in html


def test_noise_is_unknown_without_repeats() -> None:
    frame = records().frame
    alone = records().__class__(
        frame[~frame["seed"].isin([43, 44])].reset_index(drop=True), DOMAINS, BENCHMARKS
    )
    assert "the noise between seeds is unknown" in overview(
        settings_of(), results_of(alone), verdict_of(results_of(alone)), [], {}
    )


def test_the_calibration_is_spoken_of_only_where_the_study_has_its_figure(page: str) -> None:
    frame = records().frame
    few = records().__class__(
        frame[frame["mixture"].isin(["base", "all", "single-maths"])].reset_index(drop=True),
        DOMAINS,
        BENCHMARKS,
    )
    assert "*calibration*" in page
    found = results_of(few)
    assert "*calibration*" not in overview(settings_of(), found, verdict_of(found), [], {})


def test_a_group_called_seed_is_written_as_seed_mixtures(page: str) -> None:
    rows = [line.strip() for line in page.splitlines()]
    assert "* - seed mixtures" in rows and "- seed mixtures" in rows and "* - seed" not in rows


def test_only_what_the_page_shows_is_a_reason_to_write_it_again(small_study) -> None:
    planned = plan(small_study)
    shown = OverviewSettings.of(small_study, planned).text()
    quiet = small_study.model_copy(update={"reporting": Reporting(dpi=72)})
    assert OverviewSettings.of(quiet, planned).text() == shown
    noted = small_study.model_copy(update={"reporting": Reporting(notes="new")})
    assert OverviewSettings.of(noted, planned).text() != shown


def test_it_names_the_warnings_about_results() -> None:
    assert "Warnings" not in overview(settings_of(), example_results(), VERDICT, [], {})
    warning = Warned("nothing was learnt", ["all/42", "all/43"])
    text = overview(settings_of(), example_results(), VERDICT, [], {}, [warning])
    assert "Warnings\n--------\n\n- nothing was learnt (all/42, all/43)\n" in text
    docutils.core.publish_string(text, settings_overrides={"halt_level": 2})
