"""The verdict: which mixture, how sure, at what price, on numbers done by hand; and the same words on every page."""

import html
import json
import math
import re
import subprocess
from pathlib import Path
from statistics import NormalDist

import pytest
import yaml
from markdown_it import MarkdownIt
from study_records import DOMAINS, example_results

from modomodo.config.schema import Strategy
from modomodo.errors import InputError
from modomodo.mixtures.records import from_rows
from modomodo.reporting.explorer import page_data, render
from modomodo.reporting.results import Results, results_of
from modomodo.reporting.verdict import Case, read_verdict, verdict_of
from modomodo.reporting.wording import as_markdown, as_text, as_yaml, words

MIXTURES = {
    "base": {},
    "x": {"x": 1.0},
    "y": {"y": 1.0},
    "all": {"x": 0.5, "y": 0.5},
    "mine": {"x": 0.254, "y": 0.746},
}


def found(
    error: float = 0.01, domains: tuple[str, str] = ("x", "y"), **scores: float | list[float]
) -> Results:
    """Mixture → its Out-Score, or that of each seed; standard errors all the same."""
    rows = [
        {
            "mixture": name,
            "seed": 42 + place,
            "step": 9,
            "weights": {domains["xy".index(key)]: weight for key, weight in MIXTURES[name].items()},
            "scores": {"chart": value},
            "standard_errors": {"chart": error},
        }
        for name, values in scores.items()
        for place, value in enumerate(values if isinstance(values, list) else [values])
    ]
    return results_of(from_rows(rows, list(domains), ["chart"], {"out_score": {"chart": 10}}))


def run(seconds: float, gpus: int = 0) -> dict:
    return {"seconds": {"train": seconds - 1, "start": 1.0}, "hardware": {"gpus": ["H100"] * gpus}}


def test_a_clear_best_is_named_with_its_weights_and_what_it_is_ahead_of() -> None:
    verdict = verdict_of(found(base=0.1, x=0.3, y=0.2, all=0.4, mine=0.5))
    assert (verdict.case, verdict.choice, verdict.ties, verdict.again) == (Case.CLEAR, "mine", [], {})
    assert verdict.weights == {"x": 0.25, "y": 0.75}
    answer, *why = words(verdict)
    assert answer == (
        "Use mine (y 0.75, x 0.25): Out-Score 0.500 ± 0.010, the best of 4 mixtures, ahead of each other one by more "
        "than noise."
    )
    # √2 × 0.01 is the error of each difference, 1.96 of it 0.0277; equal weights are the next best.
    assert why[:3] == [
        "+0.400 against the base model: 95% interval +0.372 to +0.428, better with a probability of more than 0.99.",
        "+0.100 against equal weights (all): 95% interval +0.072 to +0.128, better with a probability of more than 0.99.",
        "+0.200 against the best single domain (x): 95% interval +0.172 to +0.228, better with a probability of more than "
        "0.99.",
    ]
    assert "as if each had answered other questions; that the best of 4 was picked is not in them" in why[3]


def test_what_cannot_be_told_apart_is_named_with_its_probability_and_trained_again() -> None:
    verdict = verdict_of(found(base=0.1, x=0.3, all=0.49, mine=0.5), runs=[run(600), run(600), run(1200)])
    assert (verdict.case, verdict.choice, verdict.ties, verdict.equal) == (Case.TIED, "mine", ["all"], "tied")
    probability = NormalDist().cdf(0.01 / (0.01 * math.sqrt(2)))
    assert verdict.leads[1].probability == pytest.approx(probability)
    said = words(verdict)
    assert "1 other, equal weights among them, cannot be told apart from it: all." in said
    assert any(f"−0.018 to +0.038, better with a probability of {probability:.2f}." in text for text in said)
    assert said[-2:] == [
        "Cost: 3 runs, 40 min of training; predictions are not counted.",
        "To be surer, train again (repeats in the study): mine (seed 43), all (seed 43); 20 min of training, 10 min "
        "each.",
    ]


def test_what_is_trained_again_has_its_label_and_the_name_that_repeats_want() -> None:
    verdict = verdict_of(found(base=0.1, x=0.3, all=0.49, mine=0.5), runs=[run(600)])
    labelled = verdict.model_copy(update={"called": {"mine": "Mine: 001", "all": "all"}})
    assert (
        "train again (repeats in the study): Mine: 001 (mine, seed 43), all (seed 43);" in words(labelled)[-1]
    )


def test_the_price_on_gpus_is_in_their_hours() -> None:
    said = words(verdict_of(found(all=0.49, mine=0.5), runs=[run(3600, 4), run(7200, 4)]))
    assert "Cost: 2 runs, 12 GPU-hours of training; predictions are not counted." in said
    assert said[-1].endswith("; 12 GPU-hours of training, 6 GPU-hours each.")


def test_where_nothing_can_be_told_apart_the_cheapest_choice_is_named() -> None:
    verdict = verdict_of(found(x=0.49, all=0.48, mine=0.5, error=0.05))
    assert (verdict.case, verdict.choice, verdict.equal) == (Case.SAME, "all", "chosen")
    assert words(verdict)[0] == (
        "None of the 3 mixtures can be told apart from the best by Out-Score. Use equal weights, all (x 0.50, y 0.50), "
        "the simplest choice: Out-Score 0.480 ± 0.050."
    )
    assert [lead.over for lead in verdict.leads] == ["the best single domain (x)", "the best observed (mine)"]
    assert (
        verdict.leads[1].gap == pytest.approx(-0.02)
        and "−0.020 against the best observed (mine)" in words(verdict)[2]
    )
    without = words(verdict_of(found(x=0.49, mine=0.5, error=0.05)))[0]
    assert "Use mine (y 0.75, x 0.25), which is trained already" in without


def test_seeds_that_would_settle_nothing_are_not_advised_alone() -> None:
    """The questions' error stays, however many seeds: 0.02 ahead, with √2 × 0.05 of them."""
    sure = "would not tell them apart"
    assert sure in words(verdict_of(found(x=[0.3, 0.31], all=0.48, mine=0.5, error=0.05)))[-1]
    assert sure not in words(verdict_of(found(x=[0.3, 0.34], all=0.48, mine=0.5, error=0.003)))[-1]
    assert verdict_of(found(all=0.48, mine=0.5, error=0.05)).seeds_settle is None


@pytest.mark.parametrize(
    ("results", "case", "answer"),
    [
        (
            found(mine=0.5),
            Case.ONE,
            "mine (y 0.75, x 0.25) is the only mixture with a score (Out-Score 0.500 ± 0.010)",
        ),
        (found(mine=math.nan), Case.NOTHING, "No mixture has a score (Out-Score) yet."),
        (
            found(x=0.4, mine=0.5, error=math.nan),
            Case.UNKNOWN,
            "Use mine (y 0.75, x 0.25): Out-Score 0.500, the best of",
        ),
        (found(base=0.6, x=0.4, mine=0.5), Case.BASE, "Keep the base model: it beats all 2 mixtures"),
    ],
    ids=["one mixture", "none scored", "no errors", "the base model"],
)
def test_studies_with_little_to_say(results: Results, case: Case, answer: str) -> None:
    verdict = verdict_of(results)
    assert verdict.case == case
    assert words(verdict)[0].startswith(answer)
    assert "nan" not in as_text(verdict) and "None" not in as_text(verdict).removeprefix("None of")


def test_a_best_score_above_its_expectation_is_called_lucky_by_how_much() -> None:
    results = example_results()
    verdict = verdict_of(results, "gp_sqrt")
    assert verdict.surprise is not None and verdict.surprise.surrogate == "gp_sqrt"
    gap = verdict.surprise.score - verdict.surprise.expected
    assert verdict.surprise.score == results.mixtures["out_score"].max() and abs(gap) < 0.02
    lucky = verdict.surprise.model_copy(update={"expected": verdict.surprise.score - 0.0301})
    text = " ".join(words(verdict.model_copy(update={"surprise": lucky})))
    assert (
        "The best observed score is 0.030 above its expectation: gp_sqrt, fitted to all runs, expects" in text
    )
    unlucky = verdict.surprise.model_copy(update={"expected": verdict.surprise.score + 0.03})
    assert "is no luck by the surrogate" in " ".join(words(verdict.model_copy(update={"surprise": unlucky})))


def test_a_surrogate_that_predicts_nothing_explains_nothing() -> None:
    assert verdict_of(found(x=0.3, y=0.3, all=[0.2, 0.4], mine=0.31)).surprise is None


def test_of_an_online_run_the_weights_are_what_it_came_to_on_every_page() -> None:
    verdict = verdict_of(found(x=0.3, y=0.2, mine=0.5)).model_copy(update={"online": True})
    assert words(verdict)[0].startswith("Use mine (came to y 0.75, x 0.25): ")
    assert as_yaml(verdict).startswith(
        "# what the online run came to, from the start: not measured\nstrategies:"
    )


def test_the_yaml_is_a_strategy_of_a_study() -> None:
    verdict = verdict_of(found(x=0.3, mine=0.5))
    assert yaml.safe_load(as_yaml(verdict))["strategies"]["chosen"] == {
        "propose": "explicit",
        "group": "own",
        "label": "Chosen",
        "options": {"weights": {"x": 0.25, "y": 0.75}},
    }
    Strategy.model_validate(yaml.safe_load(as_yaml(verdict))["strategies"]["chosen"])


def test_the_file_holds_all_of_it_and_a_damaged_one_is_named(tmp_path) -> None:
    path = tmp_path / "verdict.json"
    verdict = verdict_of(example_results(), runs=[run(60)])
    path.write_text(verdict.model_dump_json(), encoding="utf-8")
    assert read_verdict(path) == verdict
    path.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"verdict.json: no verdict: .*make the table again"):
        read_verdict(path)


def test_make_ends_on_it() -> None:
    said = subprocess.run(
        ["make", "-n", "table", "RESULTS=results/mine"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    last = said[said.index('folder="results/mine"') :]
    assert 'cat "$folder/verdict.txt"' in last and "snakemake" not in last


HOSTILE = ("<script>alert(1)</script> *x* `_", "{{ y }} | {% z %} [a](b) </script>")


def test_every_page_says_the_same_words_whatever_the_names() -> None:

    results = found(domains=HOSTILE, base=0.1, x=0.3, all=0.49, mine=0.5)
    verdict = verdict_of(results, "gp_sqrt")
    said = words(verdict)
    assert HOSTILE[0] in said[0]
    assert as_text(verdict).startswith("\n  ".join(said))

    page = MarkdownIt("commonmark", {"html": True}).render(as_markdown(verdict))
    assert "<script" not in page
    shown = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert all(text in shown for text in said) and as_yaml(verdict) in shown

    explored = render(page_data(results, "hostile", "gp_sqrt", verdict=verdict))
    assert "<script>alert" not in explored and explored.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', explored, re.DOTALL)
    written = json.loads(data[1])["verdict"] if data else {}
    assert (written["words"], written["yaml"]) == (said, as_yaml(verdict))


def test_a_study_of_three_domains() -> None:
    verdict = verdict_of(example_results())
    assert set(verdict.weights) == set(DOMAINS) and sum(verdict.weights.values()) == pytest.approx(1)
    assert "equal weights (all, mean of 3 seeds)" in {lead.over.lower() for lead in verdict.leads}


def test_the_luck_of_the_choice_is_said_where_there_is_some() -> None:
    verdict = verdict_of(example_results())
    said = " ".join(words(verdict.model_copy(update={"luck": 0.0123})))
    assert "the best mixture scores 0.012 less on the other half" in said
    assert "other half" not in " ".join(words(verdict.model_copy(update={"luck": -0.002})))
