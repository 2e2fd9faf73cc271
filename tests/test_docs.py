"""Every command in the README, the docs and the scripts' own examples works.

Commands are found in fenced and indented blocks and between backticks. How each is treated:

    make TARGET …              `make -n`: the target is there and its recipe expands; variables are the Makefile's
    snakemake …                run in a clean copy of the tree, as a dry run (`--unlock` as it is)
    snakemake … ../own/…       run for real by tests/test_extending.py, from the page that has it
    python scripts/X.py …      the script's `--help` knows every option (tests run the scripts with them)
    python benchmarks/X.py …   the same
    source, git clone, cd      the file or folder is there; a clone needs a network

A command of any other kind fails, so that none is skipped unnoticed; so does one whose study, script, page or target does
not exist. The README's example is run and its output compared; its table of results is compared with what was measured.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import test_workflow
from running import with_conda

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "config/README.md", *ROOT.glob("docs/**/*.md")]
)
SCRIPTS = sorted([*ROOT.glob("scripts/*.py"), *ROOT.glob("benchmarks/*.py")])
PROGRAMS = (
    "make",
    "snakemake",
    "python",
    "source",
    "git",
    "cd",
    "pip",
    "pytest",
    "sbatch",
    "docker",
    "conda",
)
SHELL = ("", "sh", "bash", "shell", "console")
PLACEHOLDER = re.compile(r"<[a-z]|…|\bX\.|\bDIR\b|\bFOLDER\b|\bFILE\b|/path/")


def blocks(text: str) -> list[str]:
    """The text of fenced blocks that a shell might run, and of indented ones."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    without = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in fenced if language in SHELL] + re.findall(
        r"^ {4}\S(?:.*\\\n)*.*$", without, re.MULTILINE
    )


def commands(text: str) -> list[str]:
    """The commands of a page, each once, without comments."""
    lines = [
        line.strip() for block in blocks(text) for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    ]
    without = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    # Between backticks a lone program name is a name: `make` and `snakemake` are talked about.
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without) if " " in span]
    found = []
    for line in lines:
        line = re.split(r"\s+#|\s{3,}(?=\S)", line.removeprefix("$ "))[0].strip()
        if line.split(" ")[0] in PROGRAMS and line not in found:
            found.append(line)
    return found


def example(path: Path) -> list[str]:
    """The commands in a script's own docstring."""
    docstring = re.search(r'^"""(.*?)"""', path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return commands(docstring[1].replace("\\\\\n", "\\\n")) if docstring else []


SHOWN = {
    **{
        (str(page.relative_to(ROOT)), command): command
        for page in PAGES
        for command in commands(page.read_text(encoding="utf-8"))
    },
    **{(path.name, command): command for path in SCRIPTS for command in example(path)},
}
SNAKEMAKE = {key: command for key, command in SHOWN.items() if command.startswith("snakemake ")}
OTHERS = {key: command for key, command in SHOWN.items() if key not in SNAKEMAKE}


def named(shown: dict) -> list:
    return [pytest.param(*key, id=f"{key[0]}: {key[1]}") for key in shown]


@functools.cache
def help_of(script: str) -> str:
    run = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_commands_are_found() -> None:
    text = "a `make plan STUDY=x`\n\n```\nmake         # builds\nsnakemake -n \\\n  all\n```\n\n    python a.py --b 1\n"
    assert commands(text) == ["make", "snakemake -n all", "python a.py --b 1", "make plan STUDY=x"]
    assert len(SHOWN) > 30


@pytest.mark.parametrize(("page", "command"), named(OTHERS))
def test_a_command(page: str, command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        check_make(words)
    elif program == "python":
        check_python(words)
    elif program == "source":
        assert words == [".venv/bin/activate"] and ".venv" in (ROOT / "envs/build.sh").read_text()
    elif program == "git":
        assert words[0] == "clone"
    elif program == "cd":
        assert words == ["MoDoMoDo-pipeline"] or (ROOT / words[0]).is_dir()
    else:
        pytest.fail(f"{page}: no treatment for `{command}`: add one")


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        variable, equals, _ = word.partition("=")
        if equals:
            assert re.search(
                rf"\$\({variable}\)|^{variable} \?=|\$\(if \$\({variable}\)", makefile, re.MULTILINE
            ), word
    targets = [word for word in words if "=" not in word]
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"
    run = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def check_python(words: list[str]) -> None:
    script = words[0]
    if PLACEHOLDER.search(script):
        assert script.startswith(("scripts/", "benchmarks/")) and words[1:] == ["--help"]
        return  # every script's --help is run by test_workflow.py
    assert (ROOT / script).is_file(), script
    printed = help_of(script)
    for word in words[1:]:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.partition('=')[0])}\b", printed), f"{script} has no {word}"
    for study in (word for word in words[1:] if word.startswith("config/")):
        assert (ROOT / study).is_file(), study


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return test_workflow.clean_copy(tmp_path_factory.mktemp("docs"))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), named(SNAKEMAKE))
def test_a_snakemake_command(copy: Path, tmp_path: Path, page: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0])[1:]
    if any(word.startswith("../own/") for word in words):
        assert page == "docs/extending.md" or command in commands((ROOT / "docs/extending.md").read_text())
        return
    if PLACEHOLDER.search(command):
        pytest.fail(f"{page}: `{command}` cannot be tried: write it out")
    dry = [] if "--unlock" in words or "--rulegraph" in words else ["-n"]
    environment = {name: value for name, value in with_conda(tmp_path).items() if name != "SNAKEMAKE_PROFILE"}
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", *words, *dry],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{page.name}: {link}: headings are {slugs}"


def test_pages_name_files_that_exist() -> None:
    """Paths of the project between backticks: a page must not outlive what it describes."""
    kinds = r"(?:modomodo|scripts|rules|tests|benchmarks|config|envs|docs|profiles|slurm)/[\w./-]+\.(?:py|smk|yaml|md|sh|lock|in|png)"
    for page in PAGES:
        for path in re.findall(rf"`({kinds})`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_make_help_lists_every_target() -> None:
    run = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    listed = re.findall(r"^make (\S+)", run.stdout, flags=re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(" ".join(phony).split())


def test_the_readmes_runs_give_the_mixtures_that_it_shows(tmp_path: Path) -> None:
    """Its CSV and its study in, and out comes what it prints, word for word."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Bring your own runs")[2]
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)[:4]
    assert [language for language, _ in fenced] == ["csv", "yaml", "", "text"]
    (_, table), (_, study), (_, shown), (_, printed) = fenced
    (tmp_path / "runs.csv").write_text(table, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(study, encoding="utf-8")
    script, *arguments = shlex.split(shown.removeprefix("python "))
    run = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == printed
    assert (tmp_path / "next/report.md").is_file()


def test_the_readmes_table_of_results_is_what_was_measured() -> None:
    """Scores are those of the figure above it, minutes those of the stages that were timed."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## ")[0]
    rows = re.findall(
        r"^\| [^|]+ \| (0\.\d{3} ± 0\.\d{3}) \| (\d+) \| ([\d.]+) \|$", section, flags=re.MULTILINE
    )
    assert len(rows) == 4
    points = pd.read_csv(ROOT / "docs/tiny_out_score.csv")
    measured = {f"{point.out_score:.3f} ± {point.se_out_score:.3f}" for point in points.itertuples()}
    assert {score for score, _, _ in rows} <= measured
    seconds = pd.read_csv(ROOT / "benchmarks/tiny_stages.csv").set_index("stage")["median_seconds"]
    run = seconds["training"] + seconds["prediction"]
    base = seconds["base model"] + seconds["prediction"]
    for _, runs, minutes in rows:
        assert minutes == f"{(int(runs) * run or base) / 60:.1f}"
