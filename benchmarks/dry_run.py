"""Time a dry run against a bare Snakefile with as many jobs: what reading and planning the study costs.

Example:
    python benchmarks/dry_run.py                     the paper's study, and one with 10,000 runs
    python benchmarks/dry_run.py --runs 1000         another size
    python benchmarks/dry_run.py --profile 1000      where the time of a study of 1,000 runs goes

The large study is config/test.yaml with strategies of 100 mixtures each. The bare Snakefile has a rule for each stage
of a run (mixture, stream, training, prediction, score), as many jobs, and inputs and commands of one word. Printed are
the CPU seconds of `snakemake -n` in a folder without results, of both workflows one after the other.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from modomodo import command_line

ROOT = Path(__file__).parent.parent
BARE = """
RUNS = range({runs})

rule all:
    input:
        "records.csv",

rule records:
    input:
        [f"scores/{{run}}.json" for run in RUNS],
    output:
        "records.csv",
    shell:
        "touch {{output}}"

"""
STAGES = [("streams", "mixtures"), ("runs", "streams"), ("predictions", "runs"), ("scores", "predictions")]
RULE = """
rule {stage}:
    input:
        "{before}/{{run}}.json",
    output:
        "{stage}/{{run}}.json",
    shell:
        "touch {{output}}"
"""
FIRST = """
rule mixtures:
    output:
        "mixtures/{run}.json",
    shell:
        "touch {output}"
"""


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the large study (10000)")
    parser.add_argument("--profile", type=int, metavar="RUNS", help="profile a study of so many runs instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.profile:
            large = large_study(folder, arguments.profile)
            profile = ["-m", "cProfile", "-s", "cumulative", "-m", "snakemake"]
            shown = run([*profile, *dry_run(folder, large)])[0]
            print("\n".join(shown[shown.index(" function calls") :].splitlines()[:70]))
            return
        for label, config in (
            ("the paper's study", ROOT / "config/paper.yaml"),
            (f"{arguments.runs:,} runs", large_study(folder, arguments.runs)),
        ):
            shown, seconds = run(["-m", "snakemake", *dry_run(folder, config)])
            jobs = jobs_in(shown)
            bare = bare_workflow(folder, jobs)
            bare_shown, bare_seconds = run(["-m", "snakemake", "-n", "-q", "rules", "-s", bare, "-d", folder])
            print(
                f"{label}: {jobs:,} jobs in {seconds:.1f} s; bare, {jobs_in(bare_shown):,} jobs in "
                f"{bare_seconds:.1f} s: {seconds / bare_seconds:.1f} times",
                flush=True,
            )


def large_study(folder: Path, runs: int) -> Path:
    """The seed strategy of config/test.yaml, and strategies of up to 100 mixtures each that learn from it."""
    study = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    study |= {"name": "large", "held_out": {}}
    study["strategies"] = {"single": study["strategies"]["single"]} | {
        f"m{number}": {
            "propose": "quadratic_surface",
            "group": "model",
            "count": min(100, runs - 100 * number),
            "learns_from": ["seed"],
        }
        for number in range(-(-runs // 100))
    }
    path = folder / f"large-{runs}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def bare_workflow(folder: Path, jobs: int) -> Path:
    """Five rules per run, one for the records, and `all`: as many jobs, rounded up to complete runs."""
    path = folder / "Snakefile"
    rules = [RULE.format(stage=stage, before=before) for stage, before in STAGES]
    path.write_text(BARE.format(runs=-(-(jobs - 2) // 5)) + FIRST + "".join(rules), encoding="utf-8")
    return path


def dry_run(folder: Path, config: Path) -> list[str | Path]:
    return ["-n", "-q", "rules", "-s", ROOT / "Snakefile", "-d", folder, "--configfile", config]


def run(arguments: list[str | Path]) -> tuple[str, float]:
    """The output of a command of this Python, and its CPU seconds. Exits with the output if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def jobs_in(shown: str) -> int:
    """The total in Snakemake's table of jobs."""
    return next(int(line.split()[1]) for line in shown.splitlines() if line.startswith("total "))


if __name__ == "__main__":
    command_line.run(main)
