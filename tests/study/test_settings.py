"""A changed key changes the settings of the jobs it affects, and of no other."""

import copy
import json
import random

import pytest

from modomodo.config.loading import parse
from modomodo.config.schema import Dataset
from modomodo.data.settings import ExamplesSettings, Expected, Table1Settings
from modomodo.evaluation.settings import InDomainSettings, PredictSettings, ScoreSettings
from modomodo.merging.settings import MergeSettings
from modomodo.mixtures.plan import plan
from modomodo.mixtures.settings import ProposeSettings, RecordsSettings, StreamSettings
from modomodo.reporting.settings import ExportSettings, TableSettings
from modomodo.study.checks import read_study, study_from
from modomodo.training.settings import BaseModelSettings, TrainSettings


def texts(data) -> dict[str, str]:
    """The settings of every job, by its name."""
    study = study_from(data, "study.yaml")
    found = {
        f"examples {name}": ExamplesSettings.of(study, name) for name in [*study.domains, *study.benchmarks]
    }
    found |= {f"propose {name}": ProposeSettings.of(study, name) for name in study.strategies}
    found |= {f"train {name}": TrainSettings.of(study, [name]) for name in study.domains}
    found |= {
        "train all": TrainSettings.of(study),
        "base": BaseModelSettings.of(study),
        "table1": Table1Settings.of(study),
        "stream": StreamSettings.of(study),
        "predict": PredictSettings.of(study),
        "score": ScoreSettings.of(study),
        "records": RecordsSettings.of(study),
        "table": TableSettings.of(study, plan(study)),
    }
    return {name: settings.text() for name, settings in found.items()}


def set_key(data, key, value):
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    data[last] = value


TRAIN = {"train all", "train boxes", "train science", "train relation"}
PROPOSE = {"propose single", "propose all", "propose alpha", "propose surface"}
EXAMPLES = {f"examples {name}" for name in ("boxes", "science", "relation", "science_test", "chart")}


@pytest.mark.parametrize(
    ("key", "value", "changed"),
    [
        ("name", "other", set()),
        ("training.learning_rate", 2e-6, TRAIN),
        ("training.beta", 0.05, TRAIN),
        ("training.temperature", 0.9, TRAIN),
        ("training.reward_weights", {"accuracy": 3.0, "iou": 2.0, "format": 1.0}, TRAIN),
        ("training.seed", 7, {"table"}),
        ("training.steps", 12, {*TRAIN, "stream", "table1"}),
        ("training.scored_steps", [2, 9], {*TRAIN, "stream"}),
        ("training.num_generations", 4, {*TRAIN, "stream", "table1"}),
        ("training.gpus", 2, TRAIN),
        ("evaluation.gpus", 1, {"predict"}),
        ("evaluation.engine", "vllm", {"predict"}),
        ("evaluation.dtype", "bfloat16", {"predict"}),
        ("evaluation.batch_size", 4, {"predict"}),
        ("evaluation.max_completion_length", 64, {"predict"}),
        ("prompts.choice", "Think.", {*TRAIN, "base", "predict"}),
        ("model.options.seed", 1, {"base"}),
        ("model.dtype", "bfloat16", {*TRAIN, "base", "predict"}),
        ("benchmarks.chart.metric", "relaxed_accuracy", {"score"}),
        ("benchmarks.chart.options.size", 11, {"examples chart"}),
        ("domains.science.options.size", 31, {"examples science"}),
        ("domains.science.max_rejected", 0.5, {"examples science"}),
        ("domains.science.rewards", ["accuracy"], {"train science", "train all"}),
        ("strategies.single.label", "One domain", {"table"}),
        ("strategies.surface.group", "search", {"table"}),
        ("strategies.surface.seed", 1, {"propose surface"}),
        ("strategies.surface.options.samples", 50, {"propose surface"}),
        ("strategies.surface.count", 3, {"propose surface", "table"}),
        ("strategies.alpha.scores", "mean", {"propose alpha"}),
        ("strategies.alpha.without", ["boxes"], {"propose alpha"}),
        ("strategies.alpha.target", "chart", {"propose alpha"}),
        ("repeats.all", [43], set()),
        ("training.learning_rate", 1e-6, set()),
        ("evaluation.batch_size", 16, set()),
    ],
)
def test_a_changed_key_changes_the_jobs_it_affects(study_data, key, value, changed):
    before = texts(study_data)
    set_key(study_data, key, value)
    after = texts(study_data)
    assert {name for name in before if before[name] != after[name]} == changed


def test_how_often_a_run_is_saved_changes_no_result(study_data):
    before = texts(study_data)
    study_data["training"]["save_steps"] = 3
    assert texts(study_data) == before


def test_a_plugin_concerns_every_job_that_may_call_it(study_data, tmp_path):
    before = texts(study_data)
    (tmp_path / "own.py").write_text("")
    study_data["plugins"] = [str(tmp_path / "own.py")]
    after = texts(study_data)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {*EXAMPLES, *TRAIN, *PROPOSE, "base", "predict", "score"}


def test_a_new_domain_leaves_the_training_of_the_others_alone(study_data):
    before = texts(study_data)
    study_data["domains"]["new"] = {"loader": "boards", "options": {"domain": "geometry", "size": 9}}
    after = texts(study_data)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {*PROPOSE, "train all", "table1", "records", "table"}


def test_a_new_benchmark_trains_and_predicts_nothing_again(study_data):
    before = texts(study_data)
    study_data["benchmarks"]["new"] = {
        "loader": "boards",
        "options": {"domain": "math", "size": 9},
        "metric": "exact_match",
        "group": "out",
    }
    after = texts(study_data)
    assert {name for name in before if before[name] != after[name]} == {"score", "records", "table1"}


def test_another_group_of_a_benchmark_predicts_and_scores_nothing_again(study_data):
    study_data["benchmarks"]["general"] = copy.deepcopy(study_data["benchmarks"]["chart"])
    before = texts(study_data)
    study_data["benchmarks"]["general"]["group"] = "in"
    after = texts(study_data)
    assert {name for name in before if before[name] != after[name]} == {"records", "table1"}


@pytest.mark.parametrize(
    "section", ["model", "training", "domains.science", "benchmarks.chart", "strategies.alpha"]
)
def test_keys_reordered_inside_an_entry_change_nothing(study_data, section):
    before = texts(study_data)
    home = study_data
    *parents, last = section.split(".")
    for parent in parents:
        home = home[parent]
    home[last] = dict(reversed(home[last].items()))
    assert texts(study_data) == before


@pytest.mark.parametrize("section", ["domains", "benchmarks", "strategies"])
def test_reordered_entries_train_and_predict_nothing_again(study_data, section):
    # The order of these is that of the table, so records and tables may follow it.
    before = texts(study_data)
    keys = list(study_data[section])
    if section == "strategies":
        keys[:2] = reversed(keys[:2])
    else:
        random.Random(0).shuffle(keys)
    study_data[section] = {key: study_data[section][key] for key in keys}
    after = texts(study_data)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"records", "table", "table1", *PROPOSE}


def test_reordered_domains_propose_nothing_again(study_data):
    before = texts(study_data)
    study_data["domains"] = dict(reversed(study_data["domains"].items()))
    after = texts(study_data)
    assert {name for name in PROPOSE if before[name] != after[name]} == set()


def test_rewards_and_metrics_with_options_reach_their_jobs(study_data):
    number = {"number": {"rel_tol": 0.05}}
    study_data["domains"]["science"]["rewards"] = [number, {"math": None}]
    study_data["benchmarks"]["chart"]["metric"] = number
    study_data["held_out"] = {"science": study_data["domains"]["science"] | {"metric": number}}
    del study_data["held_out"]["science"]["rewards"]
    study = study_from(study_data, "study.yaml")
    assert parse(json.loads(TrainSettings.of(study).text()), TrainSettings, "--settings").rewards[
        "science"
    ] == [
        number,
        "math",
    ]
    for settings in (ScoreSettings.of(study), MergeSettings.of(study)):
        assert settings.metrics == {"science_test": "exact_match", "chart": number}
    assert InDomainSettings.of(study).metrics == {"science": number}
    exported = ExportSettings.of(study, plan(study)).metrics
    assert exported == {"science_test": "exact_match", "chart": 'number {"rel_tol":0.05}'}


def test_what_the_settings_of_each_job_hold(small_study):
    assert ScoreSettings.of(small_study).metrics == {"science_test": "exact_match", "chart": "exact_match"}
    assert RecordsSettings.of(small_study).benchmarks == [("science_test", "in"), ("chart", "out")]
    assert StreamSettings.of(small_study).prompts_per_step == 2
    assert TrainSettings.of(small_study, ["boxes"]).rewards == {"boxes": ["iou", "format"]}
    assert set(TrainSettings.of(small_study).rewards) == {"boxes", "science", "relation"}
    assert Table1Settings.of(small_study).roles == [
        *(("boxes", "training"), ("science", "training"), ("relation", "training")),
        *(("science_test", "in"), ("chart", "out")),
    ]
    headings = TableSettings.of(small_study, plan(small_study)).headings
    assert [(heading.group, heading.label) for heading in headings] == [
        *(("seed", "Single"), ("seed", "all"), ("heuristic", "alpha"), ("model", "surface"))
    ]
    assert headings[3].mixtures == ["surface-001", "surface-002"]


@pytest.mark.parametrize(
    "take",
    [
        lambda study: ExamplesSettings.of(study, "chart"),
        BaseModelSettings.of,
        Table1Settings.of,
        StreamSettings.of,
        TrainSettings.of,
        PredictSettings.of,
        ScoreSettings.of,
        RecordsSettings.of,
        lambda study: ProposeSettings.of(study, "surface"),
        lambda study: TableSettings.of(study, plan(study)),
    ],
)
def test_a_script_reads_the_text_back(small_study, take):
    settings = take(small_study)
    assert parse(json.loads(settings.text()), type(settings), "--settings") == settings


def test_a_limit_explains_a_difference_from_the_papers_count():
    entry = {"loader": "chartqa", "source": {"revision": "main"}, "expected": 2500}
    assert "source and revision" in Expected.of(Dataset(**entry)).cause
    assert Expected.of(Dataset(**entry, limit=40)).cause == "limit: 40 rows are read"


def test_a_readers_version_makes_only_its_examples_again():
    study = read_study("config/paper.yaml")
    versions = {name: ExamplesSettings.of(study, name).version for name in study.datasets}
    changed = {name for name, version in versions.items() if version > 1}
    assert changed == {"SAT", "SAT-test", "GeoQAV"}
    assert '"version":2' in ExamplesSettings.of(study, "SAT").text()
    assert "version" not in ExamplesSettings.of(study, "ChartQA").text()
