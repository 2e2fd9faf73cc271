"""What a program inherits from whoever started it changes neither whether it works nor what it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modomodo import environment

ROOT = Path(__file__).parent.parent
USERS = {
    "CUDA_VISIBLE_DEVICES": "3",
    "HF_HOME": "/models",
    "HF_HUB_OFFLINE": "1",
    "HTTPS_PROXY": "proxy:3128",
    "NCCL_SOCKET_IFNAME": "ib0",
    "SLURM_JOB_ID": "7",
    "PYTHONPATH": "/plugins",
    "PYTHONUNBUFFERED": "1",
    "TRANSFORMERS_VERBOSITY": "debug",
    "TMPDIR": "/scratch/7",
    "PATH": "/usr/bin",
}


def cleaned(**variables: str) -> dict[str, str]:
    environment.clean(variables)
    return variables


@pytest.mark.parametrize(
    "name",
    [
        *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR"),
        *(
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "PMI_SIZE",
            "MV2_COMM_WORLD_RANK",
            "PALS_RANKID",
        ),
        *("TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP", "ACCELERATE_MIXED_PRECISION", "FSDP_VERSION"),
        *(
            "PYTHONHOME",
            "PYTHONOPTIMIZE",
            "PYTHONSTARTUP",
            "PYTHONINSPECT",
            "PYTHONWARNINGS",
            "PYTHONIOENCODING",
        ),
        *("PYTHONHASHSEED", "OMP_DYNAMIC", "OMP_THREAD_LIMIT"),
    ],
)
def test_what_another_program_left_is_removed(name):
    assert name not in cleaned(**{name: "1"})


def test_what_is_the_users_stays():
    assert cleaned(**USERS).items() >= USERS.items()


def test_ranks_that_this_project_gave_its_trainers_stay():
    ranks = {environment.SERVER_URL: "", "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    assert cleaned(**ranks).items() >= ranks.items()


@pytest.mark.parametrize(("length", "kept"), [(66, True), (67, False)])
def test_a_temporary_folder_too_deep_for_sockets_is_not_used(length, kept):
    # 107 bytes, less `/pymp-12345678/listener-12345678` (32) or `/` and the 36 of a UUID, and a few to spare.
    folder = "/" + "d" * (length - 1)
    assert ("TMPDIR" in cleaned(TMPDIR=folder)) == kept
    assert "TMPDIR" not in cleaned(TMPDIR="/" + "ü" * 40), "bytes count, not characters"


@pytest.mark.parametrize("before", [None, "/elsewhere"])
def test_jobs_find_this_python_and_the_package_first(monkeypatch, before):
    monkeypatch.setenv("PATH", "/usr/bin")
    if before is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", before)
    monkeypatch.setenv("WORLD_SIZE", "2")
    environment.prepare_jobs("/project")
    assert os.environ["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert os.environ["PYTHONPATH"] == ("/project" if before is None else "/project:/elsewhere")
    assert "WORLD_SIZE" not in os.environ


def test_a_script_prints_any_text_where_the_output_is_ascii():
    """In a terminal without UTF-8 a message must not become an error of its own."""
    program = "from modomodo import command_line\ncommand_line.run(lambda: print('0.5 ± 0.1'))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"0.5 \\xb1 0.1\n", b"")


def test_a_script_is_called_by_its_full_path_whatever_is_in_it():
    """Snakemake fills in what is in braces."""
    text = environment.script_command(Path("/a b/{c}"), "train.py --output {output}", before="trap '' TERM; ")
    assert text.format(output="x") == (
        "trap '' TERM; PYTHONPATH='/a b'${PYTHONPATH:+:$PYTHONPATH} python '/a b/{c}'/train.py --output x"
    )


@pytest.mark.parametrize("before", [None, "/plugins"])
def test_a_script_finds_the_package_beside_it_where_none_is_installed(tmp_path: Path, before: str | None):
    """In a conda environment of several clones: no PYTHONPATH, and no `modomodo`, or that of another clone."""
    root = tmp_path / "a {clone}"
    (root / "scripts").mkdir(parents=True)
    (root / "modomodo").mkdir()
    (root / "modomodo/__init__.py").write_text("OF = 'this clone'\n")
    (root / "scripts/job.py").write_text(
        "import modomodo, os; print(modomodo.OF, os.environ['PYTHONPATH'].split(':')[1:])\n"
    )
    command = environment.script_command(root / "scripts", "job.py {params}").format(params="")
    variables = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    if before:
        variables["PYTHONPATH"] = before
    job = subprocess.run(["bash", "-euc", command], env=variables, capture_output=True, text=True, check=True)
    assert job.stdout == f"this clone {[before] if before else []}\n"
