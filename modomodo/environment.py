"""What a program inherits from whoever started it: made the same for all, here and nowhere else.

Shells, notebooks, containers, schedulers and other launchers leave variables that libraries obey: ranks, a backend for
figures, limits of threads, switches of Python. What would change a result or stop a job is removed. What the user
decides stays: CUDA_VISIBLE_DEVICES, HF_*, NCCL_*, proxies, SLURM_*, PYTHONPATH.
"""

import importlib.util
import os
import re
import shlex
import sys
import warnings
from collections.abc import MutableMapping
from io import TextIOWrapper
from pathlib import Path

# In the environment of a trainer that this project started, as one of several: where its vLLM server answers, empty
# without one. Its ranks are its own.
SERVER_URL = "MODOMODO_VLLM_SERVER"

# In the environment of whoever starts Snakemake: the image that jobs run in.
IMAGE = "MODOMODO_IMAGE"

# By which torch, accelerate and MPI tell a process that it is one of several, and accelerate how it is to train.
RANKS = re.compile(
    r"(LOCAL_|NODE_|GROUP_|ROLE_)?(RANK|WORLD_SIZE)|LOCAL_SIZE|MASTER_(ADDR|PORT)|ROLE_NAME|TORCHELASTIC_\w+"
    r"|(OMPI|PMI|PMIX|PALS|MV2|MPI)_\w+|(ACCELERATE|FSDP|DEEPSPEED|PARALLELISM_CONFIG)_\w+"
)
# What jobs are not to inherit: see the names in `python --help-env`. PYTHONPATH may hold the user's plugins.
PYTHON = re.compile(r"PYTHON(?!PATH$|PYCACHEPREFIX$|DONTWRITEBYTECODE$|UNBUFFERED$|FAULTHANDLER$)\w*")
# Fewer threads than a study gives would sum in another order.
THREADS = re.compile(r"OMP_(DYNAMIC|THREAD_LIMIT|NESTED|MAX_ACTIVE_LEVELS)")

# The path of a Unix socket has at most 107 bytes (103 on macOS); multiprocessing and vLLM add up to 37 to TMPDIR.
LONGEST_TEMPORARY = 66

SET = {
    # A job's files and log are UTF-8 under any locale, and no package comes from the home of whoever runs it.
    "PYTHONUTF8": "1",
    "PYTHONNOUSERSITE": "1",
    # Figures are files, with the look that this project gives them.
    "MPLBACKEND": "Agg",
    "MATPLOTLIBRC": os.devnull,
}
DEFAULTS = {
    # OpenMP threads that spin while waiting make two processes on two cores ten times slower.
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


def clean(environment: MutableMapping[str, str]) -> None:
    """Remove what another program left in the environment that would change a result or stop a job."""
    ours = SERVER_URL in environment
    for name in list(environment):
        if PYTHON.fullmatch(name) or THREADS.fullmatch(name) or (RANKS.fullmatch(name) and not ours):
            del environment[name]
    for name in ("TMPDIR", "TEMP", "TMP"):
        if len(os.fsencode(environment.get(name, ""))) > LONGEST_TEMPORARY:
            del environment[name]  # Python then takes /tmp
    environment.update(SET)
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)


def prepare() -> None:
    """The environment, output and warnings of this program, before it imports the libraries that read them."""
    clean(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # in a test it may be anything
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a character of a message
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a bar in a log is one endless line
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers(\..*)?")


def hide_failing_torchvision() -> None:
    """Let transformers, before it is imported, find no torchvision where there is one that does not import.

    Beside a build of torch that it is not for, torchvision may be there and fail ("operator torchvision::nms does not
    exist"), and all of transformers' processors with it. They need none.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # by which an import of it fails at once


def prepare_jobs(root: str | Path) -> None:
    """The environment of the processes started from this one: cleaned, with its interpreter and the package in `root`.

    They find the interpreter as `python`, also where this environment was not activated.
    """
    clean(os.environ)
    for name, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", root)):
        os.environ[name] = os.pathsep.join(filter(None, [str(first), os.environ.get(name)]))


def script_command(scripts: Path, words: str, before: str = "") -> str:
    """A job's command, for Snakemake to fill in: a script of the folder `scripts` with its arguments.

    By its full path, since Snakemake may work in another folder than the project's (-d). It finds the package beside
    the scripts: Snakemake takes PYTHONPATH from a job in a conda environment, and several clones may share one.
    """
    folder, root = (
        shlex.quote(str(path)).replace("{", "{{").replace("}", "}}") for path in (scripts, scripts.parent)
    )
    return f"{before}PYTHONPATH={root}${{{{PYTHONPATH:+:$PYTHONPATH}}}} python {folder}/{words}"


def conda_file(gpus: int = 0) -> str:
    """The conda environment, relative to the rules' folder, of a job with this many GPUs.

    For an image it is the file that lists everything: Snakemake runs no post-deploy script there.
    """
    image = IMAGE in os.environ or any(word.startswith("--containeri") for word in sys.argv)
    return f"../envs/{'image/' if image else ''}{'gpu' if gpus else 'cpu'}.yaml"
