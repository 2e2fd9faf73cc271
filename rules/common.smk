# The study and its static plan, which every rule file reads.

import functools
import shlex
import sys
from pathlib import Path

from modomodo.environment import conda_file, prepare_jobs, script_command
from modomodo.data.raw_folder import folder_of, MANIFEST
from modomodo.data.readers.published import published_as
from modomodo.errors import InputError, nearest
from modomodo.files import code_digest
from modomodo.mixtures.plan import plan
from modomodo.mixtures.races import WHOLE
from modomodo.mixtures.records import BASE
from modomodo.mixtures.settings import RecordsSettings, StreamSettings
from modomodo.mixtures.strategies.base import declaration
from modomodo.study.checks import study_from
from modomodo.study.costs import costs_of
from modomodo.study.costs_text import summary
from modomodo.study.outputs import kept_weights
from modomodo.training.settings import TrainSettings

# Jobs call `python` and import the package: this environment's interpreter, the package beside these rules.
ROOT = Path(str(workflow.current_basedir)).parent
command = functools.partial(script_command, ROOT / "scripts")
prepare_jobs(ROOT)

try:
    STUDY = study_from(config, WHERE)
    PLAN = plan(STUDY, WHERE)
except InputError as error:
    sys.exit(f"error: {error}")


def plan_line():
    """One line on what is left to do, printed when a run starts."""
    try:
        return summary(costs_of(STUDY, PLAN))
    except InputError as error:
        return f"plan: {error}"


wildcard_constraints:
    dataset=r"[^/]+",
    raw=r"[^/]+/[^/]+",
    mixture=r"[^/]+",
    seed=r"\d+",


def growing(amount):
    """A resource that a job may run out of: each further attempt gets twice as much."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def keep_option(wildcards):
    """Checkpoint steps whose weights stay once they have answered, as predict.py takes them."""
    keep = kept_weights(STUDY, PLAN, wildcards.mixture)
    return "all" if keep is None else ",".join(map(str, keep)) or "none"


def answering_model(wildcards):
    """What answers: the base model, or the checkpoints of a run."""
    if wildcards.mixture == BASE:
        return {"base": "<results>/base", "info": "<results>/base.json"}
    return {"run": f"<results>/runs/{wildcards.mixture}/{wildcards.seed}/run.json"}


def model_options(wildcards, input):
    """The same as options of predict.py."""
    return (
        f"--base {input.base} --base-info {input.info}" if wildcards.mixture == BASE else f"--run {input.run}"
    )


def learned(strategy, pattern):
    """Files of the runs that a strategy learns from."""
    return [pattern.format(mixture=mixture, seed=seed) for mixture, seed in PLAN.learns_from[strategy]]


def seen_at(strategy, step, pattern):
    """Files of the runs that decide who trains on to a step of a race: its own so far, and what the race learns from."""
    jobs = [*PLAN.learns_from[strategy], *PLAN.before(strategy, step)]
    return [pattern.format(mixture=mixture, seed=seed) for mixture, seed in jobs]


def screened(strategy):
    """The records of merged experts that a strategy chooses from; none for most."""
    screens = declaration(STUDY.strategies[strategy].propose).screens
    return f"<results>/merged/{strategy}.csv" if screens else []


def cheaper_tables(strategy):
    """Other studies' records that a strategy learns from.

    They count by their digests, in its settings: one that was only touched is no reason to propose again. Snakemake takes
    `{word}` in a path for a wildcard.
    """
    paths = [other.records for other in STUDY.strategies[strategy].cheaper_runs]
    return [ancient(path) for path in paths if not set(path) & set("{}")]


def expert_runs(domains):
    """`run.json` of the expert of each domain."""
    seed = STUDY.training.seed
    return [f"<results>/runs/{PLAN.experts[domain]}/{seed}/run.json" for domain in domains]


def records_option(strategy):
    """The option with domains and benchmarks for a strategy that learns; a seed does not depend on a new benchmark."""
    if not PLAN.learns_from[strategy]:
        return ""
    return f"--records-settings {shlex.quote(RecordsSettings.of(STUDY).unordered().text())}"


def support_of(wildcards):
    """Domains that the mixture can have weight on."""
    if wildcards.mixture not in PLAN.support:
        known = nearest(wildcards.mixture, PLAN.support)
        sys.exit(f"error: {WHERE}: the study has no mixture '{wildcards.mixture}': {known}")
    return PLAN.support[wildcards.mixture]


@functools.cache
def stream_settings(mixture, seed):
    """Settings of a stream; those of a race say which steps are trained."""
    return StreamSettings.of(STUDY, PLAN.stretches.get((mixture, seed), WHOLE)).text()


@functools.cache
def train_settings(domains):
    """Settings of a run; most mixtures of a study may use the same domains."""
    return TrainSettings.of(STUDY, list(domains)).text()


def training_minutes(wildcards):
    """A day for a whole run; of that the share that a part of a run in a race trains, an hour at least."""
    steps = STUDY.training.steps
    stretch = PLAN.stretches.get((wildcards.mixture, int(wildcards.seed)), WHOLE)
    return max(60, 24 * 60 * stretch.of(steps) // steps)


def examples_of(wildcards):
    """Examples of the domains that the mixture can have weight on."""
    return [f"<results>/examples/{domain}.jsonl" for domain in support_of(wildcards)]


DATASETS = STUDY.datasets


def in_report(path, caption, category, **labels):
    """A file that the report shows, with its caption of report/."""
    return report(path, caption=f"../report/{caption}.rst", category=category, labels=labels)


def raw_folder(dataset):
    """The folder of a published dataset's raw files, which studies share."""
    entry = DATASETS[dataset]
    name, about = published_as(entry)
    revision = about.revision or (entry.source and entry.source.revision)
    return folder_of(name, about.split(entry.options), revision)


# Raw folder → the dataset that says how to fill it. Datasets of one folder that differ in their source would fill it by
# the first one's: `source.revision` distinguishes them.
RAW = {}
for name in DATASETS:
    if published_as(DATASETS[name]):
        RAW.setdefault(str(raw_folder(name)), name)


def manifest_of(wildcards):
    """The raw files that a dataset's examples are made from; none for a dataset that is drawn."""
    if not published_as(DATASETS[wildcards.dataset]):
        return []
    return str(raw_folder(wildcards.dataset) / MANIFEST)
