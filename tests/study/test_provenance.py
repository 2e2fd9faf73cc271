"""What a result's description says of the job that made it."""

import json
import subprocess
import sys
from pathlib import Path

from modomodo.study import provenance

ROOT = Path(__file__).parents[2]


def run(code: str, folder: Path) -> str:
    """What a Python process prints, whose package lies in a folder."""
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_importing_the_package_hashes_nothing_and_starts_no_clock():
    code = (
        "import modomodo.files as files, time\n"
        "def refuse(*_): raise AssertionError\n"
        "files.file_digest = time.monotonic = refuse\n"
        "import modomodo.study.provenance, modomodo.study.trace"
    )
    run(code, ROOT)


def test_the_code_is_that_of_the_start_whatever_is_edited_since(tmp_path):
    package = tmp_path / "modomodo"
    for name in ("__init__", "study/__init__", "study/provenance", "files", "errors"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_bytes((ROOT / f"modomodo/{name}.py").read_bytes())
    for name in ("__init__", "schema"):
        (package / "config").mkdir(exist_ok=True)
        (package / f"config/{name}.py").write_text("Settings = object\n")
    edit = "open('modomodo/errors.py', 'a').write('# edited meanwhile')\n"
    code = "from modomodo.study.provenance import provenance, start\n"
    before = run(code + "start(); " + edit + "print(provenance()['code'])", tmp_path)
    after = run(code + "print(provenance()['code'])", tmp_path)
    assert len(before) == 12 and before != after
    (package / "errors.py").write_bytes((ROOT / "modomodo/errors.py").read_bytes())
    assert run(code + "print(provenance()['code'])", tmp_path) == before


def test_a_script_starts_before_its_main(tmp_path):
    code = (
        "from modomodo import command_line\n"
        "from modomodo.study.provenance import start\n"
        "command_line.run(lambda: print(start.cache_info().currsize))"
    )
    assert run(code, ROOT) == "1"


def test_seconds_are_those_since_the_start(monkeypatch):
    started = provenance.start()
    monkeypatch.setattr(provenance.time, "monotonic", lambda: started.clock + 2.5)
    assert provenance.start().seconds == 2.5


def test_parts_answered_again_replace_their_earlier_entries(tmp_path, small_study):
    from modomodo.evaluation.settings import PredictSettings

    path, settings = tmp_path / "run.json", PredictSettings.of(small_study)
    provenance.describe_part(path, settings, ["2/chart", "9/chart"], [])
    provenance.describe_part(path, settings, ["9/chart"], [])
    parts = json.loads(path.read_text())["parts"]
    assert [part["answered"] for part in parts] == [["2/chart"], ["9/chart"]]
