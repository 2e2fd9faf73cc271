"""Killed at random moments and started again, whatever was lost ends as if nothing had happened.

make test-kill                                     30 kills of a run of config/tiny.yaml, and of a download
make test-kill KILLS=4 KILLED=config/test.yaml     as CI does
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from running import MINUTES, ROOT, clean_copy, command, digests, kill_session, snakemake, succeed

KILLS = int(os.environ.get("KILLS", "30"))
CONFIG = os.environ.get("KILLED", "config/tiny.yaml")
RANDOM = random.Random(int(os.environ.get("SEED", "6")))


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A copy in which one run was trained and has predicted, undisturbed; the run, the target that makes both."""
    study = yaml.safe_load((ROOT / CONFIG).read_text(encoding="utf-8"))
    results = f"results/{study['name']}"
    run = f"single-{next(iter(study['domains']))}/{study.get('training', {}).get('seed', 42)}"
    folder = clean_copy(tmp_path_factory.mktemp("undisturbed"))
    target = f"{results}/predictions/{run}/predictions.json"
    succeed(snakemake(folder, target, "--configfile", CONFIG, timeout=60 * MINUTES))
    return folder, run, target


def phase(folder: Path, results: Path, run: str) -> str:
    """What a kill has hit."""
    trained = folder / results / "runs" / run
    if (trained / "finished.json").exists():
        return (
            "prediction"
            if list((folder / results / "predictions" / run).rglob("*.jsonl"))
            else "after training"
        )
    return "training" if (trained / "trainer").exists() else "before the first step"


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(
    one_run: tuple[Path, str, str], tmp_path: Path
) -> None:
    undisturbed, run, target = one_run
    results = Path(target).parents[3]
    parts = [results / part / run for part in ("runs", "predictions")]
    expected = digests(undisturbed)
    folder = tmp_path / "killed"
    shutil.copytree(undisturbed, folder, symlinks=True)
    arguments = (target, "--configfile", CONFIG)

    def wipe() -> None:
        for part in parts:
            shutil.rmtree(folder / part)

    wipe()
    started = time.monotonic()
    succeed(snakemake(folder, *arguments, timeout=60 * MINUTES))
    length = time.monotonic() - started
    assert digests(folder) == expected, "not even undisturbed"
    wipe()
    hit: Counter[str] = Counter()
    while hit.total() < KILLS:
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(RANDOM.uniform(0, length))
        except subprocess.TimeoutExpired:
            hit[phase(folder, results, run)] += 1
            kill_session(process)
            succeed(snakemake(folder, *arguments, "--unlock"))
            continue
        assert process.returncode == 0, "a start after kills failed"
        assert digests(folder) == expected, dict(hit)
        wipe()
    succeed(snakemake(folder, *arguments, timeout=60 * MINUTES))
    assert digests(folder) == expected, dict(hit)
    print(f"{hit.total()} kills: " + ", ".join(f"{count} {what}" for what, count in hit.most_common()))


# --- a download -------------------------------------------------------------------------------------------------

COMMIT = "c" * 40
FILES = {f"data/train-{number}.parquet": random.Random(number).randbytes(400_000) for number in range(4)}
CHUNK, PAUSE = 20_000, 0.02  # a file takes 0.4 s


class Slow(BaseHTTPRequestHandler):
    """The part of the hub's interface that its client uses, at a pace at which it can be killed in the middle."""

    sent = 0  # bytes of files, in all

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with suppress(ConnectionError):  # the other side was killed
            for start in range(0, len(body), CHUNK):
                self.wfile.write(body[start : start + CHUNK])
                Slow.sent += CHUNK
                time.sleep(PAUSE)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "/tree/" in path:
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "oid": "0" * 40,
                    "size": len(data),
                    "lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 9},
                }
                for name, data in FILES.items()
            ]
            self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
            return
        if path.startswith("/api/datasets/"):
            files = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 9},
                }
                for name, data in FILES.items()
            ]
            body = json.dumps({"id": "x/y", "sha": COMMIT, "siblings": files}).encode()
            self.answer(200, body, Content_Type="application/json")
            return
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in FILES:
            self.answer(404, b"", X_Error_Code="EntryNotFound")
            return
        data = FILES[name]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X_Repo_Commit": COMMIT}
        asked = self.headers.get("Range")
        if asked:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], **headers)
            return
        self.answer(200, data, **headers)


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_download_killed_at_random_moments_ends_with_the_same_bytes(endpoint: str, tmp_path: Path) -> None:
    settings = {
        "loader": "chartqa",
        "split": "test",
        "source": {"revision": COMMIT, "repo": "good/set", "files": ["data/*"]},
    }
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def download(folder: Path) -> subprocess.Popen:
        arguments = [
            "--settings",
            json.dumps(settings),
            "--name",
            "ChartQA",
            "--output",
            folder / "manifest.json",
        ]
        return subprocess.Popen(
            [sys.executable, ROOT / "scripts/download.py", *arguments],
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(folder: Path) -> None:
        process = download(folder)
        said, _ = process.communicate(timeout=5 * MINUTES)
        assert process.returncode == 0, said

    def published(folder: Path) -> dict[str, bytes]:
        """What the pipeline reads of it: the files, and the manifest that names them."""
        names = json.loads((folder / "manifest.json").read_text())["files"]
        return {name: (folder / name).read_bytes() for name in [*names, "manifest.json"]}

    finish(tmp_path / "undisturbed")
    whole = Slow.sent
    expected = published(tmp_path / "undisturbed")
    assert {name: expected[name] for name in FILES} == FILES
    kills, partly = 0, 0
    while kills < KILLS:
        end = Slow.sent + RANDOM.uniform(0, whole)  # at the latest just before it would be done
        process = download(tmp_path / "killed")
        while Slow.sent < end and process.poll() is None:
            time.sleep(0.005)
        if process.poll() is None:
            kill_session(process)
            kills += 1
            partly += bool(list((tmp_path / "killed").rglob("*.incomplete")))
            continue
        assert process.returncode == 0
        assert published(tmp_path / "killed") == expected
        shutil.rmtree(tmp_path / "killed")
    finish(tmp_path / "killed")
    assert published(tmp_path / "killed") == expected
    print(f"{kills} kills of a download, {partly} with a file half there")
