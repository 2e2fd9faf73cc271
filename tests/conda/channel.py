"""A conda channel on disk: the Python of this machine, and pip from the index."""

import asyncio
import configparser
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rattler.index

LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "site-packages", "__pycache__", "idlelib", "turtledemo", "ensurepip", "*.a"
)
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_channel(folder: Path, work: Path, pip: str) -> None:
    """A channel with Python and this version of pip."""
    add_python(folder, work / "python")
    add_wheel(folder, work / "pip", f"pip=={pip}", ["python >=3.10"])
    asyncio.run(rattler.index.index_fs(folder))


def add_python(channel: Path, stage: Path) -> None:
    """The interpreter and its library; a shared libpython stays where this machine has it."""
    base, library = Path(sys.base_prefix), f"lib/python{VERSION}"
    shutil.copytree(base / library, stage / library, symlinks=True, ignore=LEFT_OUT)
    (stage / library / "site-packages").mkdir()
    (stage / library / "site-packages/README.txt").touch()  # an empty folder is not packed
    (stage / "bin").mkdir()
    shutil.copy(base / f"bin/python{VERSION}", stage / "bin")
    for name in ("python3", "python"):
        (stage / "bin" / name).symlink_to(f"python{VERSION}")
    version = ".".join(map(str, sys.version_info[:3]))
    about = {"python_site_packages_path": f"{library}/site-packages"}
    pack(channel, stage, record("python", version, "h0_0_cpython", "linux-64") | about)


def add_wheel(channel: Path, work: Path, requirement: str, depends: list[str]) -> None:
    """A wheel of pure Python, as conda-forge packs one: what it calls `noarch: python`."""
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(work), requirement]
    subprocess.run(pip, check=True)
    [wheel] = work.glob("*.whl")
    site = work / "stage/site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    [entries] = site.glob("*.dist-info/entry_points.txt")
    scripts = configparser.ConfigParser(delimiters="=")
    scripts.read(entries)
    noarch = {"type": "python", "entry_points": [f"{k} = {v}" for k, v in scripts["console_scripts"].items()]}
    name, version = wheel.name.split("-")[:2]
    about = record(name, version, "pyh0_0", "noarch", depends) | {"noarch": "python"}
    pack(channel, work / "stage", about, link={"noarch": noarch, "package_metadata_version": 1})


def record(
    name: str, version: str, build: str, subdir: str, depends: list[str] | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": depends or [],
        "subdir": subdir,
    }


def pack(channel: Path, stage: Path, index: Mapping[str, Any], link: Mapping[str, Any] | None = None) -> None:
    """A folder → a package of the channel, with the files that describe it."""
    files = [path for path in sorted(stage.rglob("*")) if path.is_symlink() or path.is_file()]
    paths = [
        {
            "_path": path.relative_to(stage).as_posix(),
            "path_type": "softlink" if path.is_symlink() else "hardlink",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_in_bytes": path.stat().st_size,
        }
        for path in files
    ]
    about: dict[str, Any] = {"index": index, "paths": {"paths": paths, "paths_version": 1}}
    if link:
        about["link"] = link
    (stage / "info").mkdir()
    for name, value in about.items():
        (stage / f"info/{name}.json").write_text(json.dumps(value))
    name = "{name}-{version}-{build}.tar.bz2".format(**index)
    (channel / index["subdir"]).mkdir(parents=True, exist_ok=True)
    with tarfile.open(channel / index["subdir"] / name, "w:bz2", compresslevel=1) as tar:
        for part in (stage / "info", *(path for path in sorted(stage.iterdir()) if path.name != "info")):
            tar.add(part, part.name)
