# The study and its static plan, which every rule file reads.

import os
import sys
from pathlib import Path

from modomodo.datasets.published import catalogue
from modomodo.downloads import MANIFEST, folder_of
from modomodo.errors import InputError
from modomodo.files import code_digest
from modomodo.plan import plan
from modomodo.study import study_from

# Jobs call `python`: the one that runs Snakemake, also where its environment was not activated, and find
# the package also in an environment that it is not installed in.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join([str(workflow.basedir), os.environ.get("PYTHONPATH", "")]).rstrip(
    os.pathsep
)

try:
    STUDY = study_from(config, " + ".join(map(str, workflow.configfiles)) or "config")
    PLAN = plan(STUDY)
except InputError as error:
    sys.exit(f"error: {error}")


wildcard_constraints:
    dataset=r"[^/]+",
    raw=r"[^/]+/[^/]+",
    mixture=r"[^/]+",
    seed=r"\d+",


DATASETS = {**STUDY.domains, **STUDY.benchmarks}


def raw_folder(dataset):
    """Where the raw files of a published dataset lie; studies share them."""
    entry = DATASETS[dataset]
    split = catalogue[entry.loader].split(entry.options)
    return folder_of(entry.loader, split, entry.source and entry.source.revision)


# Raw folder → the dataset that says how to fill it. Datasets of one folder that differ in their source would fill
# it by the first one's: `source.revision` tells them apart.
RAW = {}
for name in DATASETS:
    if DATASETS[name].loader in catalogue:
        RAW.setdefault(str(raw_folder(name)), name)


def manifest_of(wildcards):
    """The raw files that a dataset's examples are made from; none for a dataset that is drawn."""
    if DATASETS[wildcards.dataset].loader not in catalogue:
        return []
    return str(raw_folder(wildcards.dataset) / MANIFEST)
