"""The likeliest mistakes, each made for real, and the one line that the user sees.

Mistakes in a study are read as Snakemake reads it (`study_from` and `plan`, which the Snakefile prints as
`error: …`); those of the command line run the very command.
"""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from modomodo import command_line, error_hints
from modomodo.errors import InputError, nearest
from modomodo.mixtures.plan import plan
from modomodo.study.checks import read_study, study_from
from modomodo.training import gpus, vllm_environment

ROOT = Path(__file__).parent.parent
MISSING = object()


# --- in the study -----------------------------------------------------------------------------------------------

OWN = {"propose": "explicit", "group": "own"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.stpes", 9, "training.stpes: unknown key: did you mean 'steps'?"),
        ("training.steps", "many", "training.steps: input should be a valid integer, unable to parse string as an integer, found 'many'"),
        ("training.train_batch_size", 10, "training: train_batch_size: 10 is not a multiple of num_generations (6): a step must hold whole groups, e.g. 12"),
        ("training.scored_steps", [2, 99], "training: scored_steps: 99 lies beyond the last step (9): lower it or raise training.steps"),
        ("training.vllm", "server", "training: vllm: 'server' keeps one GPU to itself and trains on the others, but gpus is 0: set gpus to 2 or more, or vllm to colocate"),
        ("strategies.own", {**OWN, "options": {"weights": {"boxes": 0.5, "science": 0.4}}}, "strategies.own: explicit: weights: weights sum to 0.9, not 1: scaled they are boxes: 0.555556, science: 0.444444"),
        ("strategies.own", {**OWN, "options": {"weights": {"scince": 1}}}, "strategies.own: explicit: weights: unknown domain 'scince': did you mean 'science'?"),
        ("strategies.alpha.propose", "alhpa", "strategies.alpha.propose: unknown strategy 'alhpa': did you mean 'alpha'?"),
        ("strategies.alpha.learns_from", ["sede"], "strategies.alpha.learns_from: 'sede' is neither a strategy nor a group listed above it: did you mean 'seed'?"),
        ("strategies.alpha.learns_from", [], "strategies.alpha.learns_from: missing: 'alpha' proposes from scored runs, name the strategies it sees"),
        ("strategies.own", {"propose": "cma_es", "group": "own", "learns_from": ["seed"], "options": {"surrogate": "gp_sqr"}}, "strategies.own.options: unknown surrogate 'gp_sqr': did you mean 'gp_sqrt'?"),
        ("strategies.own", {"propose": "all", "group": "own", "without": ["sciense"]}, "strategies.own.without: unknown domain 'sciense': did you mean 'science'?"),
        ("domains.science.loader", "board", "domains.science.loader: unknown dataset 'board': did you mean 'boards'?"),
        ("domains.science.rewards", ["acuracy"], "domains.science.rewards: unknown reward 'acuracy': did you mean 'accuracy'?"),
        ("benchmarks.chart.metric", "exact_mach", "benchmarks.chart.metric: unknown metric 'exact_mach': did you mean 'exact_match'?"),
        ("benchmarks.chart.metric", MISSING, "benchmarks.chart.metric: missing: this key is required"),
        ("benchmarks.chart.group", "in", "benchmarks: none has group 'out', so there is no Out-Score"),
        ("repeats", {"al": [43]}, "repeats: unknown mixture 'al': did you mean 'all'?"),
        ("plugins", ["own.py"], "plugins: own.py: no such file (paths are relative to the study's file)"),
        ("model.builder", "hup", "model.builder: unknown model builder 'hup': did you mean 'hub'?"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)  # fmt: skip
def test_a_mistake_in_the_study(study_data: dict[str, Any], key: str, value: Any, message: str) -> None:
    *parents, last = key.split(".")
    home = study_data
    for parent in parents:
        home = home[parent]
    if value is MISSING:
        del home[last]
    else:
        home[last] = value
    with pytest.raises(InputError) as raised:
        plan(study_from(study_data, "study.yaml"), "study.yaml")
    assert str(raised.value) == f"study.yaml: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n\tmodel: 3\n", "2: not valid YAML: found character '\\t' that cannot start any token"),
        ("name: [x\n", "2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("- name: x\n", " expected keys and values, found list"),
    ],
    ids=["tab", "bracket", "list"],
)
def test_a_file_that_is_no_study(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_study(path)
    assert str(raised.value) == f"{path}:{message}"


# --- at the command line ----------------------------------------------------------------------------------------


def last_line(words: list[str], folder: Path = ROOT, **environment: str) -> str:
    """The last line that a failing command shows; nowhere is there a trace."""
    run = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    shown = run.stdout + run.stderr
    assert run.returncode not in (0, None), shown
    assert "Traceback" not in shown, shown
    return shown.strip().splitlines()[-1]


def snakemake(*words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "1", "-n", *words]


def script(name: str, *words: object) -> list[str]:
    return [sys.executable, f"scripts/{name}.py", *map(str, words)]


SNAKEMAKE = {
    "a target after --configfile": (
        ["--configfile", "config/test.yaml", "all"],
        "error: --configfile takes every word that follows for a file, so also 'all': write "
        "--configfile=config/test.yaml all",
    ),
    "a study that is not there": (
        ["--configfile", "config/test.yml"],
        "error: config/test.yml: no such study: did you mean 'config/test.yaml'?",
    ),
    "a study that is not there, with =": (
        ["--configfile=config/tinny.yaml", "all"],
        "error: config/tinny.yaml: no such study: did you mean 'config/tiny.yaml'?",
    ),
    "a mixture that is not in the study": (
        ["results/test/runs/colinearity/42/run.json", "--configfile", "config/test.yaml"],
        "error: config/test.yaml: the study has no mixture 'colinearity': did you mean 'collinearity'?",
    ),
}


@pytest.mark.parametrize(("words", "message"), SNAKEMAKE.values(), ids=SNAKEMAKE)
def test_a_mistake_in_calling_snakemake(words: list[str], message: str) -> None:
    assert last_line(snakemake(*words)) == message


def test_a_snakemake_that_is_not_the_projects(tmp_path: Path) -> None:
    """The environment was not activated, and another Snakemake is on the PATH: the package is not found."""
    program = "import sys; sys.modules['modomodo'] = None; from snakemake.cli import main; main(['-n'])"
    assert last_line([sys.executable, "-c", program]) == (
        "error: this Snakemake is not the project's: source .venv/bin/activate (make env builds it)"
    )


def test_two_snakemakes_in_one_folder(tmp_path: Path) -> None:
    """The first one's lock, as it leaves it while it works. Snakemake's own message says how to fix it."""
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    output: 'a'\n    shell: 'while [ ! -e stop ]; do sleep 0.1; done; touch a'\n"
    )
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "all"]
    first = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if list((tmp_path / ".snakemake/locks").glob("*.lock")):
                break
            assert first.poll() is None

            time.sleep(0.1)
        run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    finally:
        (tmp_path / "stop").touch()
        assert first.wait(timeout=60) == 0
    shown = run.stdout + run.stderr
    assert run.returncode != 0
    assert "Directory cannot be locked" in shown and "--unlock" in shown


SCRIPTS = {
    "a dataset to be fetched by hand is missing": (
        ["download", "--settings", "config/paper.yaml", "--name", "LISA", "--output", "{tmp}/manifest.json"],
        "error: lisa: not on the hub, to be fetched by hand: get train.zip and test.zip of ReasonSeg from "
        "https://drive.google.com/drive/folders/125mewyg5Ao6tZ3ZdJ-1-E3n04LGVELqy and unpack them to DIR/lisa/train and "
        "DIR/lisa/test; then set data.raw_from: DIR, or give --from DIR",
    ),
    "a dataset's raw files are missing": (
        ["preprocess", "--settings", "config/paper.yaml", "--name", "COCO", "--raw", "{tmp}", "--output", "{tmp}/a.jsonl"],
        "error: {tmp}: no parquet file: download the dataset first",
    ),
    "a dataset that the study does not have": (
        ["preprocess", "--settings", "config/test.yaml", "--name", "scince", "--output", "{tmp}/a.jsonl"],
        "error: --name scince: the study has no such dataset: did you mean 'science'?",
    ),
    "a mixture that table 2 does not have": (
        ["provenance", "--study", "config/test.yaml", "--mixture", "colinearity", "--benchmark", "chart"],
        "error: MIXTURE=colinearity: the study has no such mixture: did you mean 'collinearity'?",
    ),
    "a benchmark that the study does not have": (
        ["provenance", "--study", "config/test.yaml", "--mixture", "collinearity", "--benchmark", "charts"],
        "error: BENCHMARK=charts: the study has no such benchmark or aggregate: did you mean 'chart'?",
    ),
    "recorded runs, which take no time and have no status": (
        ["plan", "--study", "config/replay.yaml"],
        "error: config/replay.yaml: recorded runs, of which nothing is trained: snakemake "
        "--configfile=config/replay.yaml, or scripts/propose.py --config config/replay.yaml",
    ),
    "a file that is not there": (
        ["table", "--settings", "config/test.yaml", "--records", "{tmp}/records.csv", "--output", "{tmp}/t.csv"],
        "error: {tmp}/records.csv: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "message"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_mistake_in_calling_a_script(tmp_path: Path, words: list[str], message: str) -> None:
    filled = [word.format(tmp=tmp_path) for word in words]
    assert last_line(script(*filled)) == message.format(tmp=tmp_path)


@pytest.mark.slow
def test_no_network(tmp_path: Path) -> None:
    """Half a minute: five tries."""
    words = script(
        "download", "--settings", "config/paper.yaml", "--name", "SAT", "--output", tmp_path / "m.json"
    )
    line = last_line(words, HF_ENDPOINT="http://127.0.0.1:9")
    assert line.startswith("error: array/SAT: ")
    assert line.endswith(
        "the hub was not reached in 5 tries: check the network (HF_ENDPOINT, HF_HUB_OFFLINE, a proxy), or fetch the files "
        "elsewhere and set data.raw_from"
    )


def test_a_result_of_another_form(tmp_path: Path) -> None:
    old = tmp_path / "all/42/predictions.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"answers": {}}')
    (tmp_path / "chart.jsonl").touch()
    words = ["--predictions", old, "--benchmarks", tmp_path / "chart.jsonl", "--output", tmp_path / "s.json"]
    assert last_line(script("score", "--settings", "config/test.yaml", *words)) == (
        f"error: {old}: answers: unknown key: known: mixture, predictions, seed, settings: delete it and predict again"
    )


def test_a_result_that_was_cut_off(tmp_path: Path) -> None:
    cut = tmp_path / "predictions.json"
    cut.write_text('{"predictions": {')
    (tmp_path / "chart.jsonl").touch()
    words = ["--predictions", cut, "--benchmarks", tmp_path / "chart.jsonl", "--output", tmp_path / "s.json"]
    line = last_line(script("score", "--settings", "config/test.yaml", *words))
    assert line.startswith(f"error: {cut}: not valid JSON") and line.endswith(": delete it and run again")


def test_scripts_without_the_environment() -> None:
    """Python's own words; docs/troubleshooting.md says what they mean."""
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "scripts/plan.py")], capture_output=True, text=True, cwd="/"
    )
    assert run.stderr.strip().splitlines()[-1] == "ModuleNotFoundError: No module named 'modomodo'"
    assert "ModuleNotFoundError: No module named 'modomodo'" in (ROOT / "docs/troubleshooting.md").read_text()


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError) as raised:
        gpus.acquire_gpus(2, "training.gpus")
    assert str(raised.value) == (
        "training.gpus: 2 wanted, 0 visible here (CUDA_VISIBLE_DEVICES=): lower it, or ask the scheduler for more"
    )


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_no_vllm() -> None:
    with pytest.raises(InputError) as raised:
        vllm_environment.check_vllm("evaluation.engine", "transformers", gpus=1)
    assert str(raised.value) == (
        "evaluation.engine: vLLM is not installed: make vllm installs it (docs/gpus.md), or set evaluation.engine to "
        "transformers"
    )


# --- errors of others -------------------------------------------------------------------------------------------


def shown_by(main, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk(capsys: pytest.CaptureFixture) -> None:
    """The kernel's own error: /dev/full takes nothing."""

    def main() -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    assert shown_by(main, capsys) == (
        "error: [Errno 28] No space left on device: the disk is full: `make plan` shows what the study still needs; free "
        "some and run again, nothing that was finished is lost\n"
    )


def test_a_gpu_that_is_too_small(capsys: pytest.CaptureFixture) -> None:
    import torch

    def main() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    shown = shown_by(main, capsys)
    assert shown.startswith(
        "error: CUDA out of memory. Tried to allocate 2.00 GiB.: the GPU's memory is too small: raise "
    )
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sbatch: error: invalid partition specified: gpux", "`sinfo -s` lists them; name one in slurm/config.yaml"),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified", "name one in slurm/config.yaml"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=3.batch", "ask for more in the profile"),
        ("slurmstepd: error: *** JOB 7 ON node1 CANCELLED AT 2026-11-25T02:00:00 DUE TO TIME LIMIT ***", "run again, it resumes from its last checkpoint"),
    ],
)  # fmt: skip
def test_slurms_errors_have_a_hint(text: str, hint: str) -> None:
    assert hint in str(error_hints.hint_of(f"some lines before\n{text}\nand after\n"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        # torch.save, safetensors and Python, each in its own words
        ("builtins.RuntimeError: [enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598", "the disk is full"),
        ("SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)", "the disk is full"),
        ("builtins.RuntimeError: [enforce fail at inline_container.cc:747] . open file failed with strerror: Read-only file system", "mounted read-only"),
        ("builtins.OSError: [Errno 30] Read-only file system: 'results/a'", "mounted read-only"),
        ("builtins.PermissionError: [Errno 13] Permission denied: 'results/a'", "change that with chown or chmod"),
        ("SafetensorError: Error while serializing: I/O error: Permission denied (os error 13) at path \"x\"", "change that with chown or chmod"),
    ],
)  # fmt: skip
def test_a_disk_that_takes_nothing_has_a_hint(text: str, hint: str) -> None:
    assert hint in str(error_hints.hint_of(text))


def test_an_unknown_error_keeps_its_trace() -> None:
    assert error_hints.hint_of("ZeroDivisionError: division by zero") is None


def test_a_wrong_partition_ends_the_run_with_its_hint(tmp_path: Path) -> None:
    """Snakemake's Slurm executor with an sbatch that answers as Slurm does."""
    for name in ("Snakefile", "rules", "modomodo", "scripts", "config", "envs", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    fakes = tmp_path / "bin"
    fakes.mkdir()
    answers = {
        "sbatch": "echo 'sbatch: error: invalid partition specified: gpux' >&2; exit 1",
        "sacct": "exit 0",
        "sacctmgr": "echo a",
        "sinfo": "exit 0",
        "scancel": "exit 0",
        "squeue": "exit 0",
    }
    for name, answer in answers.items():
        (fakes / name).write_text(f"#!/bin/sh\n{answer}\n")
        (fakes / name).chmod(0o755)
    words = [*snakemake("results/test/examples/chart.jsonl", "--configfile", "config/test.yaml")]
    words.remove("-n")
    words += ["--executor", "slurm", "--jobs", "1", "--slurm-init-seconds-before-status-checks", "1"]
    words += ["--default-resources", "slurm_account=a", "slurm_partition=gpux"]
    path = f"{fakes}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120
    )
    assert run.returncode != 0
    assert f"hint: {error_hints.HINTS['[Ii]nvalid partition']}" in run.stderr.splitlines()


# --- hints ------------------------------------------------------------------------------------------------------


def test_the_nearest_name_is_named_or_all_are() -> None:
    assert nearest("scince", ["science", "chart"]) == "did you mean 'science'?"
    assert nearest("xyz", ["science", "chart"]) == "known: chart, science"
    assert nearest("xyz", []) == "known: none"
