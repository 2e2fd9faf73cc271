"""What conda takes, from requirements.in. Part of `make lock`; needs conda-forge for the pins.

cpu.yaml gpu.yaml                       Python and pip, which conda installs
cpu.post-deploy.sh gpu.post-deploy.sh   everything else, which pip installs there, from hashes
image/cpu.yaml image/gpu.yaml           all in one file: in an image Snakemake runs no script
cpu.linux-64.pin.txt …                  Python, pip and what they need: the exact files of conda-forge

python envs/lock_conda.py               the pins alone: where the rest was written without conda-forge
CONDA_CHANNEL_ALIAS=https://…           where conda-forge is looked for, if not at https://conda.anaconda.org
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.markers import Marker
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

HERE = Path(__file__).parent
PYTHON = "3.11"
FIRST = ["flit-core", "setuptools"]  # with them pip builds what has no wheel
PYTORCH_CPU = "https://download.pytorch.org/whl/cpu"
CONDA = "https://conda.anaconda.org"
LINUX, MACOS = re.compile(r"any$|(many)?linux\w*_x86_64$"), re.compile(r"any$|macosx\w*_(arm64|universal2)$")
MACHINES = [
    {"python_full_version": f"{PYTHON}.0", "sys_platform": "linux", "platform_machine": "x86_64"},
    {"python_full_version": f"{PYTHON}.0", "sys_platform": "darwin", "platform_machine": "arm64"},
]
# conda's platform → its files, and the oldest system that the wheels of the locks admit.
PLATFORMS = {
    "linux-64": (["cpu", "gpu"], {"__unix": "0", "__linux": "5.4", "__glibc": "2.28"}),
    "osx-arm64": (["cpu"], {"__unix": "0", "__osx": "14.0"}),
}

Requirements = dict[str, list[str]]  # package → its requirements, with hashes, as pip reads them

HEAD = "# Written by `make lock` from requirements.in: edit that.\n"
SCRIPT = """\
#!/bin/sh
{head}# What the conda environment has besides Python. Snakemake runs this once, in the environment that it has made.
# By hand: conda activate it, then sh this file.
set -eu
export PYTHONNOUSERSITE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONHOME PYTHONPATH PIP_PREFIX PIP_TARGET PIP_USER
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

die() {{
    printf 'conda: %s\\n' "$*" >&2
    exit 1
}}

# Exact files and nothing else, as envs/build.sh does.
pip() {{ python -m pip install -q --no-deps --no-build-isolation --require-hashes "$@" 2>"$folder/errors"; }}

install() {{
    if pip "$@"; then return; fi
    cat "$folder/errors" >&2
    case $(cat "$folder/errors") in
    *"No space left"* | *"Disk quota"*)
        die "the disk or quota is full: free some, or name a larger disk (--conda-prefix, PIP_CACHE_DIR, TMPDIR)" ;;
    *"DO NOT MATCH THE HASHES"*)
        die "a package is not the one that was locked: clear pip's cache, or ask whoever runs your index" ;;
    *"after connection broken"* | *ConnectionError* | *ProxyError* | *"timed out"*)
        die "the package index was not reached: fix the network or proxy, or set PIP_INDEX_URL or PIP_FIND_LINKS" ;;
    *"No matching distribution"*)
        die "the index was not reached, or lacks a package: fix PIP_INDEX_URL, or put it into PIP_FIND_LINKS" ;;
    esac
    die "pip failed (see above)"
}}

case $(uname -sm) in
{systems}) ;;
*) die "{kind}.yaml is for {names}, this is $(uname -sm): use make env" ;;
esac
cat >"$folder/first" <<'END'
{first}
END
cat >"$folder/torch" <<'END'
{torch}
END
cat >"$folder/rest" <<'END'
{rest}
END

install -r "$folder/first"
{install_torch}
install -r "$folder/rest"
python -m pip check >"$folder/errors" 2>&1 || die "packages do not fit together: $(head -n 1 "$folder/errors")"
"""
# Only torch's CPU build is not in the package index: no other package is asked for elsewhere.
INSTALL_TORCH = {
    "gpu": 'install -r "$folder/torch"',
    "cpu": f"""\
if ! pip --no-index -r "$folder/torch"; then
    if ! pip --extra-index-url {PYTORCH_CPU} -r "$folder/torch"; then
        cat "$folder/errors" >&2
        die "torch's build for CPUs is neither in PIP_FIND_LINKS nor at {PYTORCH_CPU}: put the wheel that \
envs/torch-cpu.sha256 names into a folder, and that folder's name into PIP_FIND_LINKS"
    fi
fi""",
}
SYSTEMS = {
    "cpu": ('"Linux x86_64" | "Darwin arm64"', "Linux on x86_64 and Macs with Apple silicon"),
    "gpu": ('"Linux x86_64"', "Linux on x86_64"),
}


def write_conda(
    kind: str, requirements: Requirements, cpu_builds: Mapping[str, str], packages: list[Any]
) -> None:
    """The files of one kind. A script and not a YAML file has the hashes, for three reasons.

    Beside a pin file Snakemake 9 leaves out the YAML file's pip section. Snakemake 10's conda plugin (0.8.4) takes the
    spaces out of its lines, which parts no requirement from its hash. And an index that is named there is asked for
    every package. The script holds what it installs, and no path of a clone: clones may share the environment.

    Snakemake keeps these files with every output, so they have only the hashes that can matter.
    """
    useful = useful_hashes(kind, packages) | (cpu_builds.keys() if kind == "cpu" else set())
    lines = {
        name: [short for long in versions if (short := with_hashes(long, useful))]
        for name, versions in requirements.items()
    }
    channels = [
        "channels: [conda-forge, nodefaults]",
        "dependencies:",
        f"  - python={PYTHON}",
        "  - " + requirements["pip"][0].split()[0].replace("==", "="),
    ]
    yaml = "\n".join([f"name: modomodo-{kind}", *channels])
    (HERE / f"{kind}.yaml").write_text(f"{HEAD}{yaml}\n")
    rest = sorted(lines.keys() - {"pip", "torch", *FIRST})
    systems, names = SYSTEMS[kind]
    script = SCRIPT.format(
        head=HEAD,
        kind=kind,
        systems=systems,
        names=names,
        install_torch=INSTALL_TORCH[kind],
        **{
            part: in_shell(lines, names)
            for part, names in (("first", FIRST), ("torch", ["torch"]), ("rest", rest))
        },
    )
    (HERE / f"{kind}.post-deploy.sh").write_text(script)
    inside = [
        line for name in sorted(lines.keys() - {"pip"}) for line in in_image(kind, lines[name], cpu_builds)
    ]
    (HERE / "image").mkdir(exist_ok=True)
    (HERE / f"image/{kind}.yaml").write_text("\n".join([f"{HEAD}{yaml}", "  - pip:", *inside]) + "\n")


def with_hashes(requirement: str, useful: Iterable[str]) -> str | None:
    """A requirement with those of its hashes, one a line; None where it has none of them."""
    found = [digest for digest in re.findall(r"--hash=sha256:(\w+)", requirement) if digest in useful]
    pin = requirement.split(" \\\n")[0]
    return "\n".join([pin, *(f"--hash=sha256:{digest}" for digest in found)]) if found else None


def in_shell(lines: Requirements, names: Iterable[str]) -> str:
    return "\n".join(line.replace("\n", " \\\n    ") for name in names for line in lines[name])


def in_image(kind: str, lines: list[str], cpu_builds: Mapping[str, str]) -> list[str]:
    """A package in a YAML file. torch's CPU build is named by its address, so that no other is looked for there."""
    if kind == "cpu" and "".join(lines).startswith("torch=="):
        pin, *digests = lines[0].split("\n")
        index = [line for line in digests if line.removeprefix("--hash=sha256:") not in cpu_builds]
        lines = [
            f"torch @ {PYTORCH_CPU}/{quote(file)} ; sys_platform == 'linux'\n--hash=sha256:{digest}"
            for digest, file in cpu_builds.items()
        ]
        lines.append("\n".join([f"{pin} ; sys_platform == 'darwin'", *index]))
    return ["      - " + line.replace("\n", "\n        ") for line in lines]


def useful_hashes(kind: str, packages: list[Any]) -> set[str]:
    """Hashes of the wheels for conda's Python on Linux or a Mac; of the source where there is no wheel at all."""
    hashes = set()
    for package in packages:
        if "marker" in package and not any(
            Marker(package["marker"]).evaluate(machine) for machine in MACHINES
        ):
            continue
        wheels = {
            wheel["url"].rsplit("/", 1)[1]: wheel["hashes"]["sha256"] for wheel in package.get("wheels", [])
        }
        if not wheels:
            hashes.add(package["sdist"]["hashes"]["sha256"])
        platforms = [LINUX] if kind == "gpu" else [MACOS] if package["name"] == "torch" else [LINUX, MACOS]
        for wheel, digest in wheels.items():
            tags = [tag for tag in parse_wheel_filename(wheel)[3] if runs(tag)]
            if any(platform.match(tag.platform) for platform in platforms for tag in tags):
                hashes.add(digest)
    return hashes


def runs(tag: Tag) -> bool:
    """Whether conda's Python can load it."""
    ours, python = int(PYTHON.split(".")[1]), re.fullmatch(r"cp3(\d+)", tag.interpreter)
    if python:
        return (
            tag.abi in {f"cp3{ours}", "none"}
            if int(python[1]) == ours
            else int(python[1]) < ours and tag.abi == "abi3"
        )
    return tag.interpreter in {"py3", f"py3{ours}"}


def write_pins() -> None:
    """The pin files, for each platform that the channel has; says which are missing or stay as they were."""
    from rattler.exceptions import GatewayError, SolverError

    channel = f"{os.environ.get('CONDA_CHANNEL_ALIAS', CONDA).rstrip('/')}/conda-forge"
    for platform, (kinds, system) in PLATFORMS.items():
        files = [HERE / f"{kind}.{platform}.pin.txt" for kind in kinds]
        try:
            addresses = asyncio.run(exact_files(channel, platform, system))
        except (GatewayError, SolverError) as error:
            state = (
                "kept" if files[0].exists() else "missing, so that Python's patch and build are not pinned"
            )
            names = " ".join(file.name for file in files)
            print(f"lock: {channel}: {str(error).splitlines()[0]}: {state}: {names}", file=sys.stderr)
            continue
        for file in files:
            file.write_text("\n".join([HEAD.rstrip(), "@EXPLICIT", *addresses]) + "\n")


async def exact_files(channel: str, platform: str, system: Mapping[str, str]) -> list[str]:
    """Addresses, with MD5 as `conda list --explicit --md5` has it, of what the conda part of the YAML files needs."""
    import rattler

    wanted = re.findall(r"^  - (\w+=[\w.]+)$", (HERE / "cpu.yaml").read_text(), flags=re.MULTILINE)
    records = await rattler.solve(
        sources=[channel],
        specs=wanted,
        platforms=[rattler.Subdir(platform), rattler.Subdir("noarch")],
        virtual_packages=[
            rattler.GenericVirtualPackage(
                rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0")
            )
            for name, version in system.items()
        ],
    )
    found = {record.name.normalized: record for record in records}
    ordered = rattler.PackageRecord.sort_topologically([*records])
    files = [found[record.name.normalized] for record in ordered]
    return [f"{record.url}#{(record.md5 or b'').hex()}" for record in files]


if __name__ == "__main__":
    write_pins()
    sys.stderr.flush()
    os._exit(0)  # py-rattler 0.28 was seen to crash while Python ends
