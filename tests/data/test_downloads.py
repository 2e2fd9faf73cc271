"""Raw files: from a hub (a small one of our own, over HTTP), from a folder, and everything that can be in
the way.
"""

import errno
import functools
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from huggingface_hub import errors

from modomodo.config.schema import Source
from modomodo.data import hub as hub_client
from modomodo.data.downloads import chosen_files, obtain
from modomodo.data.hub import _hub_errors, fetch, listing_of
from modomodo.data.raw_folder import MANIFEST, check_raw, folder_of
from modomodo.data.readers.published import Published, catalogue
from modomodo.errors import InputError
from modomodo.files import write_json

ROOT = Path(__file__).parents[2]
COMMIT, OTHER = "a" * 40, "b" * 40
FILES = {"data/train-0.parquet": b"first", "data/train-1.parquet": b"second one", "README.md": b"read"}
ABOUT = Published(
    repo="old/name", formerly=["new/name"], files={"train": ["data/train-*.parquet"]}, licence="mit"
)
BY_HAND = Published(
    files={"train": ["train/*.json"]}, licence="none", by_hand="get it and put it into {folder}/x"
)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class FakeHub:
    """In place of the hub's client: a hub in memory that fails as it is asked to."""

    def __init__(self, names=("old/name",), fails=0, commit=COMMIT, damage=False, sizes=None, fetched=99):
        self.names, self.fails, self.commit, self.damage = names, fails, commit, damage
        self.sizes = sizes or {}
        self.fetched = fetched  # files that come before it fails
        self.calls: Counter[str] = Counter()

    def dataset_info(self, api, repo, revision, files_metadata):
        self.calls["listing"] += 1
        self.asked = revision
        if repo not in self.names:
            missing = httpx2.Response(404, request=httpx2.Request("GET", f"https://hub/{repo}"))
            raise errors.RepositoryNotFoundError("404", response=missing)
        commit = revision if len(revision) == 40 else self.commit
        files = [
            SimpleNamespace(
                rfilename=name, size=self.sizes.get(name, len(data)), lfs=SimpleNamespace(sha256=sha(data))
            )
            for name, data in FILES.items()
        ]
        return SimpleNamespace(sha=commit, siblings=files)

    def snapshot_download(self, repo, *, repo_type, revision, local_dir, allow_patterns, tqdm_class):
        self.calls["snapshot"] += 1
        assert repo_type == "dataset" and len(revision) == 40
        wanted = [name for name in FILES if any(fnmatchcase(name, pattern) for pattern in allow_patterns)]
        for name in wanted[: self.fetched if self.fails else None]:
            path = Path(local_dir) / name
            if not path.is_file():
                self.calls["fetch"] += 1
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"damaged" if self.damage else FILES[name])
        if self.fails:
            self.fails -= 1
            raise httpx2.ConnectError("connection lost")


@pytest.fixture
def get(monkeypatch, capsys):
    """Obtains with a fake hub, without waiting. Returns the manifest and the lines that were printed."""
    for function in (fetch, listing_of):
        monkeypatch.setattr(function.retry, "sleep", lambda seconds: None)

    def run(folder: Path, hub=None, about=ABOUT, revision="main", raw_from=None, **source):
        fake = hub or FakeHub()
        monkeypatch.setattr(
            hub_client.HfApi, "dataset_info", functools.partialmethod(call, fake.dataset_info)
        )
        monkeypatch.setattr(hub_client, "snapshot_download", fake.snapshot_download)
        given = Source(revision=revision, **source) if revision else None
        manifest = obtain("x", about, "train", folder=folder, source=given, raw_from=raw_from)
        return manifest, capsys.readouterr().out.splitlines()

    return run


def call(api, function, *arguments, **options):
    return function(api, *arguments, **options)


def test_download_with_a_manifest_of_checksums(tmp_path, get):
    folder = folder_of("x", "train", COMMIT, tmp_path)
    manifest, _ = get(folder, revision=COMMIT)
    assert manifest["commit"] == COMMIT and manifest["repo"] == "old/name"
    assert manifest["files"] == {
        name: {"size": len(FILES[name]), "sha256": sha(FILES[name])} for name in list(FILES)[:2]
    }
    assert not (folder / "README.md").exists()  # not among the files needed
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_a_client_that_returns_without_the_files_is_asked_again(tmp_path, get, monkeypatch):
    """As the hub's own does where the hub does not answer and the folder holds something."""
    hub = FakeHub()
    hub.snapshot_download = lambda repo, **options: hub.calls.update(["snapshot"])
    with pytest.raises(
        InputError, match=r"train-0.parquet did not arrive: the hub was not reached in 5 tries"
    ):
        get(tmp_path / "x-train/main", hub)
    assert hub.calls["snapshot"] == 5


def test_what_is_there_is_not_asked_for_again(tmp_path, get):
    folder = tmp_path / "x-train" / COMMIT
    first, _ = get(folder, revision=COMMIT)
    hub = FakeHub()
    again, _ = get(folder, hub, revision=COMMIT)
    assert again == first and not hub.calls
    (folder / "data/train-1.parquet").write_bytes(b"changed!!!")
    repaired, _ = get(folder, hub, revision=COMMIT)
    assert repaired == first and hub.calls["fetch"] == 1  # the other one is complete


def test_a_branch_is_resolved_once(tmp_path, get):
    folder = tmp_path / "x-train" / "main"
    manifest, lines = get(folder)
    assert manifest["commit"] == COMMIT
    assert json.loads((tmp_path / "x-train/resolved.json").read_text()) == {"main": COMMIT}
    assert any("warning" in line and COMMIT in line for line in lines)
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    moved_on = FakeHub(commit=OTHER)
    manifest, lines = get(folder, moved_on)
    assert manifest["commit"] == COMMIT and moved_on.asked == COMMIT
    assert any("warning" in line for line in lines)


def test_a_moved_repository_is_found_under_its_other_name(tmp_path, get):
    manifest, lines = get(tmp_path / "x-train/main", FakeHub(names=("new/name",)))
    assert manifest["repo"] == "new/name" and any("old/name: not on the hub" in line for line in lines)
    with pytest.raises(
        InputError, match="old/name and new/name: not on the hub, or private.*source.repo.*HF_TOKEN"
    ):
        get(tmp_path / "y-train/main", FakeHub(names=()))
    with pytest.raises(InputError, match="my/own: not on the hub"):
        get(tmp_path / "z-train/main", FakeHub(), repo="my/own")


def test_retries_then_one_line(tmp_path, get):
    hub = FakeHub(fails=3, fetched=1)
    _, lines = get(tmp_path / "x-train/main", hub)
    assert hub.calls["snapshot"] == 1 + 3
    assert hub.calls["fetch"] == 2  # what has come is not fetched again
    waits = [line for line in lines if "connection lost: try" in line]
    assert [line.rpartition(" in ")[2] for line in waits] == ["2 s", "4 s", "8 s"]
    with pytest.raises(InputError, match="connection lost: the hub was not reached in 5 tries.*raw_from"):
        get(tmp_path / "y-train/main", FakeHub(fails=99))


def test_damage_and_wrong_sums(tmp_path, get):
    with pytest.raises(InputError, match="damaged on the way"):
        get(tmp_path / "x-train/main", FakeHub(damage=True))
    assert not list((tmp_path / "x-train/main").rglob("*.parquet"))
    with pytest.raises(InputError, match="SHA-256 .* expected.*source.sha256"):
        get(tmp_path / "y-train/main", sha256={"data/train-0.parquet": "0" * 64})
    with pytest.raises(InputError, match="source.sha256: nothing: no such file"):
        get(tmp_path / "y-train/main", sha256={"nothing": "0" * 64})


def test_a_disk_too_small_is_reported_before_the_download(tmp_path, get):
    hub = FakeHub(sizes={"data/train-0.parquet": 10**18})
    with pytest.raises(InputError, match="disk full: 1000000.0 TB are needed"):
        get(tmp_path / "x-train/main", hub)
    assert not hub.calls["snapshot"]


def test_files_that_do_not_fit():
    with pytest.raises(InputError, match="no file test-.*source.files"):
        chosen_files(FILES, ["test-*"], "r")
    with pytest.raises(InputError, match="leads out of its folder"):
        chosen_files({"../x.parquet": None}, ["*.parquet"], "r")


def raw_folder(place: Path) -> Path:
    for name, data in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


@pytest.mark.parametrize("name", ["x", "old/name", "new/name"])
def test_a_folder_fetched_beforehand_is_checked_and_linked(tmp_path, get, name):
    raw_folder(tmp_path / "raw" / name)
    hub = FakeHub()
    folder = tmp_path / "res/x-train/main"
    manifest, _ = get(folder, hub, raw_from=tmp_path / "raw")
    assert not hub.calls and list(manifest["files"]) == list(FILES)[:2]
    assert (folder / "data/train-0.parquet").is_symlink()
    assert (folder / "data/train-0.parquet").read_bytes() == b"first"


def test_a_folder_fetched_beforehand_that_is_wrong(tmp_path, get):
    with pytest.raises(InputError, match="no such folder"):
        get(tmp_path / "r", raw_from=tmp_path / "nowhere")
    place = raw_folder(tmp_path / "raw/x")
    (place / "SHA256SUMS").write_text(f"{sha(b'another')}  data/train-1.parquet\n")
    with pytest.raises(InputError, match="SHA-256"):
        get(tmp_path / "r", raw_from=tmp_path / "raw")
    for path in (place / "data").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no file data/train-"):
        get(tmp_path / "r", raw_from=tmp_path / "raw")


def test_what_is_not_in_the_folder_is_downloaded(tmp_path, get):
    (tmp_path / "raw").mkdir()
    manifest, lines = get(tmp_path / "x-train/main", raw_from=tmp_path / "raw")
    assert manifest["commit"] == COMMIT and "holds no x/" in lines[0]


def test_a_dataset_without_a_repository_says_what_to_do(tmp_path, get):
    with pytest.raises(InputError, match=r"by hand: get it and put it into DIR/x; then set data.raw_from"):
        get(tmp_path / "r", about=BY_HAND, revision=None)
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match=rf"put it into {tmp_path}/raw/x$"):
        get(tmp_path / "r", about=BY_HAND, revision=None, raw_from=tmp_path / "raw")
    assert "drive.google.com" in catalogue["lisa"].by_hand
    with pytest.raises(InputError, match="source.revision: missing"):
        get(tmp_path / "r", revision=None)


def test_raw_files_that_changed_since(tmp_path, get):
    folder = tmp_path / "x-train" / COMMIT
    manifest, _ = get(folder, revision=COMMIT)
    write_json(folder / MANIFEST, manifest)
    check_raw(folder)
    (folder / "data/train-0.parquet").write_bytes(b"first, cut")
    with pytest.raises(InputError, match="10 bytes, 5 expected"):
        check_raw(folder)
    (folder / "data/train-0.parquet").unlink()
    with pytest.raises(InputError, match="gone"):
        check_raw(folder)


def test_a_full_disk_while_downloading():
    with pytest.raises(InputError, match="disk full"), _hub_errors("r", "main"):
        raise OSError(errno.ENOSPC, "No space left on device", "/x")


# --- the client of the real hub, against a small hub of our own ---------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """As much of the Hugging Face API as a download needs."""

    def log_message(self, *arguments):
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if "/gated/" in path:
            return self.answer(403, b"{}", X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        if "/lmms-lab/" in path or "/hidden/" in path:
            return self.answer(
                401, b"{}", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found"
            )
        if "/refused/" in path:
            return self.answer(403, b"{}", X_Error_Message="Invalid token")
        if path.endswith("/revision/nowhere"):
            return self.answer(404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        if "/broken/" in path:
            return self.answer(400, b"{}", X_Error_Message="Bad request")
        if "/tree/" in path:
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "oid": "0" * 40,
                    "size": len(data),
                    "lfs": {"oid": sha(data), "size": len(data), "pointerSize": 9},
                }
                for name, data in FILES.items()
            ]
            return self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        if path.startswith("/api/datasets/"):
            files = [
                {
                    "rfilename": name,
                    "size": len(data),
                    "lfs": {"sha256": sha(data), "size": len(data), "pointerSize": 9},
                }
                for name, data in FILES.items()
            ]
            body = json.dumps({"id": "x/y", "sha": COMMIT, "siblings": files}).encode()
            return self.answer(200, body, Content_Type="application/json")
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if name not in FILES:
            return self.answer(404, b"", X_Error_Code="EntryNotFound")
        return self.answer(200, FILES[name], ETag=f'"{sha(FILES[name])}"', X_Repo_Commit=COMMIT)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


CLIENT = """
import json, sys
from pathlib import Path
from modomodo.config.schema import Source
from modomodo.data.downloads import obtain
from modomodo.data.hub import fetch, listing_of
from modomodo.data.readers.published import Published
from modomodo.errors import InputError
fetch.retry.sleep = listing_of.retry.sleep = lambda seconds: None
folder, *cases = json.loads(sys.argv[1])
for repo, revision in cases:
    about = Published(repo=repo, formerly=["moved/ChartQA"], files={"train": ["data/*"]}, licence="")
    try:
        manifest = obtain("x", about, "train", folder=Path(folder) / repo / revision, source=Source(revision=revision))
        print("ok:", manifest["repo"], manifest["commit"], len(manifest["files"]))
    except InputError as error:
        print("error:", error)
"""


def client(folder: Path, endpoint: str, *cases: tuple[str, str], **environment: str) -> list[str]:
    """What a process with the hub's own client says of repositories."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    clean |= {
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps([str(folder), *cases])],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return [line for line in run.stdout.splitlines() if line.startswith(("ok: ", "error: "))]


def test_the_real_client_downloads_and_its_errors_are_one_line(tmp_path, endpoint):
    lines = client(
        tmp_path,
        endpoint,
        ("good/set", "main"),
        ("lmms-lab/ChartQA", COMMIT),
        ("gated/set", "main"),
        ("refused/set", "main"),
        ("good/set", "nowhere"),
        ("broken/set", "main"),
    )
    assert lines[0] == f"ok: good/set {COMMIT} 2"
    assert lines[1] == f"ok: moved/ChartQA {COMMIT} 2"
    assert "is gated: accept its terms" in lines[2] and "HF_TOKEN" in lines[2]
    assert "refuses this token (403)" in lines[3]
    assert "no revision 'nowhere': correct source.revision" in lines[4]
    assert lines[5].startswith("error: broken/set: ")
    assert (tmp_path / "good/set/main/data/train-1.parquet").read_bytes() == b"second one"


def test_no_network_and_offline_mode(tmp_path):
    nobody = "http://127.0.0.1:9"
    (unreachable,) = client(tmp_path, nobody, ("good/set", "main"))
    assert "not reached in 5 tries: check the network" in unreachable
    (offline,) = client(tmp_path, nobody, ("good/set", "main"), HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE is set" in offline
