"""The pages of runs: what they show is what the files say, whatever a model or a dataset has written."""

import base64
import gzip
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import PIL.Image
import PIL.PngImagePlugin
import pytest

from modomodo.files import write_json, write_jsonl
from modomodo.mixtures.records import from_rows
from modomodo.reporting.questions import QuestionScores, collect_questions, of_questions, write_questions
from modomodo.reporting.results import results_of
from modomodo.reporting.run_pages import Share, render_runs, shares_of, work_of
from modomodo.reporting.samples import Change, change, choose
from modomodo.reporting.settings import Heading
from modomodo.study.evidence import Evidence

HOSTILE = (
    "<think></script><script>document.title='stolen'</script><img src=x onerror=\"document.title='stolen'\">"
    "<!-- <script> \u202eturned\u202c \x00nought {{ 7 * 7 }} & &amp; ```\n</think><answer>\ud800 x</answer>"
)
LONG = "A" * 50_000 + "MIDDLE" + "B" * 50_000


class Question:
    """A row of examples.jsonl in short."""

    def __init__(self, id_: str, images: list[str], **fields: object) -> None:
        meta = dict(fields.pop("meta", {}))
        if images[1:]:
            meta["images"] = images[1:]
        self.id, self.image = id_, (images or [""])[0]
        self.row = {"id": id_, "image": self.image, "choices": [], "meta": meta, **fields}


QUESTIONS = {
    "texts": [
        Question("t0", [], question="One and one?", answer="2", answer_type="number"),
        Question("t1", [], question="</script><b>Bold?</b>", answer="<b>2</b>", answer_type="text"),
        Question(
            "t2", [], question="\u202eLong?", answer="C", answer_type="choice", choices=["<i>a</i>", "b", "c"]
        ),
    ],
    "boxes": [
        Question(
            "b0",
            ["images/boxes/wide.png"],
            question="Where is it?",
            answer=[[20.0, 10.0, 40.0, 30.0]],
            answer_type="box",
            meta={"boxes": "pixels"},
        ),
        Question(
            "b1",
            ["images/boxes/wide.png", "images/boxes/tall.jpg"],
            question="Which?",
            answer="1",
            answer_type="text",
        ),
    ],
}
ANSWERED = {
    "base/0": {
        "texts": [("2", "2", 1.0), ("no", None, 0.0), (LONG, None, 0.0)],
        "boxes": [("-", "-", 0.0)] * 2,
    },
    "all/42": {
        "texts": [("3", "3", 0.0), (HOSTILE, "\ud800 x", 1.0), (LONG, "C", 1.0)],
        "boxes": [("there", "[10, -5, 20, 20]", 0.7), ("2", "2", 0.0)],
    },
}


def write_study(folder: Path) -> Evidence:
    images = folder / "examples/images/boxes"
    images.mkdir(parents=True)
    secret = PIL.PngImagePlugin.PngInfo()
    secret.add_text("place", "SECRET PLACE")
    PIL.Image.new("RGB", (80, 40), "red").save(images / "wide.png", pnginfo=secret)
    PIL.Image.new("RGB", (300, 900), "blue").save(images / "tall.jpg")
    for name, questions in QUESTIONS.items():
        write_jsonl(folder / f"examples/{name}.jsonl", ({**q.row, "dataset": name} for q in questions))
    for run, answered in ANSWERED.items():
        entries = {}
        mixture, _, seed = run.partition("/")
        for name, said in answered.items():
            path = folder / f"predictions/{run}/10/{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = zip(QUESTIONS[name], said, strict=True)
            path.write_text(
                "".join(
                    json.dumps(
                        {
                            "id": q.id,
                            "completion": text,
                            "answer": answer,
                            "finish_reason": "length",
                            "tokens": 3,
                        }
                    )
                    + "\n"
                    for q, (text, answer, _) in rows
                )
            )
            entries[name] = {"path": f"10/{name}.jsonl", "key": "k", "sha256": "s"}
        about = {"mixture": mixture, "seed": int(seed), "settings": {}, "predictions": {"10": entries}}
        write_json(folder / f"predictions/{run}/predictions.json", about)
        values = [
            of_questions(name, questions, [value for *_, value in answered[name]])
            for name, questions in QUESTIONS.items()
        ]
        (folder / f"scores/{mixture}").mkdir(parents=True)
        write_questions(folder / f"scores/{run}.csv", mixture, int(seed), values)
    run_json = {
        "mixture": "all",
        "seed": 42,
        "settings": {"training": {"num_generations": 4}, "rewards": {"a&b": ["accuracy"], "c": ["iou"]}},
        "stream": {
            "steps": 3,
            "prompts": 6,
            "requested": {"a&b": 0.75, "c": 0.25},
            "realised": {"a&b": 0.5, "c": 0.5},
            "effective": {"a&b": 1.0},
            "exhausted": {"domain": "c", "step": 3},
        },
        "checkpoints": {"10": {"step": 10, "path": "checkpoint-10", "weights": "ab" * 32}},
        "base": "cd" * 32,
        "rows": "0123456789ab",
        "seconds": {"train": 123.456},
    }
    write_json(folder / "runs/all/42/run.json", run_json)
    write_json(folder / "runs/all/42/warnings.json", {"warnings": ["it learnt <nothing>"]})
    lines = [
        {
            "step": i,
            "rewards/a&b/accuracy": value,
            "kl": 0.1 * i,
            "num_tokens": 100.0 * i,
            "frac_reward_zero_std": 0.5,
        }
        for i, value in ((1, 0.0), (2, None), (3, 1.0))
    ]
    write_jsonl(folder / "runs/all/42/log.jsonl", lines)
    rows = [
        {
            "mixture": run.partition("/")[0],
            "seed": int(run.partition("/")[2]),
            "step": 10 if run != "base/0" else 0,
            "strategy": run.partition("/")[0],
            "weights": {} if run == "base/0" else {"a&b": 0.75, "c": 0.25},
            "scores": {name: sum(v for *_, v in said) / len(said) for name, said in answered.items()},
            "standard_errors": dict.fromkeys(answered, 0.1),
        }
        for run, answered in ANSWERED.items()
    ]
    records = from_rows(rows, ["a&b", "c"], list(QUESTIONS), {"out_score": {"texts": 3, "boxes": 2}})
    asked = collect_questions([folder / f"scores/{run}.csv" for run in ANSWERED])
    found = results_of(
        records,
        [Heading("own", "Mine & <b>, of a rather long name", ["all"])],
        dict.fromkeys(QUESTIONS, "out"),
        None,
        (),
        QuestionScores(asked),
    )
    return Evidence(
        found=found,
        benchmarks={name: folder / f"examples/{name}.jsonl" for name in QUESTIONS},
        predictions={run: folder / f"predictions/{run}/predictions.json" for run in ANSWERED},
        runs={"all/42": folder / "runs/all/42/run.json"},
        scores={},
        folder=folder,
    )


def render(evidence: Evidence) -> str:
    return render_runs(
        "odd <study>", evidence.found, evidence.pages(), evidence.questions, evidence.pictures.encoded
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    path = folder / "runs.html"
    path.write_text(render(write_study(folder)), encoding="utf-8")
    return path


def go(browser, page: Path, anchor: str) -> None:
    """Open the page of a run."""
    browser.get("about:blank")
    browser.get(page.as_uri() + anchor)
    wait(browser)


def wait(browser) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 10).until(lambda driver: "".join(texts(driver, "#run h1")))


def unpacked(page: Path, name: str) -> str:
    block = re.search(rf'<script type="text/plain" {name}>([^<]*)</script>', page.read_text(encoding="utf-8"))
    assert block is not None
    return gzip.decompress(base64.b64decode(block[1])).decode()


def texts(browser, selector: str) -> list[str]:
    return [element.text for element in browser.find_elements("css selector", selector)]


# --- which questions --------------------------------------------------------------------------------------------


def test_what_training_changed_comes_first_and_the_rest_in_order() -> None:
    assert [change(1.0, 0.0), change(0.4, 0.5), change(0.6, 0.5), change(1.0, None)] == [
        Change.RIGHT,
        Change.WRONG,
        Change.NONE,
        Change.NONE,
    ]
    changes = [Change.NONE] * 20
    for place in (1, 3, 5, 7, 9, 11, 13):
        changes[place] = Change.RIGHT
    changes[4] = Change.WRONG
    assert choose(changes) == [1, 3, 5, 7, 9, 4, 0, 2, 6, 8, 10, 12]


def test_changed_questions_take_the_places_of_others_that_do_not_exist() -> None:
    assert choose([Change.RIGHT] * 14 + [Change.NONE]) == [*range(11), 14]
    assert choose([Change.WRONG] * 3) == [0, 1, 2] and choose([]) == []


def test_a_domain_that_an_online_run_found_later_is_shown_too() -> None:
    stream = {"requested": {"a": 1.0}, "realised": {"a": 0.5, "c": 0.5}, "effective": {"a": 1.0}}
    shown = [
        (share.domain, share.weight, share.realised, share.effective)
        for share in shares_of({"stream": stream}, "abc")
    ]
    assert shown == [("a", 1.0, 0.5, 1.0), ("c", 0.0, 0.5, 0.0)]
    assert [share.effective for share in shares_of({"stream": {**stream, "effective": None}}, "a")] == [None]


def test_an_online_run_is_listed_by_what_it_came_to_and_stopped_ones_are_named_below(tmp_path: Path) -> None:
    evidence = write_study(tmp_path)
    one, two = evidence.found.records.domains[:2]
    shares = [Share(one, 0.5, 0.75, None), Share(two, 0.5, 0.25, None)]
    online, static = (
        replace(page, shares=shares, online=changing)
        for page, changing in zip(evidence.pages()[:2], (True, False), strict=True)
    )
    assert online.weights == {one: 0.75, two: 0.25} and static.weights == {one: 0.5, two: 0.5}
    stopped = pd.DataFrame([{"strategy": "Race: 002", "step": 7, "out_score": 0.25, "se_out_score": 0.01}])
    shown = render_runs("s", replace(evidence.found, stopped=stopped), [online, static], [], [])
    listed = html.unescape(shown)
    assert f"{one} 0.75 {two} 0.25" in listed and f"{one} 0.50 {two} 0.50" in listed
    assert "have no page: Race: 002 at step 7: 0.250 ± 0.010." in shown
    assert "shares of the prompts that the run came to" in shown
    assert "Stopped" not in render_runs("s", evidence.found, [static], [], [])


# --- the page ---------------------------------------------------------------------------------------------------


def test_completions_of_replaced_prompts_are_work_too() -> None:
    stream = {"steps": 2, "prompts": 4, "prompts_generated": 7}
    facts = work_of({"stream": stream, "settings": {"training": {"num_generations": 3}}}, [])
    assert (facts["prompts"], facts["completions"]) == ("4, 3 replaced", "21 (3 for each prompt)")


def test_the_same_files_give_the_same_bytes_without_any_measured_time(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    (tmp_path / "study").mkdir()
    assert render(write_study(tmp_path / "study")) == text
    assert "123" not in unpacked(page, 'data-run="all/42"').replace("0123456789ab", "")


def test_pictures_are_encoded_again_each_once(page: Path) -> None:
    pictures = json.loads(unpacked(page, 'id="pictures"'))
    assert len(pictures) == 2
    opened = [PIL.Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in pictures]
    assert [image.format for image in opened] == ["WEBP", "WEBP"]
    assert not any(b"SECRET" in image.fp.getvalue() for image in opened)
    assert opened[0].size == (80, 40) and max(opened[1].size) == 160
    assert opened[0].convert("RGB").getpixel((5, 5)) == (255, 0, 0), "a small one keeps its pixels"


def test_nothing_that_a_model_wrote_runs_and_all_of_it_is_seen(browser, page: Path) -> None:
    go(browser, page, "#all/42")
    assert browser.title == "odd <study>: runs"
    assert texts(browser, "#run h1") == ["Mine & <b>, of a rather long name, seed 42: Out-Score 0.540"]
    said = texts(browser, ".sample pre")
    assert any("</script><script>document.title='stolen'</script>" in text for text in said)
    assert any("◇turned◇ ␀nought {{ 7 * 7 }} & &amp;" in text for text in said)
    long = next(text for text in said if text.startswith("AAAA"))
    assert "99,056 characters left out" in long and len(long) < 1100
    assert "</script><b>Bold?</b>" in texts(browser, ".question")
    assert (
        browser.find_elements("css selector", "main script, main img[onerror], .question b, .sample pre img")
        == []
    )
    assert browser.get_log("browser") == []


def test_it_shows_mixture_scores_curves_and_answers(browser, page: Path) -> None:
    go(browser, page, "#all/42")
    shares = [
        [float(number) for number in re.findall(r"\d\.\d{3}", text)] for text in texts(browser, ".bars")
    ]
    assert shares == [[0.75, 0.5, 1.0], [0.25, 0.5, 0.0]]
    explorer = browser.find_element("partial link text", "explorer").get_attribute("href")
    assert explorer.endswith("explorer.html#w=a%26b:0.75&w=c:0.25")
    assert texts(browser, ".curves figcaption") == [
        "reward: a&b",
        "KL to the base model",
        "share of prompts that teach",
    ]
    assert texts(browser, "details[open] .what") == [
        "newly right",
        "newly right",
        "newly wrong",
    ]  # the open benchmark
    assert texts(browser, "summary") == [
        "texts: 3 of 3 questions, 2 newly right, 1 newly wrong",
        "boxes: 2 of 2 questions, 1 newly right, 0 newly wrong",
    ]
    facts = dict(zip(texts(browser, "#run > dl dt"), texts(browser, "#run > dl dd"), strict=True))
    assert facts["completions"] == "24 (4 for each prompt)" and facts["tokens"] == "300"
    assert "examples of c were exhausted" in facts["ended early"] and "run.json" in facts["files"]
    assert texts(browser, ".warning") == ["it learnt <nothing>"]
    scores = dict(line.split(" ", 1) for line in texts(browser, "#run tbody tr"))
    assert scores["texts"].split() == ["0.33", "0.67", "+0.33", "±", "0.67", "2", "1"]


def test_boxes_are_drawn_on_the_thumbnail_whatever_their_convention(browser, page: Path) -> None:
    go(browser, page, "#all/42")
    browser.execute_script("document.querySelectorAll('details').forEach((each) => each.open = true)")
    corners = [
        [float(box.get_attribute(name)) for name in ("x", "y", "width", "height")]
        for box in browser.find_elements("css selector", "rect.truth, rect.answered")
    ]
    assert corners == [[250, 250, 250, 500], [125, 0, 125, 500]]
    widths = [
        image.get_property("naturalWidth") for image in browser.find_elements("css selector", ".picture img")
    ]
    assert widths == [80, 80, 53], "one image, then two"


def test_each_run_has_an_address_and_what_is_unknown_is_said(browser, page: Path) -> None:
    go(browser, page, "#base/0")
    assert texts(browser, "#run h1") == ["Base model: Out-Score 0.200"]
    browser.get(page.as_uri() + "#nope/%zz")
    assert texts(browser, "#unknown") == ["No run nope/%zz here; these are all."]
    assert texts(browser, "#list tbody a") == ["Mine & <b>, of a rather long name", "Base model"]
    browser.find_element("link text", "Base model").click()
    wait(browser)
    assert texts(browser, "#run h1") == ["Base model: Out-Score 0.200"]


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_overflows(browser, page: Path, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    for anchor in ("", "#all/42"):
        browser.get(page.as_uri() + anchor)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
