"""Prompts → the replies of a judging model behind an OpenAI-compatible endpoint, each asked for once and kept.

A judge's words may change from day to day, so scores stay what they were only because its replies are kept:
a prompt that was answered is never sent again, and needs neither key nor network. A file of replies has one
line a prompt, `{"key", "reply"}`; the key is a digest of the prompt, the model and the request's other fields
(not of the endpoint: the same model may move).
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPException
from pathlib import Path
from typing import Any

from modomodo.config.schema import Judge
from modomodo.console import progress
from modomodo.errors import InputError
from modomodo.files import digest, write_jsonl

ATTEMPTS, FIRST_PAUSE = 5, 2.0  # tries of a request, seconds before the second one; each pause doubles
_LONGEST_PAUSE = 60.0  # that a server may ask for
_CLIENT_ERRORS = {
    401: "refuses the key: set {key} to a valid one",
    403: "refuses the key: set {key} to a valid one",
    404: "has no such model or path: correct judge.model or judge.endpoint",
}


def replies(
    prompts: Iterable[str], judge: Judge, kept: Path, label: str = "judge", pause: float = FIRST_PAUSE
) -> dict[str, str]:
    """A reply to each prompt, from the file `kept` or else from the judge, whose replies are added to it.

    What was answered before an interruption is kept. Raises InputError, in one line, when the key is missing,
    the endpoint cannot be reached, refuses, or answers something else than a chat completion.
    """
    keys = {prompt: key_of(prompt, judge) for prompt in prompts}
    known = read_replies(kept)
    missing = sorted((prompt for prompt, key in keys.items() if key not in known), key=keys.__getitem__)
    if missing:
        headers = _headers(judge)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(judge.parallel) as pool, kept.open("a", encoding="utf-8") as file:
            asked = {pool.submit(_ask, prompt, judge, headers, pause): keys[prompt] for prompt in missing}
            try:
                for answered in progress(as_completed(asked), label, len(asked)):
                    known[asked[answered]] = reply = answered.result()
                    file.write(json.dumps({"key": asked[answered], "reply": reply}) + "\n")
                    file.flush()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        write_jsonl(kept, ({"key": key, "reply": known[key]} for key in sorted(known)))
    return {prompt: known[key] for prompt, key in keys.items()}


def key_of(prompt: str, judge: Judge) -> str:
    """What names a reply: all that decides it."""
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


def _headers(judge: Judge) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if judge.key is not None:
        key = os.environ.get(judge.key, "").strip()
        if not key:
            raise InputError(
                f"judge: {judge.key} is not set: export the key of {judge.endpoint}, or set judge.key: null "
                "for an endpoint that wants none"
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _ask(prompt: str, judge: Judge, headers: Mapping[str, str], pause: float) -> str:
    """The reply to one prompt, tried again while the endpoint is busy or cannot be reached."""
    body = {"model": judge.model, "messages": [{"role": "user", "content": prompt}], **judge.request}
    request = urllib.request.Request(
        f"{judge.endpoint.rstrip('/')}/chat/completions", json.dumps(body).encode(), dict(headers)
    )
    for attempt in range(1, ATTEMPTS + 1):
        wait = pause * 2 ** (attempt - 1)
        try:
            with urllib.request.urlopen(request, timeout=judge.timeout) as response:
                return _text(response.read(), judge)
        except urllib.error.HTTPError as error:
            if error.code != 429 and error.code < 500:
                raise InputError(f"judge: {judge.endpoint} {_refusal(error, judge)}") from None
            reason = f"HTTP {error.code} {error.reason}"
            wait = min(max(wait, _seconds(error.headers.get("Retry-After"))), max(wait, _LONGEST_PAUSE))
        except (
            OSError,
            HTTPException,
        ) as error:  # URLError, a time-out and a broken connection are among them
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if attempt < ATTEMPTS:
            time.sleep(wait)
    raise InputError(
        f"judge: {judge.endpoint} did not answer in {ATTEMPTS} tries ({reason}): check the network and "
        "judge.endpoint, or name a metric that asks no judge; what was answered is kept"
    )


def _text(data: bytes, judge: Judge) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
        if content is None:  # what some servers give for no words
            return ""
        if isinstance(content, str):
            return content
    except (ValueError, KeyError, IndexError, TypeError):
        pass
    raise InputError(
        f"judge: {judge.endpoint} answered no chat completion ({data[:80].decode(errors='replace')!r}): "
        "correct judge.endpoint"
    )


def _refusal(error: urllib.error.HTTPError, judge: Judge) -> str:
    if error.code in _CLIENT_ERRORS:
        return f"({error.code}) " + _CLIENT_ERRORS[error.code].format(key=judge.key or "judge.key")
    try:
        said: Any = json.loads(error.read())["error"]["message"]
    except (ValueError, KeyError, TypeError, OSError):
        said = error.reason
    return f"refuses the request ({error.code}: {' '.join(str(said).split())[:200]}): correct judge.request"


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # a date
        return 0.0
