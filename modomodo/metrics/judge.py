"""Prompts → the replies of a judging model behind an OpenAI-compatible endpoint, each asked for once and kept.

The same prompt may get another reply tomorrow, so scores are only reproducible because replies are kept: a prompt that
was answered is never sent again, and needs neither key nor network. A file of replies has one line a prompt,
`{"key", "reply"}`; the key is a digest of the prompt, the model and the request's other fields (not of the endpoint:
the same model may move).
"""

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from modomodo.config.schema import Judge
from modomodo.console import imports, progress
from modomodo.errors import InputError
from modomodo.files import digest, write_jsonl

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI, RequestOptions

# Tries of a request. The client waits 0.5 to 8 seconds between them, half a minute in all, or what Retry-After asks.
ATTEMPTS = 8
_REFUSALS = {
    401: "refuses the key: set {key} to a valid one",
    403: "refuses the key: set {key} to a valid one",
    404: "has no such model or path: correct judge.model or judge.endpoint",
}
_RETRIED = (408, 409, 429)  # and all from 500 on


def replies(prompts: Iterable[str], judge: Judge, kept: Path, label: str = "judge") -> dict[str, str]:
    """A reply to each prompt, from the file `kept` or else from the judge, whose replies are added to it.

    What was answered before an interruption is kept. Raises InputError, in one line, when the key is missing,
    the endpoint cannot be reached, refuses, or answers something else than a chat completion.
    """
    asked = Replies(judge, kept, label)
    found = asked(prompts)
    if asked.grown:
        write_jsonl(kept, ({"key": key, "reply": asked.known[key]} for key in sorted(asked.known)))
    return found


class Replies:
    """The replies of a judge that is asked again and again, as in a training: prompts → replies.

    Those in the file are read once, and new ones added to it. `label`: what progress is shown of, "" for none.
    """

    def __init__(self, judge: Judge, kept: Path, label: str = "") -> None:
        self.judge, self.kept, self.label = judge, kept, label
        self.known = read_replies(kept)
        self.grown = False

    def __call__(self, prompts: Iterable[str]) -> dict[str, str]:
        """Raises InputError as `replies` does."""
        keys = {prompt: reply_key(prompt, self.judge) for prompt in prompts}
        missing = {key: prompt for prompt, key in keys.items() if key not in self.known}
        if missing:
            self._ask(dict(sorted(missing.items())))
        return {prompt: self.known[key] for prompt, key in keys.items()}

    def _ask(self, missing: dict[str, str]) -> None:
        client = _client(self.judge)
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.grown = True
        with ThreadPoolExecutor(self.judge.parallel) as pool, self.kept.open("a", encoding="utf-8") as file:
            asked = {pool.submit(_ask, prompt, self.judge, client): key for key, prompt in missing.items()}
            answers = as_completed(asked)
            try:
                for answered in progress(answers, self.label, len(asked)) if self.label else answers:
                    self.known[asked[answered]] = reply = answered.result()
                    file.write(json.dumps({"key": asked[answered], "reply": reply}) + "\n")
                    file.flush()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def reply_key(prompt: str, judge: Judge) -> str:
    """Names a reply: a digest of all that it depends on."""
    return digest([judge.model, judge.request, prompt])


def read_replies(kept: Path) -> dict[str, str]:
    """Replies by key; a line that was cut off by an interruption is left out."""
    if not kept.is_file():
        return {}
    known = {}
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            known[str(row["key"])] = str(row["reply"])
        except (ValueError, KeyError, TypeError):
            continue
    return known


def _client(judge: Judge) -> "OpenAI":
    """A client of the endpoint. Raises InputError when the environment lacks the key that it wants."""
    key = "" if judge.key is None else os.environ.get(judge.key, "").strip()
    if judge.key is not None and not key:
        raise InputError(
            f"judge: {judge.key} is not set: export the key of {judge.endpoint}, or set judge.key: null "
            "for an endpoint that wants none"
        )
    with imports():  # here: most studies ask no judge
        from openai import OpenAI
    return OpenAI(
        base_url=judge.endpoint,
        api_key=key or "none",  # of which nothing is sent where judge.key is null
        timeout=judge.timeout,
        max_retries=ATTEMPTS - 1,
    )


def _ask(prompt: str, judge: Judge, client: "OpenAI") -> str:
    """The reply to one prompt; the client asks again while the endpoint is busy or cannot be reached."""
    from httpx2 import Response
    from openai import APIConnectionError, APIStatusError, Omit

    options: RequestOptions = {} if judge.key else {"headers": {"Authorization": Omit()}}
    body = {"model": judge.model, "messages": [{"role": "user", "content": prompt}], **judge.request}
    try:
        # The response as it is: the client's own models let through what is no chat completion.
        return _text(
            client.post("/chat/completions", cast_to=Response, body=body, options=options).content, judge
        )
    except APIStatusError as error:
        if error.status_code not in _RETRIED and error.status_code < 500:
            raise InputError(f"judge: {judge.endpoint} {_refusal(error, judge)}") from None
        reason = f"HTTP {error.status_code} {error.response.reason_phrase}"
    except APIConnectionError as error:  # a time-out is one
        reason = str(error.__cause__ or error) or type(error).__name__
    raise InputError(
        f"judge: {judge.endpoint} did not answer in {ATTEMPTS} tries ({reason}): check the network and "
        "judge.endpoint, or name a metric that asks no judge; what was answered is kept"
    )


def _text(data: bytes, judge: Judge) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
        if content is None:  # what some servers send for an empty reply
            return ""
        if isinstance(content, str):
            return content
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise InputError(
        f"judge: {judge.endpoint} answered no chat completion ({data[:80].decode(errors='replace')!r}): "
        "correct judge.endpoint"
    )


def _refusal(error: "APIStatusError", judge: Judge) -> str:
    if error.status_code in _REFUSALS:
        return f"({error.status_code}) " + _REFUSALS[error.status_code].format(key=judge.key or "judge.key")
    # The client hands over what an OpenAI endpoint puts under "error", or else the whole body.
    message = error.body.get("message") if isinstance(error.body, dict) else None
    text = " ".join(str(message or error.response.reason_phrase).split())
    return f"refuses the request ({error.status_code}: {text[:200]}): correct judge.request"
