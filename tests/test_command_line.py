"""What every script shares: settings, one-line errors, progress."""

import errno
import functools
import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.evaluation.settings import ScoreSettings
from modomodo.mixtures.settings import StreamSettings

ROOT = Path(__file__).parent.parent
SETTINGS = '{"steps": 9, "prompts_per_step": 2, "scored_steps": [2, 9]}'


def script(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )


# --- errors -------------------------------------------------------------------------------------------------


def status_of(main) -> int:
    with pytest.raises(SystemExit) as ended:
        command_line.run(main)
    return ended.value.code


def test_bad_input_is_one_line_on_stderr_and_status_2(capsys):
    def main():
        raise InputError("a.jsonl:3: answer: no box")

    assert status_of(main) == 2
    output = capsys.readouterr()
    assert output.err == "error: a.jsonl:3: answer: no box\n"
    assert output.out == ""


def test_a_reader_that_has_seen_enough_ends_a_script_quietly():
    code = "from modomodo import command_line; command_line.run(lambda: [print(i) for i in range(10**6)])"
    writer = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert writer.stdout.readline() == "0\n"
    writer.stdout.close()
    assert writer.wait(timeout=60) == 141
    assert writer.stderr.read() == ""
    writer.stderr.close()


def test_success_and_interruption_have_their_status(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert status_of(lambda: None) == 0
    assert status_of(interrupted) == 130
    assert capsys.readouterr().err == "interrupted: run the same command again to resume\n"


def test_a_mistake_of_ours_keeps_its_trace():
    with pytest.raises(TypeError):
        command_line.run(console.duration)  # without its argument


def test_an_error_in_somebodys_own_code_names_its_file_and_line(tmp_path, monkeypatch, capsys):
    """The innermost line of theirs: what a library makes of their values is not where to look."""
    (tmp_path / "own.py").write_text(
        "import json\n\ndef load():\n    return parse('{')\n\ndef parse(text):\n    return json.loads(text)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("own")
    assert status_of(own.load) == 2
    *trace, line = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: own.py:7: JSONDecodeError: Expecting property name enclosed in double quotes: "
    )
    assert trace[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('{"steps": 9, "prompts_per_step": 2, "scored_stesp": [2]}', "scored_ste"),
        ('{"steps": 9,', "error: --settings: not valid JSON: "),
        ("nowhere.yaml", "error: nowhere.yaml: no such file"),
        (SETTINGS, "error: nowhere.json: no such file"),
    ],
    ids=["key", "json", "study", "mixture"],
)
def test_a_script_reports_bad_input_without_a_trace(tmp_path, settings, message):
    ended = script(
        "draw_stream.py",
        *("--settings", settings, "--mixture", "nowhere.json", "--examples", "a.jsonl"),
        *("--seed", "1", "--output", str(tmp_path / "stream.jsonl")),
    )
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_script_works_from_its_settings(tmp_path, example_fields):
    rows = [json.dumps(example_fields(id=str(i), dataset="a", image="i.png")) for i in range(5)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    (tmp_path / "m.json").write_text(
        '{"name": "m", "weights": {"a": 1.0, "b": 0.0}, "strategy": "single", "round": 0}'
    )
    output = tmp_path / "streams" / "stream.jsonl"
    ended = script(
        "draw_stream.py",
        *("--settings", SETTINGS, "--mixture", str(tmp_path / "m.json")),
        *("--examples", str(tmp_path / "a.jsonl"), "--seed", "1", "--output", str(output)),
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(output.read_text().splitlines()) == 4
    assert json.loads(output.with_suffix(".summary.json").read_text())["checkpoint_steps"] == {"2": 2, "9": 2}


def test_a_full_disk_is_reported_in_a_line_and_other_failures_keep_their_trace(capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device", "results/x.jsonl")

    with pytest.raises(SystemExit) as ended:
        command_line.run(full)
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert "results/x.jsonl" in shown and "the disk is full" in shown and shown.count("\n") == 1

    with pytest.raises(OSError, match="Bad file descriptor"):
        command_line.run(functools.partial(os.close, -1))


PROCESS = """
import atexit
import torch
from modomodo import command_line
from modomodo.errors import InputError, Interrupted
atexit.register(print, "cleaned up")
def main():
    torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
    print("the last words", end="")
    ENDS
command_line.run(main)
"""


@pytest.mark.parametrize(
    ("ends", "status", "message"),
    [
        ("pass", 0, ""),
        ("raise InputError('a.jsonl:3: no box')", 2, "error: a.jsonl:3: no box\n"),
        ("raise Interrupted('run again to resume')", 143, "run again to resume\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_one_of_several_processes_exits_without_closing_their_group(ends, status, message):
    """To close it hangs now and then, and so it does when Python frees all it holds at its end."""
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS.replace("ENDS", ends)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (status, "the last words")
    assert ended.stderr.endswith(message) and ("Traceback" in ended.stderr) == (status == 1)


# --- settings -----------------------------------------------------------------------------------------------


def test_settings_from_json_and_from_a_study_are_the_same(write_study, study_data, small_study):
    expected = StreamSettings(steps=9, prompts_per_step=2, scored_steps=[2, 7, 9])
    text = StreamSettings.of(small_study).text()
    assert command_line.settings(text, StreamSettings, StreamSettings.of) == expected
    assert command_line.settings(f"\n {text}", StreamSettings, StreamSettings.of) == expected
    path = str(write_study(study_data))
    assert command_line.settings(path, StreamSettings, StreamSettings.of) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--settings: not valid JSON: .* at character 1"),
        ('{"metrics": {}} {}', "--settings: not valid JSON: .* at character 16"),
        ('{"metric": {}, "metrics": {}}', "--settings: metric: unknown key: did you mean 'metrics'?"),
        ("{}", "--settings: metrics: missing: this key is required"),
        ('{"metrics": []}', "--settings: metrics: "),
        ("[1]", r"\[1\]: no such file"),
    ],
)
def test_bad_settings_are_reported(text, message):
    with pytest.raises(InputError, match=message):
        command_line.settings(text, ScoreSettings, ScoreSettings.of)


def test_a_bad_study_is_reported_with_its_file(write_study, study_data):
    study_data["training"]["steps"] = 0
    path = write_study(study_data)
    with pytest.raises(InputError, match=rf"{path}: training\.steps: "):
        command_line.settings(str(path), StreamSettings, StreamSettings.of)


def test_settings_are_required(capsys):
    parser = command_line.parser("What it does.\n\nExample:\n    python a.py")
    command_line.add_settings(parser)
    assert "\nExample:\n    python a.py" in parser.format_help()
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([])
    assert ended.value.code == 2
    assert "--settings" in capsys.readouterr().err


# --- named paths and progress -------------------------------------------------------------------------------


def test_named_paths():
    assert command_line.named_paths(["a=x/y.jsonl", "b=c=d"], "--examples") == {
        "a": Path("x/y.jsonl"),
        "b": Path("c=d"),
    }


@pytest.mark.parametrize("pair", ["a", "=x", "a=", ""])
def test_a_path_without_a_name_is_reported(pair):
    with pytest.raises(InputError, match=f"--examples {pair}: expected NAME=PATH"):
        command_line.named_paths([pair], "--examples")


def test_progress_hands_out_every_item_and_says_so_in_plain_lines(capsys):
    assert list(console.progress(iter("abc"), "letters", total=3, every=0.0)) == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["letters: 1/3", "letters: 2/3"]


def test_progress_is_silent_about_what_is_quick(capsys):
    assert list(console.progress(range(1000), "numbers")) == list(range(1000))
    assert capsys.readouterr().err == ""


def test_a_line_of_progress_by_hand():
    # 120 in 60 s are 0.5 s each; 280 more take 140 s.
    assert console.progress_line("train", 120, 400, 60.0) == "train: 120/400, 30%, 2 min left"
    assert console.progress_line("train", 120, None, 60.0) == "train: 120"


@pytest.mark.parametrize("left", [0, 45, 12 * 60, 3 * 3600 + 20 * 60, 98 * 3600])
def test_a_line_of_progress_is_read_as_it_was_meant(left):
    line = console.progress_line("train a, b: c", 100, 400, left / 3)
    assert console.read_progress(line) == ("train a, b: c", 100, 400, left, "")
    assert console.read_progress(f"{line}, reward 2.12, KL 0.044") == (
        "train a, b: c",
        100,
        400,
        left,
        "reward 2.12, KL 0.044",
    )


def test_no_other_line_is_taken_for_progress():
    for line in (
        "",
        "train: 120",
        "error: 3/4, 75%",
        "reward 2, 3/4, 75%, some left",
        "train: 71/80, 89%, s left",
    ):
        assert console.read_progress(line) is None


# --- large imports ------------------------------------------------------------------------------------------


def test_imports_pause_the_collector_and_only_them():
    assert gc.isenabled()
    with console.imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), console.imports():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (5460, "1 h 31 min"), (200_000, "2 d 8 h")],
)
def test_durations(seconds, text):
    assert console.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(4.4e9, "4.4 GB"), (1.25e12, "1.2 TB"), (3e6, "3 MB")])
def test_sizes(count, text):
    assert console.size(count) == text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["results/own/table2.csv"],
            "results/own/table2.csv: of the study 'own', but without --configfile the study is config/tiny.yaml: "
            "write --configfile=FILE results/own/table2.csv",
        ),
        (["-n", "results/test/records.csv"], "write --configfile=config/test.yaml results/test/records.csv"),
        (["--configfile", "config/test.yaml", "config/tiny.yaml"], "2 studies after --configfile"),
        (
            ["--configfile", "config/test.yaml", "results/test/runs/all/42/run.json"],
            "write --configfile=config/test.yaml results/test/runs/all/42/run.json",
        ),
        (["--configfile=no/such.yaml"], "no/such.yaml: no such study: its folder holds no YAML file"),
    ],
)
def test_snakemake_is_told_which_study(monkeypatch, capsys, words, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        command_line.check_snakemake(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["results/tiny/records.csv", "results/table2.csv", "all"],
        ["results/test/records.csv", "--configfile", "config/test.yaml"],
        ["results/paper/records.csv", "--profile", "slurm"],
        ["-n"],
    ],
)
def test_targets_of_the_named_study_pass(monkeypatch, words):
    monkeypatch.chdir(ROOT)
    command_line.check_snakemake(words)
