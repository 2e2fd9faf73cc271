"""scripts/train.py before it trains: which process checks the images, and what run.json names."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import PIL.Image
import pytest

from modomodo.config.schema import Training
from modomodo.errors import InputError
from modomodo.files import file_digest, read_json, write_json, write_jsonl
from modomodo.mixtures.online import Used, write_used
from modomodo.mixtures.stream import domain_order
from modomodo.training import launch as launching
from modomodo.training.settings import TrainSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script with its command line set; the training itself only notes its job and writes a checkpoint."""
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "scripts/train.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "i.png")
    example = {"dataset": "shapes", "image": "i.png", "question": "?", "answer": "1", "answer_type": "number"}
    write_jsonl(tmp_path / "shapes.jsonl", [{"id": name, **example} for name in ("a", "b")])
    write_jsonl(tmp_path / "42.jsonl", [{"domain": "shapes", "id": name} for name in ("b", "a")])
    write_json(
        tmp_path / "42.summary.json",
        {"steps": 1, "checkpoint_steps": {"1": 1, "9": 1}, "requested": {"shapes": 1.0}},
    )
    write_json(tmp_path / "base.json", {"weights": "0" * 64})
    (tmp_path / "base").mkdir()
    write_json(tmp_path / "base/config.json", {"model_type": "qwen2_vl"})
    settings = TrainSettings(
        training=Training(steps=9, scored_steps=[1, 9]), dtype="float32", rewards={"shapes": ["format"]}
    )
    words = {
        "settings": settings.text(),
        "base": tmp_path / "base",
        "base-info": tmp_path / "base.json",
        "stream": tmp_path / "42.jsonl",
        "examples": tmp_path / "shapes.jsonl",
        "mixture": "all",
        "seed": 42,
        "save-steps": 3,
        "output": tmp_path / "runs/elsewhere/7/run.json",
    }
    arguments = [str(part) for name, value in words.items() for part in (f"--{name}", value)]
    monkeypatch.setattr("sys.argv", ["scripts/train.py", *arguments])
    module.jobs = []

    def train_here(job) -> dict[str, float]:
        module.jobs.append(job)
        for step in job.checkpoint_steps:
            (job.folder / f"checkpoint-{step}").mkdir(exist_ok=True)
            (job.folder / f"checkpoint-{step}/model.safetensors").write_text("weights")
        write_jsonl(job.folder / "log.jsonl", [])
        return {"train": 1.0}

    monkeypatch.setattr(module, "train_here", train_here)
    return module


def test_a_run_names_its_mixture_seed_and_inputs(script: ModuleType, tmp_path: Path) -> None:
    script.main()
    run = read_json(tmp_path / "runs/elsewhere/7/run.json")
    assert (run["mixture"], run["seed"], list(run["checkpoints"])) == ("all", 42, ["1", "9"])
    inputs = [tmp_path / name for name in ("base.json", "42.jsonl", "42.summary.json", "shapes.jsonl")]
    assert run["inputs"] == {str(path): file_digest(path) for path in inputs}
    [job] = script.jobs
    assert [example.id for example, _ in job.rows] == ["b", "a"]
    assert (job.settings.training.save_steps, job.seed, job.last_step) == (3, 42, 1)
    assert job.checkpoint_steps == {1: 1, 9: 1}


def test_a_finished_run_is_returned_and_how_often_it_saves_is_no_part_of_it(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main()
    output = tmp_path / "runs/elsewhere/7/run.json"
    first = json.loads(output.read_text())
    output.unlink()
    argv = [word if word != "3" else "5" for word in script.sys.argv]
    monkeypatch.setattr("sys.argv", argv)
    script.main()
    assert json.loads(output.read_text()) == first
    assert len(script.jobs) == 1


def test_the_launcher_decodes_the_images_and_a_trainer_does_not(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "i.png").write_text("not an image")
    with pytest.raises(InputError, match=r"i\.png"):
        script.main()
    assert script.jobs == []
    (tmp_path / "runs/elsewhere/7").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv(launching.SERVER_URL, "")
    script.main()
    assert len(script.jobs) == 1
    assert not (tmp_path / "runs/elsewhere/7/run.json").exists(), "a trainer describes nothing"


def note_used(module: ModuleType, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, int, str]]) -> None:
    """Have the training note these prompts: (position, attempt, id), of the domain shapes."""
    before = module.train_here

    def train_here(job) -> dict[str, float]:
        used = [
            Used(place + 1, place, attempt, "shapes", name, True, 0.5, 0.5) for place, attempt, name in rows
        ]
        write_used(job.folder, used)
        return before(job)

    monkeypatch.setattr(module, "train_here", train_here)


def changed(module: ModuleType, monkeypatch: pytest.MonkeyPatch, **training: object) -> None:
    """The command line with other settings of the training."""
    settings = TrainSettings(
        training=Training(steps=9, scored_steps=[1, 9], train_batch_size=2, num_generations=2, **training),
        dtype="float32",
        rewards={"shapes": ["format"]},
    )
    argv = list(module.sys.argv)
    argv[argv.index("--settings") + 1] = settings.text()
    monkeypatch.setattr("sys.argv", argv)


def test_what_an_online_run_came_to_is_its_stream(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {
        "online": {"rule": "dump"},
        "steps": 9,
        "checkpoint_steps": {"1": 1, "9": 9},
        "requested": {"shapes": 1},
    }
    write_json(tmp_path / "42.summary.json", summary)
    changed(script, monkeypatch)
    note_used(script, monkeypatch, [(0, 0, "b"), (1, 0, "a")])
    script.main()
    [job] = script.jobs
    assert (job.live.orders, job.live.slots, job.spare) == ({"shapes": ["b", "a"]}, None, [])
    assert (job.last_step, job.checkpoint_steps, job.live.options.rule) == (9, {1: 1, 9: 9}, "dump")
    run = read_json(tmp_path / "runs/elsewhere/7/run.json")
    assert run["online"] == run["stream"]["online"] == {"rule": "dump"}
    assert (run["stream"]["steps"], run["stream"]["exhausted"]) == (2, {"domain": "shapes", "step": 2})
    assert {step: kept["step"] for step, kept in run["checkpoints"].items()} == {"1": 1, "9": 2}


def test_a_part_of_a_run_that_replaces_prompts_tells_what_became_of_them_until_its_end(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = domain_order(["a", "b"], "shapes", 42)
    write_jsonl(tmp_path / "42.jsonl", [{"domain": "shapes", "id": name} for name in order])
    summary = {"steps": 2, "checkpoint_steps": {"1": 1, "9": 2}, "requested": {"shapes": 1.0}}
    dry = {"exhausted": {"domain": "shapes", "step": 2}}
    part = {"mixture": "elsewhere", "since": 0, "until": 1}
    write_json(tmp_path / "42.summary.json", {**summary, **dry, **part})
    changed(script, monkeypatch, dynamic_sampling={"max_tries": 1})
    monkeypatch.setattr("sys.argv", ["elsewhere" if word == "all" else word for word in script.sys.argv])
    monkeypatch.setattr("sys.argv", [word.replace("/7/", "/42/") for word in script.sys.argv])
    note_used(script, monkeypatch, [(0, 0, order[0]), (1, 0, order[1])])  # as if it had gone further
    script.main()
    folder = tmp_path / "runs/elsewhere/42"
    run = read_json(folder / "run.json")
    assert {step: kept["step"] for step, kept in run["checkpoints"].items()} == {"1": 1}
    assert run["stream"] == {
        **{"steps": 1, "prompts": 1, "prompts_generated": 1, "exhausted": None, **part},
        **{"requested": {"shapes": 1.0}, "realised": {"shapes": 1.0}, "checkpoint_steps": {"1": 1}},
    }
    assert run == read_json(folder / "finished-1.json")
    # A place that this run takes.
    rest = {**part, "since": 1, "until": None}
    write_json(tmp_path / "42.summary.json", {**summary, **dry, **rest})
    place = [word.replace("/elsewhere/", "/race@9-01/") for word in script.sys.argv]
    monkeypatch.setattr("sys.argv", ["race@9-01" if word == "elsewhere" else word for word in place])
    script.main()
    run = read_json(tmp_path / "runs/race@9-01/42/run.json")
    assert {step: kept["step"] for step, kept in run["checkpoints"].items()} == {"9": 2}
    assert run["stream"] == {
        **{"steps": 2, "prompts": 2, "prompts_generated": 2, **dry, **rest},
        **{"requested": {"shapes": 1.0}, "realised": {"shapes": 1.0}, "checkpoint_steps": {"1": 1, "9": 2}},
    }
    assert run["mixture"] == "elsewhere" and (folder / "finished.json").is_file()


def test_spare_examples_come_in_the_order_of_their_domain(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = domain_order(["a", "b"], "shapes", 42)
    write_jsonl(tmp_path / "42.jsonl", [{"domain": "shapes", "id": order[0]}])
    changed(script, monkeypatch, dynamic_sampling={"max_tries": 1})
    note_used(script, monkeypatch, [(0, 0, order[0]), (0, 1, order[1])])
    script.main()
    [job] = script.jobs
    assert (job.live.orders, job.live.slots) == ({"shapes": order}, ["shapes"])
    run = read_json(tmp_path / "runs/elsewhere/7/run.json")
    assert (run["stream"]["prompts"], run["stream"]["prompts_generated"]) == (1, 2)
    assert "spare" in run and "online" not in run
