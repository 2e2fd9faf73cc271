"""A benchmark that is a task of lmms-eval, as a study is read: by the task's files alone, without lmms-eval."""

import sys
from pathlib import Path

import pytest

from modomodo.data.downloads import obtain
from modomodo.data.lmms_eval import environment
from modomodo.data.lmms_eval.environment import RELEASE, installed
from modomodo.data.lmms_eval.task_files import find_task
from modomodo.data.readers import lmms_eval as reader
from modomodo.data.settings import DownloadSettings
from modomodo.errors import InputError
from modomodo.evaluation.settings import PredictSettings, ScoreSettings, metric_versions
from modomodo.study import lmms_tasks
from modomodo.study.checks import study_from
from modomodo.study.lmms_tasks import check_reachable

ROOT = Path(__file__).parents[2]

UTILS = """
from lmms_eval.llm_judge import get_server
from lmms_eval.tasks._shared import reader as shared

server = None

def to_text(doc): return doc["question"]
def rule(doc, results): return {"right": compare(doc, results), "asked": ask(doc), "file": 0}
def plain(doc, results): return {"right": compare(doc, results)}
def lazily(doc, results):
    import openai
    return {"right": openai.answer}
def elsewhere(doc, results): return {"right": shared(doc)}
def compare(doc, results): return float(doc["answer"] == results[0])
def ask(doc): return server_of(doc)
class Reader:
    def __call__(self, doc): return get_server("x")
server_of = Reader()
def submit(results, args):
    with open(args.output_path) as file: file.write(str(results))
def mean(results): return sum(results) / len(results)
"""

TASKS = {
    "chart/chart.yaml": """
task: "chartqa"
dataset_path: owner/ChartQA
test_split: test
doc_to_text: !function utils.to_text
process_results: !function utils.plain
metric_list:
  - {metric: relaxed_overall, aggregation: mean}
  - {metric: right, aggregation: !function utils.mean}
  - {metric: file, aggregation: !function utils.submit}
""",
    "chart/short.yaml": "include: chart.yaml\ntask: chart_short\n",
    "chart/judged.yaml": "include: chart.yaml\ntask: judged\nprocess_results: !function utils.rule\n",
    "chart/lazy.yaml": "include: chart.yaml\ntask: lazy\nprocess_results: !function utils.lazily\n",
    "chart/elsewhere.yaml": "include: chart.yaml\ntask: elsewhere\nprocess_results: !function utils.elsewhere\n",
    "chart/test.yaml": "include: chart.yaml\ntask: submitted\nmetric_list: [{metric: file, aggregation: !function utils.submit}]\n",
    "chart/silent.yaml": "include: chart.yaml\ntask: silent\nmetric_list: []\n",
    "chart/likely.yaml": "include: chart.yaml\ntask: likely\noutput_type: multiple_choice\n",
    "chart/program.yaml": "task: program\nclass: !function utils.Reader\n",
    "chart/film.yaml": "include: chart.yaml\ntask: film\ndataset_kwargs: {video: true}\n",
    "chart/_group.yaml": "group: charts\ntask: [chartqa, chart_short]\n",
    "chart/filtered.yaml": "include: chart.yaml\ntask: filtered\nfilter_list: [{name: strict}, {name: flexible}]\n",
    "one.yaml": "task: twice\n",
    "two.yaml": "task: twice\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder like that of lmms-eval, with tasks that show what real ones do."""
    package = tmp_path / "site/lmms_eval"
    for name, text in TASKS.items():
        path = package / "tasks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (package / "tasks/chart/utils.py").write_text(UTILS, encoding="utf-8")
    (package / "tasks/_shared.py").write_text("import requests\ndef reader(doc): return requests.post(doc)\n")
    release(package, RELEASE)
    monkeypatch.setattr(environment, "lmms_eval_folder", lambda: package)
    return package


def release(package, version):
    about = package.parent / "lmms_eval-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lmms_eval\nVersion: {version}\n")


def study(data, **entry):
    data["benchmarks"]["lmms"] = {"lmms_eval": "chartqa", "metric": "right", **entry}
    return study_from(data, "study.yaml")


def refused(data, **entry):
    with pytest.raises(InputError) as caught:
        study(data, **entry)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("study.yaml: benchmarks.lmms")


def test_a_task_is_a_benchmark(study_data, package):
    read = study(study_data, group="in")
    benchmark = read.benchmarks["lmms"]
    assert (benchmark.task, benchmark.loader, benchmark.options) == (
        "chartqa",
        "lmms_eval",
        {"task": "chartqa"},
    )
    assert metric_versions(read)["lmms"] == environment.VERSION
    download = DownloadSettings.of(read, "lmms")
    assert (download.task, download.split) == ("chartqa", "chartqa")
    assert DownloadSettings.model_validate(download.changed()).about.revision == RELEASE
    scored = ScoreSettings.of(read).lmms_eval
    assert {name: dict(task) for name, task in scored.items()} == {
        "lmms": {"task": "chartqa", "edition": RELEASE}
    }


def test_a_study_without_one_has_the_settings_that_it_had(small_study):
    assert "lmms" not in ScoreSettings.of(small_study).text()
    assert "lmms" not in PredictSettings.of(small_study).text()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"lmms_eval": "chartqq"}, ".lmms_eval: lmms-eval has no task 'chartqq': did you mean 'chartqa'?"),
        ({"lmms_eval": "?"}, ".lmms_eval: lmms-eval has no task '?': python -m lmms_eval --tasks list names them"),
        ({"lmms_eval": "own.yaml"}, ".lmms_eval: own.yaml: no such file (paths are relative to the study's file)"),
        ({"metric": "relaxed"}, ".lmms_eval: 'chartqa' has no metric 'relaxed': did you mean 'relaxed_overall'?"),
        ({"metric": "file"}, ".lmms_eval: 'chartqa' has no metric 'file': known: relaxed_overall, right"),
        ({"loader": "boards"}, ": loader: a task of lmms-eval brings its own questions: remove it, or lmms_eval"),
        ({"options": {"size": 3}}, ": options: a task of lmms-eval brings its own questions: remove it, or lmms_eval"),
        ({"metric": {"right": {"x": 1}}}, ": metric: a metric of lmms-eval has no options: write its name alone"),
        ({"lmms_eval": "judged"}, ".lmms_eval: 'judged' has its answers read by a judge, "),
        ({"lmms_eval": "lazy"}, ".lmms_eval: 'lazy' has its answers read by a judge, "),
        ({"lmms_eval": "elsewhere"}, ".lmms_eval: 'elsewhere' has its answers read by a judge, "),
        ({"lmms_eval": "submitted"}, ".lmms_eval: 'submitted' has no metric that is a number, but writes files to submit (file)"),
        ({"lmms_eval": "silent"}, ".lmms_eval: 'silent' has no metric that is a number, but writes files to submit (none)"),
        ({"lmms_eval": "likely"}, ".lmms_eval: 'likely' is of the kind multiple_choice: "),
        ({"lmms_eval": "program"}, ".lmms_eval: 'program' is a program of its own ("),
        ({"lmms_eval": "film"}, ".lmms_eval: 'film' shows videos: "),
        ({"lmms_eval": "filtered"}, ".lmms_eval: 'filtered' computes 'right' for 2 filters of answers: write right,strict or right,flexible"),
        ({"lmms_eval": "filtered", "metric": "right,stric"}, ".lmms_eval: 'filtered' has no metric 'right,stric': did you mean 'right,strict'?"),
        ({"lmms_eval": "twice"}, ".lmms_eval: lmms-eval defines 'twice' more than once, in "),
        ({"lmms_eval": "charts"}, ".lmms_eval: 'charts' is a group of tasks: name one of chartqa, chart_short"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_told_when_the_study_is_read(study_data, package, entry, said):
    assert refused(study_data, **entry).startswith(said)


def test_a_file_of_ones_own_includes_one_of_lmms_eval(study_data, package, tmp_path):
    own = tmp_path / "own.yaml"
    rows = tmp_path / "rows.parquet"
    own.write_text(
        "include: lmms_eval/tasks/chart/chart.yaml\ntask: own\ndataset_path: parquet\n"
        "dataset_kwargs: {data_files: {test: rows.parquet}}\n"
    )
    missing = refused(study_data, lmms_eval=str(own))
    assert missing == f".lmms_eval: {own}: dataset_kwargs.data_files: {rows}: no such file"
    rows.write_bytes(b"1")
    assert study(study_data, lmms_eval=str(own)).benchmarks["lmms"].task == str(own)
    first = reader.edition(str(own))
    rows.write_bytes(b"2")
    second = reader.edition(str(own))
    assert first != second, "other rows are another edition: questions and scores are made again"
    (package / "tasks/chart/chart.yaml").write_text(TASKS["chart/chart.yaml"] + "repeats: 1\n")
    assert reader.edition(str(own)) != second
    own.write_text("include: nowhere.yaml\ntask: own\n")
    assert (
        refused(study_data, lmms_eval=str(own)) == f".lmms_eval: {own}: include: nowhere.yaml: no such file"
    )


def test_another_lmms_eval_and_none_are_told(study_data, package, monkeypatch):
    release(package, "0.9")
    assert (
        refused(study_data)
        == f".lmms_eval: lmms-eval 0.9 is installed, {RELEASE} wanted: {environment.INSTALL}"
    )
    monkeypatch.setattr(environment, "lmms_eval_folder", lambda: None)
    assert refused(study_data) == f".lmms_eval: lmms-eval is not installed: {environment.INSTALL}"


def test_the_release_is_the_one_that_is_locked():
    assert f"lmms-eval=={RELEASE}\n" in (ROOT / "envs/lmms.in").read_text()
    assert f"lmms-eval=={RELEASE} " in (ROOT / "envs/lmms.lock").read_text()


def test_a_hub_that_does_not_answer_is_told_before_anything_runs(study_data, package, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_DATASETS_CACHE", raising=False)
    asked = []
    monkeypatch.setattr(lmms_tasks, "_refusal", lambda repo: asked.append(repo) or "HF_HUB_OFFLINE is set")
    read = study(study_data)
    with pytest.raises(InputError) as caught:
        check_reachable(read)
    assert str(caught.value).startswith(
        "lmms: 'chartqa' needs owner/ChartQA of the hub, and HF_HUB_OFFLINE is set: "
    )
    assert "data.raw_from" in str(caught.value) and "dataset_path: parquet" in str(caught.value)
    (tmp_path / "hf/datasets/owner___ChartQA").mkdir(parents=True)
    check_reachable(read)
    assert asked == ["owner/ChartQA"]


def test_questions_are_made_once_or_linked_from_where_they_were_made(
    study_data, package, tmp_path, monkeypatch
):
    made = []

    def write(named, folder):
        made.append(named)
        (folder / "docs/test").mkdir(parents=True)
        for name in ("rows.parquet", "docs/dataset_dict.json", "docs/test/data-00000.arrow"):
            (folder / name).write_text(name)

    monkeypatch.setattr(reader, "enter_lmms_environment", lambda: None)
    monkeypatch.setattr(reader, "write_questions", write)
    about = DownloadSettings.of(study(study_data), "lmms").about
    here = tmp_path / "raw/lmms_eval/chartqa"
    manifest = obtain("lmms_eval", about, "chartqa", folder=here)
    assert manifest["files"].keys() == {
        "rows.parquet",
        "docs/dataset_dict.json",
        "docs/test/data-00000.arrow",
    }
    assert obtain("lmms_eval", about, "chartqa", folder=here) == manifest
    there = obtain("lmms_eval", about, "chartqa", folder=tmp_path / "there", raw_from=tmp_path / "raw")
    assert there["files"] == manifest["files"]
    assert made == ["chartqa"]


def test_what_the_tasks_say_is_read_without_running_them(package):
    before = set(sys.modules)
    assert find_task("chart_short", installed()).metrics.keys() == {"relaxed_overall", "right", "file"}
    assert set(sys.modules) == before
