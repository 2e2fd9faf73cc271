"""lmms-eval's own environment next to the ordinary one, and which lmms-eval lies there."""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from modomodo.errors import InputError

RELEASE = "0.7.3"  # as envs/lmms.in pins it; another one may ask or score otherwise
VERSION = 1  # of evaluation/lmms_scores.py; raise when the same answers would score differently
ENVIRONMENT = Path(__file__).parents[3] / ".venv-lmms"  # made by envs/lmms.sh
INSTALL = "make lmms installs it (docs/lmms.md)"


def lmms_eval_folder() -> Path | None:
    """The folder of the package lmms_eval, of this environment or of the one beside it; None where there is none."""
    here = importlib.util.find_spec("lmms_eval")
    if here is not None and here.submodule_search_locations:
        return Path(next(iter(here.submodule_search_locations)))
    if not (ENVIRONMENT / "finished").is_file():
        return None
    return next(ENVIRONMENT.glob("lib/python*/site-packages/lmms_eval"), None)


def installed() -> Path:
    """That folder. Raises InputError where there is none, or lmms-eval is of another version."""
    folder = lmms_eval_folder()
    if folder is None:
        raise InputError(f"lmms-eval is not installed: {INSTALL}")
    found = next(iter(importlib.metadata.distributions(name="lmms_eval", path=[str(folder.parent)])), None)
    version = found.version if found else "of an unknown version"
    if version != RELEASE:
        raise InputError(f"lmms-eval {version} is installed, {RELEASE} wanted: {INSTALL}")
    return folder


def enter_lmms_environment() -> None:
    """Start this program again in the environment of `make lmms`, where that has lmms-eval and this one has not.

    Raises InputError as `installed` does.
    """
    installed()
    if importlib.util.find_spec("lmms_eval") is None:
        os.environ.setdefault("TQDM_DISABLE", "1")  # its bars, which in a log are one endless line
        python = ENVIRONMENT / "bin/python"
        os.execv(python, [str(python), *sys.argv])
