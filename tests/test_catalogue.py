"""What the Snakemake workflow catalogue asks of a workflow to list it under standardised usage."""

import re
from pathlib import Path

import pytest
import yaml
from running import ROOT, clean_copy, snakemake, succeed

FROM_ROOT = "Snakefile"
LISTED = "workflow/Snakefile"


def test_what_the_catalogue_reads() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["software-stack-deployment"]) == {"conda", "apptainer", "apptainer+conda", "report"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "config/README.md").is_file()


def planned(folder: Path, snakefile: str, study: str) -> list[str]:
    run = succeed(snakemake(folder, "-n", "--snakefile", snakefile, "--configfile", study))
    return re.findall(r"^(\w+ +\d+)$", run.stdout + run.stderr, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_listed_workflow_is_the_one_in_the_root(tmp_path: Path) -> None:
    folder = clean_copy(tmp_path)
    for study in ("config/test.yaml", "config/replay.yaml"):
        jobs = planned(folder, FROM_ROOT, study)
        assert "all" in {job.split()[0] for job in jobs} and planned(folder, LISTED, study) == jobs
    # A job finds scripts and package from there, too.
    succeed(snakemake(folder, "--snakefile", LISTED, "--configfile=config/replay.yaml", "results/table2.csv"))
    assert (folder / "results/table2.csv").is_file()
