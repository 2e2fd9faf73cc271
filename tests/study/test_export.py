"""The exported winner: an ordinary folder that others can read and load, its card, and the way to the hub."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import tiny_runs
from study_records import BENCHMARKS, SIDES, example_results, records

from modomodo.config.schema import Study, Training
from modomodo.errors import InputError
from modomodo.files import write_csv, write_json
from modomodo.mixtures.plan import plan
from modomodo.reporting.model_card import Exported, best_mixture, model_card
from modomodo.reporting.settings import ExportSettings, SourceOfData
from modomodo.study.export import last_checkpoint, push, write_export

ROOT = Path(__file__).parents[2]
RUN: dict[str, Any] = {
    "mixture": "other-4",
    "seed": 42,
    "base": "b" * 64,
    "stream": {"steps": 7, "realised": {"boxes": 0.5}, "exhausted": {"domain": "boxes", "step": 7}},
    "settings": {"rewards": {"boxes": ["iou", "format"]}},
    "seconds": {"train": 1800.0},
    "hardware": {"gpus": ["H200"], "cores": 4},
    "commit": "abc",
    "code": "def",
    "versions": {"trl": "1.16.0", "vllm": None},
    "checkpoints": {"5": {"step": 5, "path": "checkpoint-5"}, "10": {"step": 7, "path": "checkpoint-10"}},
}


def settings() -> ExportSettings:
    return ExportSettings(
        study="small",
        seed=42,
        headings=[],
        benchmarks=[(name, SIDES[name]) for name in BENCHMARKS],
        metrics={"chart": "relaxed_accuracy"},
        base="Qwen/Qwen2-VL-2B-Instruct",
        base_repo="Qwen/Qwen2-VL-2B-Instruct",
        training=Training(steps=10, scored_steps=[5, 10], learning_rate=1e-5),
        sources=[
            SourceOfData(
                dataset="boxes", role="training", loader="coco", repo="a/b", revision="c1", licence="mit"
            ),
            SourceOfData(dataset="maths", role="training", loader="mine", licence="your own data"),
        ],
    )


@pytest.fixture
def card() -> str:
    exported = Exported(RUN, 10, "f" * 64, takes_images=True)
    return model_card(settings(), example_results(), "other-4", exported, {"boxes": 1234})


def test_the_card_says_what_the_model_is_and_how_sure_its_scores_are(card: str) -> None:
    found = example_results()
    front = card.split("---\n")[1]
    assert "base_model: Qwen/Qwen2-VL-2B-Instruct" in front and "- a/b" in front
    assert "pipeline_tag: image-text-to-text" in front
    (row,) = [line for line in card.splitlines() if line.startswith("| boxes ") and "1,234" in line]
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["0.450", "0.500"]
    lead = found.differences.between("other-4", "all", "out_score")
    (row,) = [line for line in card.splitlines() if line.startswith("| Out-Score")]
    assert f"{lead.gap:+.3f}\u00a0±\u00a0{lead.standard_error:.3f}".replace("-", "−") in row
    assert "relaxed_accuracy" in card and "ahead of the base" in card and "ahead of equal weights" in card


def test_the_card_says_where_it_is_from(card: str) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines()]
    assert ["boxes", "training", "a/b", "c1", "mit"] in rows
    assert ["maths", "training", "mine", "", "your own data"] in rows
    assert "- `learning_rate`: `1e-05`" in card
    assert f"`{'f' * 64}`" in card and "commit `abc`" in card and "trl 1.16.0" in card and "vllm" not in card
    assert "0.50 hours on H200" in card and "boxes were exhausted" in card.replace("the examples of ", "")
    assert "\n\n\n" not in card


def test_the_best_mixture_is_told_from_others(card: str) -> None:
    best = best_mixture(example_results())
    assert best is not None and best != "base"
    exported = Exported(RUN, 10, "f" * 64, takes_images=False)
    of_best = model_card(settings(), example_results(), best, exported, {})
    assert "which has the best Out-Score of the 11" in of_best and "partly luck" in of_best
    assert "pipeline_tag: text-generation" in of_best
    assert ("one of the 11" in card) == (best != "other-4")


def test_the_settings_name_sources_and_licences(study_data, small_study: Study) -> None:
    found = ExportSettings.of(small_study, plan(small_study))
    assert (found.base, found.base_repo) == ("tiny_qwen2vl", "")
    assert found.sources[0] == SourceOfData(
        dataset="boxes", role="training", loader="boards", licence="your own data"
    )
    from modomodo.study.checks import read_study

    paper = read_study(ROOT / "config/paper.yaml")
    found = ExportSettings.of(paper, plan(paper))
    assert found.base_repo == "Qwen/Qwen2-VL-2B-Instruct"
    by_name = {source.dataset: source for source in found.sources}
    assert by_name["SAT"].repo == "array/SAT" and by_name["SAT"].licence == "mit" and by_name["SAT"].revision


# --- the folder -------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tmp_path: Path) -> SimpleNamespace:
    """A tiny base with a README of its own, and a checkpoint as transformers leaves it, readable by its owner alone."""
    base = tiny_runs.make_base(tmp_path)
    (base / "README.md").write_text("of the base")
    (base / "video_preprocessor_config.json").write_text('{"of": "the base"}')
    checkpoint = tmp_path / "runs/other-4/42/checkpoint-10"
    checkpoint.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (checkpoint / name).write_bytes((base / name).read_bytes())
    config = json.loads((base / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"from": "checkpoint"}))
    (checkpoint / "tokenizer_config.json").write_text("not the base's")
    (checkpoint / "model.safetensors").chmod(0o600)
    write_json(checkpoint.parent / "run.json", RUN)
    return SimpleNamespace(base=base, checkpoint=checkpoint, run=checkpoint.parent / "run.json")


def test_the_folder_is_readable_by_all_loads_and_has_the_bases_processor_byte_for_byte(
    trained, tmp_path
) -> None:
    from modomodo.training.models import load_model
    from modomodo.training.processors import load_processor

    write_export(
        tmp_path / "export", trained.checkpoint, trained.base, lambda weights: f"card of {weights[:4]}"
    )
    files = {path.name: path for path in (tmp_path / "export").iterdir()}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o666 & ~tiny_umask()}
    assert files["README.md"].read_text().startswith("card of ")
    for name in ("tokenizer.json", "tokenizer_config.json", "video_preprocessor_config.json"):
        assert files[name].read_bytes() == (trained.base / name).read_bytes()
    assert json.loads(files["config.json"].read_text())["from"] == "checkpoint"
    load_model(tmp_path / "export")
    load_processor(tmp_path / "export")


def tiny_umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_weights_that_were_removed_are_told(trained) -> None:
    write_json(trained.checkpoint / "weights-removed.json", {})
    with pytest.raises(InputError, match="training.keep_weights has removed its weights: add 10 to it"):
        last_checkpoint(trained.run)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("export_script", ROOT / "scripts/export.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_exports_the_winner_or_the_one_that_is_named(
    script, trained, tmp_path, monkeypatch
) -> None:
    table = tmp_path / "records.csv"
    write_csv(table, records().frame)
    words = ["--settings", settings().text(), "--records", str(table), "--base", str(trained.base)]
    words += ["--runs", str(trained.run), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["export.py", *words, "--mixture", "other-4"])
    script.main()
    assert "small: other-4" in (tmp_path / "out/README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["export.py", *words, "--mixture", "othr-4"])
    with pytest.raises(InputError, match="--mixture othr-4: .*did you mean 'other-4'"):
        script.main()
    monkeypatch.setattr(sys, "argv", ["export.py", *words, "--mixture", "other-1"])
    with pytest.raises(InputError, match="--runs: none is other-1/42/run.json"):
        script.main()


# --- the hub ----------------------------------------------------------------------------------------------------


class Hub:
    """Stands in for huggingface_hub.HfApi: notes what it is asked."""

    asked: list[Any] = []

    def __init__(self, token: str) -> None:
        self.asked.append(token)

    def create_repo(self, repo: str, **options: Any) -> None:
        self.asked.append((repo, options))

    def upload_folder(self, **options: Any) -> SimpleNamespace:
        self.asked.append(options)
        return SimpleNamespace(commit_url="https://hub/commit")


def test_a_folder_is_pushed_to_a_private_repository_with_the_environments_token(
    tmp_path, monkeypatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", "secret")
    with pytest.raises(InputError, match="no exported model: make export first"):
        push(tmp_path, "me/winner")
    (tmp_path / "README.md").write_text("card")
    (tmp_path / "model.safetensors").write_text("weights")
    with pytest.raises(InputError, match="'winner' is not an owner/name of the hub"):
        push(tmp_path, "winner")
    assert push(tmp_path, "me/winner") == "https://hub/commit"
    token, (repo, options), upload = Hub.asked
    assert (token, repo, options) == ("secret", "me/winner", {"private": True, "exist_ok": True})
    assert (upload["repo_id"], upload["folder_path"]) == ("me/winner", tmp_path)
    assert upload["ignore_patterns"] == [".*"]
    monkeypatch.setattr(
        Hub, "upload_folder", lambda self, **options: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(InputError, match="me/winner: the hub did not take it: no network"):
        push(tmp_path, "me/winner")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="HF_TOKEN is not set"):
        push(tmp_path, "me/winner")
