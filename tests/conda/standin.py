"""What Snakemake 9 calls `conda` for, by py-rattler's solver and installer. Conda itself is in no package index.

CONDA_CHANNEL_ALIAS says where a channel's name is looked for, as to conda.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import rattler
import yaml

HOME = Path(os.environ["STANDIN_HOME"])
PLATFORMS = [rattler.Subdir("linux-64"), rattler.Subdir("noarch")]


def main() -> None:
    match [word for word in sys.argv[1:] if not word.startswith("-")]:
        case []:
            print("conda 26.7.1")  # --version
        case ["info"]:
            print(json.dumps({"conda_prefix": str(HOME), "platform": "linux-64"}))
        case ["config", *_]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["env", "create", *_] | ["create", *_]:
            parser = argparse.ArgumentParser()
            for option in ("--file", "--prefix"):
                parser.add_argument(option, type=Path, required=True)
            wanted, _ = parser.parse_known_args()
            create = from_yaml if wanted.file.suffix == ".yaml" else from_pins
            create(wanted.file, wanted.prefix)
        case ["clean"]:
            pass  # of downloads, which pkgs/ keeps for the next environment
        case other:
            sys.exit(f"conda: not known here: {' '.join(other)}")


def from_yaml(file: Path, prefix: Path) -> None:
    """`conda env create`: solved, then pip's part."""
    wanted = yaml.safe_load(file.read_text())
    names = [name for name in wanted["channels"] if name != "nodefaults"]
    specs = [entry for entry in wanted["dependencies"] if isinstance(entry, str)]
    solved = rattler.solve(
        sources=[f"{os.environ['CONDA_CHANNEL_ALIAS']}/{name}" for name in names],
        specs=specs,
        platforms=PLATFORMS,
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    install(asyncio.run(solved), prefix)
    for part in wanted["dependencies"]:
        if isinstance(part, dict):
            listed = prefix.with_suffix(".requirements.txt")
            listed.write_text("\n".join(part["pip"]) + "\n")
            pip = [prefix / "bin/python", "-m", "pip", "install", "-q", "-U", "-r", listed]
            subprocess.run(pip, check=True)


def from_pins(file: Path, prefix: Path) -> None:
    """`conda create --file`: these files and no other, each with the MD5 that is named."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines.pop(0) == "@EXPLICIT"
    pinned = dict(line.split("#") for line in lines)
    channels = {re.sub(r"/(linux-64|noarch)/[^/]+$", "", address) for address in pinned}
    names = [address.rsplit("/", 1)[1].rsplit("-", 2)[0] for address in pinned]
    found = rattler.Gateway().query(channels, PLATFORMS, names, recursive=False)

    async def records() -> list[rattler.RepoDataRecord]:
        return [record for channel in await found for record in channel if record.url in pinned]

    known = asyncio.run(records())
    for record in known:
        if (record.md5 or b"").hex() != pinned[record.url]:
            sys.exit(f"conda: {record.url}: its MD5 is not the one that is pinned")
    if len(known) < len(pinned):
        sys.exit(f"conda: not found: {pinned.keys() - {record.url for record in known}}")
    install(known, prefix)


def install(records: list[rattler.RepoDataRecord], prefix: Path) -> None:
    asyncio.run(rattler.install(records, prefix, cache_dir=HOME / "pkgs", show_progress=False))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # py-rattler 0.28 was seen to crash at the end of Python
