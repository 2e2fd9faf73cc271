"""A judge behind an OpenAI-compatible endpoint on this machine: asked once, its replies kept, its errors reported."""

import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modomodo.config.loading import parse
from modomodo.config.schema import Judge
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.predictions import Prediction
from modomodo.evaluation.scores import score_benchmark
from modomodo.evaluation.settings import ScoreSettings
from modomodo.metrics.judge import ATTEMPTS, read_replies, replies
from modomodo.metrics.mathvista import judge_prompt
from modomodo.metrics.metric import metrics
from modomodo.study.checks import study_from


class Endpoint(ThreadingHTTPServer):
    """Replies to every prompt with its last word but `Answer:`, after `failures` errors; notes what it got."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict] = []
        self.failures: list[tuple[int, str]] = []
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.address = f"http://127.0.0.1:{self.server_port}/v1"

    def prompts(self):
        return [body["messages"][0]["content"] for body in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body["path"], body["authorization"] = self.path, self.headers.get("Authorization")
        self.server.asked.append(body)
        if self.server.failures:
            status, said = self.server.failures.pop(0)
            data = json.dumps({"error": {"message": said}}).encode()
        else:
            status, content = 200, f"reply to {body['messages'][0]['content']}"
            data = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        data = self.server.body or data
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("JUDGE_KEY", "secret")
    server = Endpoint()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def judge_at(server: Endpoint, **changes) -> Judge:
    return Judge(**{"model": "some-model", "endpoint": server.address, "key": "JUDGE_KEY"} | changes)


def test_prompts_are_asked_once_and_their_replies_kept(endpoint, tmp_path):
    kept, judge = tmp_path / "deep/x.judge.jsonl", judge_at(endpoint)
    assert replies(["b", "a", "b"], judge, kept) == {"a": "reply to a", "b": "reply to b"}
    assert sorted(endpoint.prompts()) == ["a", "b"]
    assert {(body["path"], body["authorization"], body["model"]) for body in endpoint.asked} == {
        ("/v1/chat/completions", "Bearer secret", "some-model")
    }
    assert all((body["temperature"], body["max_tokens"]) == (0, 256) for body in endpoint.asked)
    first = kept.read_bytes()
    assert replies(["c", "a"], judge, kept) == {"a": "reply to a", "c": "reply to c"}
    assert endpoint.prompts()[2:] == ["c"]
    assert first != kept.read_bytes()
    assert replies(["a", "b"], judge, kept) == {"a": "reply to a", "b": "reply to b"}
    assert len(endpoint.asked) == 3


def test_kept_replies_need_neither_key_nor_network(endpoint, tmp_path, monkeypatch):
    replies(["a"], judge_at(endpoint), tmp_path / "x.jsonl")
    monkeypatch.delenv("JUDGE_KEY")
    elsewhere = judge_at(endpoint, endpoint="http://127.0.0.1:9/v1", parallel=3, timeout=1)
    assert replies(["a"], elsewhere, tmp_path / "x.jsonl") == {"a": "reply to a"}


@pytest.mark.parametrize("changes", [{"model": "another"}, {"request": {"temperature": 1}}])
def test_another_judge_is_asked_again(endpoint, tmp_path, changes):
    replies(["a"], judge_at(endpoint), tmp_path / "x.jsonl")
    replies(["a"], judge_at(endpoint, **changes), tmp_path / "x.jsonl")
    assert endpoint.prompts() == ["a", "a"]


def test_the_file_of_replies_does_not_depend_on_who_was_fastest(endpoint, tmp_path):
    prompts = [str(number) for number in range(40)]
    replies(prompts, judge_at(endpoint, parallel=8), tmp_path / "x.jsonl")
    replies(prompts[::-1], judge_at(endpoint, parallel=1), tmp_path / "y.jsonl")
    assert (tmp_path / "x.jsonl").read_bytes() == (tmp_path / "y.jsonl").read_bytes()


def test_what_was_answered_before_an_interruption_is_kept(endpoint, tmp_path):
    kept = tmp_path / "x.jsonl"
    replies(["a", "b"], judge_at(endpoint), kept)
    lines = kept.read_text().splitlines()
    kept.write_text(lines[0] + "\n" + lines[1][:20])  # killed while it wrote the second
    assert len(read_replies(kept)) == 1
    assert replies(["a", "b"], judge_at(endpoint), kept) == {"a": "reply to a", "b": "reply to b"}
    assert len(endpoint.asked) == 3
    assert kept.read_text().splitlines() == lines


def test_a_refusal_in_the_middle_loses_nothing_that_was_answered(endpoint, tmp_path):
    judge = judge_at(endpoint, parallel=1)
    replies(["a"], judge, tmp_path / "x.jsonl")
    endpoint.failures = [(400, "no")]
    with pytest.raises(InputError):
        replies(["a", "b"], judge, tmp_path / "x.jsonl")
    assert len(read_replies(tmp_path / "x.jsonl")) == 1


@pytest.fixture
def impatient(monkeypatch):
    """The client's pauses take no time."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)


@pytest.mark.usefixtures("impatient")
def test_a_busy_endpoint_is_asked_again(endpoint, tmp_path):
    endpoint.failures = [(429, "slowly"), (503, "later")]
    assert replies(["a"], judge_at(endpoint), tmp_path / "x") == {"a": "reply to a"}
    assert len(endpoint.asked) == 3


@pytest.mark.usefixtures("impatient")
def test_the_endpoint_says_how_long_to_wait(endpoint, tmp_path):
    endpoint.failures, endpoint.headers = [(429, "slowly")], {"Retry-After": "1"}
    started = time.monotonic()
    assert replies(["a"], judge_at(endpoint), tmp_path / "x") == {"a": "reply to a"}
    assert time.monotonic() - started >= 1


@pytest.mark.usefixtures("impatient")
def test_an_endpoint_that_is_slower_than_the_timeout_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        judge = Judge(model="m", endpoint=address, key=None, timeout=0.05)
        with pytest.raises(InputError, match=rf"did not answer in {ATTEMPTS} tries \(timed out\)"):
            replies(["a"], judge, tmp_path / "x")


def test_scores_without_a_judge_import_no_client():
    code = "import sys, modomodo.metrics.judge; assert 'openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ((401, ""), r"refuses the key: set JUDGE_KEY to a valid one"),
        ((404, ""), r"has no such model or path: correct judge\.model or judge\.endpoint"),
        ((400, "temperature\nmust be 1"), r"\(400: temperature must be 1\): correct judge\.request"),
    ],
)
def test_refusals_say_what_to_do(endpoint, tmp_path, failure, message):
    endpoint.failures = [failure]
    with pytest.raises(InputError, match=message):
        replies(["a"], judge_at(endpoint), tmp_path / "x")
    assert len(endpoint.asked) == 1


@pytest.mark.usefixtures("impatient")
def test_an_endpoint_that_stays_broken_is_reported(endpoint, tmp_path):
    endpoint.failures = [(500, "no")] * ATTEMPTS
    with pytest.raises(
        InputError, match=rf"did not answer in {ATTEMPTS} tries \(HTTP 500 .*name a metric that asks no"
    ):
        replies(["a"], judge_at(endpoint), tmp_path / "x")
    assert len(endpoint.asked) == ATTEMPTS
    nobody = judge_at(endpoint, endpoint="http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9/v1 did not answer in \d+ tries \(.*refused"):
        replies(["a"], nobody, tmp_path / "x")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"choices": []}', b'{"choices": [{"text": "x"}]}'])
def test_what_is_no_chat_completion_is_reported(endpoint, tmp_path, body):
    endpoint.body = body
    with pytest.raises(InputError, match=r"answered no chat completion .*correct judge\.endpoint"):
        replies(["a"], judge_at(endpoint), tmp_path / "x")


def test_a_missing_key_is_reported_before_anything_is_sent(endpoint, tmp_path, monkeypatch):
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(InputError, match=r"JUDGE_KEY is not set: export the key .*judge\.key: null"):
        replies(["a"], judge_at(endpoint), tmp_path / "x")
    assert endpoint.asked == []
    replies(["a"], judge_at(endpoint, key=None), tmp_path / "x")
    assert endpoint.asked[0]["authorization"] is None


# --- MathVista ----------------------------------------------------------------------------------------------


def question(**changes) -> Example:
    fields = {"id": "1", "dataset": "MathVista", "image": "a.png", "question": "How many?", "answer": "14"}
    return Example(**{**fields, "answer_type": "number", "meta": {"answer_type": "integer"}, **changes})


CHOICE = question(id="2", answer="B", answer_type="choice", choices=["red", "dark red"], meta={})


def test_only_texts_that_are_no_answers_yet_are_asked_about():
    """As officially: an option's very text, a bare number and an empty text need no model."""
    assert judge_prompt("14", question()) is None
    assert judge_prompt(" \n", question()) is None
    assert judge_prompt("dark red", CHOICE) is None
    assert judge_prompt("(B)", CHOICE) is not None
    asked = judge_prompt("fourteen {of} them", question())
    assert asked is not None
    assert "How many?" in asked and "fourteen {of} them" in asked and "integer" in asked
    tenths = judge_prompt("about 2 m", question(meta={"answer_type": "float", "precision": 1}))
    assert tenths is not None and "1 decimals" in tenths and "2.8" in tenths


@pytest.mark.parametrize(
    ("example", "reply", "value", "parsed"),
    [
        (question(), "14", 1, True),
        (question(), "14.0", 1, True),  # officially an integer is cut off
        (question(), "15", 0, True),
        (question(), "None.", 0, False),
        (question(), "", 0, False),
        (CHOICE, "(B)", 1, True),
        (CHOICE, "(A)", 0, True),
        (CHOICE, "N/A", 0, False),  # the option nearest to ""
    ],
)
def test_the_reply_is_normalised_and_compared(example, reply, value, parsed):
    assert metrics["mathvista_judged"]("a long text", None, example, reply) == (value, parsed)


def test_without_a_reply_nothing_is_guessed():
    with pytest.raises(InputError, match="asks a judge, which is done for the study's scores only"):
        metrics["mathvista_judged"]("a long text", None, question())
    assert metrics["mathvista_judged"]("14", None, question()) == (1.0, True)  # nobody is asked


def test_a_benchmark_scored_with_a_judge(endpoint, tmp_path):
    examples = [question(), question(id="3"), CHOICE]
    predictions = {
        id_: Prediction(id=id_, completion=text, answer=None, finish_reason="stop", tokens=3)
        for id_, text in {"1": "14", "3": "I count 15", "2": "(B)"}.items()
    }
    endpoint.body = json.dumps({"choices": [{"message": {"content": "(B)"}}]}).encode()
    metric = metrics["mathvista_judged"]
    judge = judge_at(endpoint)
    found, _ = score_benchmark(
        examples, predictions, metric, "p.jsonl", lambda prompts: replies(prompts, judge, tmp_path / "x")
    )
    assert (found.n, found.score) == (3, pytest.approx(2 / 3))
    assert len(endpoint.asked) == 2  # "14" needs nobody
    with pytest.raises(InputError, match="asks a judge: name its model under judge.model"):
        score_benchmark(examples, predictions, metric, "p.jsonl")


# --- the study ----------------------------------------------------------------------------------------------


def test_a_metric_that_asks_needs_a_judge_and_no_other_does(study_data):
    without = ScoreSettings.of(study_from(study_data, "s")).text()
    study_data["judge"] = {"model": "m"}
    assert ScoreSettings.of(study_from(study_data, "s")).text() == without
    study_data["benchmarks"]["chart"]["metric"] = "mathvista_judged"
    asked = ScoreSettings.of(study_from(study_data, "s"))
    assert asked.judge is not None and asked.judge.model == "m"
    del study_data["judge"]
    with pytest.raises(InputError, match=r"benchmarks\.chart\.metric: 'mathvista_judged' asks a judge"):
        study_from(study_data, "s")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "judge: model: missing"),
        ({"model": "m", "endpoint": "api.openai.com"}, "expected an address"),
        ({"model": "m", "endpoint": "file:///etc"}, "expected an address"),
        ({"model": "m", "request": {"messages": []}}, "'messages' is not free to choose"),
        ({"model": "m", "modle": 1}, "unknown key: did you mean 'model'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        parse(settings, Judge, "judge")


def test_the_key_stands_in_no_file(endpoint, tmp_path):
    replies(["a"], judge_at(endpoint), tmp_path / "x.jsonl")
    assert all("secret" not in path.read_text() for path in Path(tmp_path).rglob("*") if path.is_file())
