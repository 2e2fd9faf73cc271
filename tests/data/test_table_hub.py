"""Tables of the hub: which files of a repository are needed, downloaded or linked, and read from there."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from modomodo.config.schema import Dataset, Source
from modomodo.data import downloads
from modomodo.data.downloads import obtain
from modomodo.data.examples import Rejected
from modomodo.data.raw_folder import folder_of
from modomodo.data.readers import datasets
from modomodo.data.readers.published import published_as
from modomodo.data.settings import DownloadSettings, ExamplesSettings
from modomodo.data.table import hub
from modomodo.data.table.files import needed_files
from modomodo.data.table.reading import Options
from modomodo.errors import InputError
from modomodo.study.checks import study_from

COMMIT = "a" * 40
README = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train-*}
  - {split: test, path: main/test-*}
- config_name: socratic
  data_files:
  - {split: train, path: socratic/train-*}
---
"""
FILES = {
    "README.md": README,
    "main/train-0.jsonl": json.dumps({"question": "2 + 2?", "answer": "so\n#### 4"}),
    "main/test-0.jsonl": json.dumps({"question": "2 + 3?", "answer": "so\n#### 5"}),
    "socratic/train-0.jsonl": json.dumps({"question": "Why?", "answer": "#### 1"}),
}
ENTRY = {
    "loader": "table",
    "source": {"repo": "openai/gsm8k", "revision": "main"},
    "options": {"name": "main", "split": "test"},
}


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub with one repository; the names of the files that are fetched from it."""
    fetched: list[str] = []

    def fetch(repo: str, commit: str, paths: list[str], folder: Path) -> None:
        fetched.extend(paths)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(FILES[path])

    listing = {name: {"size": len(text), "sha256": None} for name, text in FILES.items()}
    for module in (downloads, hub):
        monkeypatch.setattr(
            module, "first_listing", lambda names, revision: (names[0], COMMIT, dict(listing))
        )
        monkeypatch.setattr(module, "fetch", fetch)
    return fetched


def obtained(entry: dict[str, Any], folder: Path, raw_from: Path | None = None) -> dict[str, Any]:
    name, about = published_as(Dataset(**entry)) or pytest.fail("not published")
    split = about.split(entry["options"])
    return obtain(name, about, split, folder=folder, source=Source(**entry["source"]), raw_from=raw_from)


def test_the_files_of_one_split_are_downloaded_and_read(repository, tmp_path) -> None:
    manifest = obtained(ENTRY, tmp_path / "x/raw")
    assert list(manifest["files"]) == ["README.md", "main/test-0.jsonl"] and manifest["commit"] == COMMIT
    assert set(repository) == {"README.md", "main/test-0.jsonl"}
    ((fields, images),) = datasets["table"](tmp_path / "x/raw", **ENTRY["options"])
    assert (fields["id"], fields["question"], fields["answer"], images) == ("test-00000", "2 + 3?", "5", [])


def test_without_a_network_they_are_linked(tmp_path) -> None:
    for name, text in FILES.items():
        path = tmp_path / "there/openai/gsm8k" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    manifest = obtained(ENTRY, tmp_path / "x/raw", tmp_path / "there")
    assert list(manifest["files"]) == ["README.md", "main/test-0.jsonl"]
    ((fields, _),) = datasets["table"](tmp_path / "x/raw", **ENTRY["options"])
    assert fields["answer"] == "5"


def test_each_repository_configuration_and_split_has_a_folder_of_its_own() -> None:
    folders = set()
    for repo, options in (
        ("a/b", {}),
        ("a/c", {}),
        ("a/b", {"name": "main"}),
        ("a/b", {"name": "main", "split": "test"}),
    ):
        source = Source(repo=repo, revision="main")
        name, about = published_as(Dataset(loader="table", source=source, options=options)) or ("", None)
        folders.add(str(folder_of(name, about.split(options), "main")))
    assert len(folders) == 4 and "resources/a--b--main-test/main" in folders


def test_the_job_has_what_the_study_says(study_data) -> None:
    study_data["domains"]["science"] = ENTRY
    settings = DownloadSettings.of(study_from(study_data, "study.yaml"), "science")
    assert (settings.split, settings.config, settings.about.repo) == ("test", "main", "openai/gsm8k")
    assert '"name":"main"' in ExamplesSettings.of(study_from(study_data, "study.yaml"), "science").text()
    study_data["domains"]["science"] = {**ENTRY, "options": {}}
    settings = DownloadSettings.of(study_from(study_data, "study.yaml"), "science")
    only = {"README.md": "", "train.jsonl": ""}
    assert settings.about.choose is not None and settings.about.choose(list(only), "") == list(only)


def test_a_repository_that_only_the_viewer_shows() -> None:
    with pytest.raises(InputError, match=r"a/b: holds a loading script \(b.py\).*refs/convert/parquet"):
        needed_files(["README.md", "b.py"], "", None, None, "a/b")


def test_a_table_without_images_brings_those_that_lie_beside_it() -> None:
    names = ["train.jsonl", "images/1.png", "notes.txt"]
    assert needed_files(names, "", None, None, "a/b") == ["images/1.png", "train.jsonl"]
    assert needed_files(["train.parquet", "logo.png"], "", None, None, "a/b") == ["train.parquet"]


def test_paths_of_a_download_do_not_lead_out_of_it(tmp_path) -> None:
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"question": "?", "answer": "x", "image": "../a.png"}) + "\n"
    )
    (tmp_path / "u.jsonl").write_text(json.dumps({"question": "?", "answer": "x"}))
    first, _ = datasets["table"](tmp_path)
    assert isinstance(first, Rejected) and "leads out of the downloaded files" in first.reason


def test_peek_reads_the_first_rows_of_a_repository(repository, tmp_path, monkeypatch) -> None:
    import datasets as library

    asked = SimpleNamespace()
    load_dataset = library.load_dataset

    def load(repo: str, **given: Any) -> Any:
        vars(asked).update(repo=repo, **given)
        local = tmp_path / "local.jsonl"
        local.write_text(FILES["main/test-0.jsonl"])
        return load_dataset("json", data_files=str(local), split="train", streaming=True)

    monkeypatch.setattr(library, "load_dataset", load)
    options = Options(name="main", split="test")
    commit, file = hub.first_rows_of("openai/gsm8k", "main", options, 5, tmp_path)
    assert (commit, asked.repo, asked.revision, asked.data_files) == (
        COMMIT,
        "openai/gsm8k",
        COMMIT,
        ["main/test-0.jsonl"],
    )
    ((fields, _),) = datasets["table"](None, path=str(file))
    assert fields["answer"] == "5"

    def gated(repo: str, **given: Any) -> Any:
        raise library.exceptions.DatasetNotFoundError(
            f"Dataset '{repo}' is a gated dataset on the Hub.\nMore"
        )

    monkeypatch.setattr(library, "load_dataset", gated)
    with pytest.raises(InputError, match="is a gated dataset on the Hub.: .* HF_TOKEN"):
        hub.first_rows_of("openai/gsm8k", "main", options, 5, tmp_path)


def test_peek_proposes_the_commit_of_a_repository(tmp_path, monkeypatch, capsys) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts/peek.py"))

    def first_rows_of(
        repo: str, revision: str, options: Options, rows: int, folder: Path
    ) -> tuple[str, Path]:
        assert (repo, revision, options.name, options.split, rows) == (
            "openai/gsm8k",
            "main",
            "main",
            "test",
            9,
        )
        (folder / "first.jsonl").write_text(FILES["main/test-0.jsonl"])
        return COMMIT, folder / "first.jsonl"

    monkeypatch.setattr(hub, "first_rows_of", first_rows_of)
    words = ["openai/gsm8k", "--options", "{name: main, split: test}", "--rows", "9"]
    monkeypatch.setattr(sys, "argv", ["peek.py", *words])
    script["main"]()
    out = capsys.readouterr().out
    entry = yaml.safe_load(out.partition("under domains of a study:")[2].partition("---")[0])["gsm8k"]
    assert entry["source"] == {"repo": "openai/gsm8k", "revision": COMMIT}
    assert entry["options"] == {
        "name": "main",
        "split": "test",
        "columns": {"question": "question", "answer": "answer"},
    }
    assert "row-00000, number: 5\n2 + 3?" in out
