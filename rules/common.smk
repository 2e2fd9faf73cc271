# The study and its static plan, which every rule file reads.

import os
import sys
from pathlib import Path

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
