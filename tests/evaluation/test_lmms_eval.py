"""lmms-eval for real: our checkpoint as its model, its tasks as benchmarks of a study; all of it offline.

Run by `make test-lmms` in an environment of its own (envs/lmms.sh), skipped in the ordinary one.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from raw_fixtures import reasonseg, sat

from modomodo.data.examples import Example, read_examples, write_examples
from modomodo.errors import InputError
from modomodo.evaluation.predictions import Prediction, read_predictions
from modomodo.files import read_json
from modomodo.standard_errors import standard_error

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None, reason="make test-lmms runs these"
)

ROOT = Path(__file__).parents[2]
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

# lmms-eval's own ChartQA, on rows of this machine.
CHARTS = """
include: lmms_eval/tasks/chartqa/chartqa.yaml
task: charts
dataset_path: parquet
dataset_kwargs: {data_files: {test: charts.parquet}}
lmms_eval_specific_kwargs: {default: {pre_prompt: "", post_prompt: ""}}
"""


# --- a study of the tiny model ------------------------------------------------------------------------------


def draw_charts(path, size):
    """Questions about drawn bar charts as ChartQA has them, the same as the loader `boards` draws for `chart`."""
    import datasets

    from modomodo.tiny.boards import boards

    rows = [
        {"image": image, "question": row["question"], "answer": row["answer"], "type": kind}
        for (row, image), kind in zip(
            boards(None, domain="chart", split="test", size=size, seed=16),
            ["human_test", "augmented_test"] * size,
            strict=False,
        )
    ]
    datasets.Dataset.from_list(rows).cast_column("image", datasets.Image()).to_parquet(path)


def workflow(folder, *arguments, check=True):
    """Snakemake as a user starts it: with the environment of `make env`, whatever runs this test."""
    command = [ROOT / ".venv/bin/python", "-m", "snakemake", "-s", ROOT / "Snakefile", "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", *arguments, "--configfile", "study.yaml"]
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def environment(folder):
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **OFFLINE, "PATH": f"{ROOT / '.venv/bin'}:/usr/bin:/bin", "HF_HOME": str(folder / "hf")}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a study of two benchmarks on the same questions, ours and lmms-eval's, the base model scored."""
    folder = tmp_path_factory.mktemp("lmms")
    draw_charts(folder / "charts.parquet", 40)
    (folder / "charts.yaml").write_text(CHARTS)
    data = yaml.safe_load((ROOT / "config/test.yaml").read_text()) | {"name": "lmms"}
    data["benchmarks"]["chart"]["options"] |= {"size": 40}
    data["benchmarks"]["charts"] = {"lmms_eval": "charts.yaml", "metric": "relaxed_overall"}
    (folder / "study.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    workflow(folder, "results/lmms/scores/base/0.json")
    return folder


def scores_of(folder):
    return read_json(folder / "results/lmms/scores/base/0.json")["steps"]["0"]


def answers_of(folder, benchmark):
    return [
        each.answer
        for each in read_predictions(folder / f"results/lmms/predictions/base/0/0/{benchmark}.jsonl")
    ]


def test_a_task_scores_the_same_questions_as_our_benchmark_does(study):
    assert answers_of(study, "charts") == answers_of(study, "chart")
    found = scores_of(study)
    ours, theirs = found["chart"], found["charts"]
    assert 0 < ours["score"] < 1, "nothing is compared if all answers are right, or all wrong"
    assert (theirs["score"], theirs["n"], theirs["unparsed"]) == (ours["score"], 40, ours["unparsed"])
    assert theirs["standard_error"] == pytest.approx(ours["standard_error"], abs=1e-12)
    assert theirs["lmms_eval"] == "charts.yaml version 0.0 of lmms-eval 0.7.3"
    table = pd.read_csv(study / "results/lmms/scores/base/0.csv", dtype={"question": str})
    values = {name: rows["base/0"].tolist() for name, rows in table.groupby("benchmark")}
    assert values["charts"] == values["chart"]


def test_a_task_added_later_runs_alone_and_a_finished_study_plans_nothing(study):
    before = {
        path: path.stat().st_mtime_ns for path in study.glob("results/lmms/predictions/base/0/0/*.jsonl")
    }
    target = "results/lmms/scores/base/0.json"
    assert "Nothing to be done" in (done := workflow(study, "-n", target)).stdout + done.stderr
    data = yaml.safe_load((study / "study.yaml").read_text())
    data["benchmarks"]["human"] = {"lmms_eval": "charts.yaml", "metric": "relaxed_human_split", "limit": 10}
    (study / "study.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    workflow(study, target)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    human = scores_of(study)["human"]
    assert human["n"] == 5, "of the first ten questions every other is human_test"
    assert sum(1 for _ in read_predictions(study / "results/lmms/predictions/base/0/0/human.jsonl")) == 10


def test_without_a_network_the_dry_run_says_so_in_a_line(study):
    data = yaml.safe_load((study / "study.yaml").read_text())
    data["benchmarks"]["real"] = {"lmms_eval": "chartqa", "metric": "relaxed_overall"}
    other = study / "offline"
    other.mkdir()
    for name in ("charts.yaml", "charts.parquet"):
        (other / name).write_bytes((study / name).read_bytes())
    (other / "study.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    done = workflow(other, "-n", check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert done.returncode != 0 and len(said) == 1
    assert said[0].startswith(
        "error: study.yaml: real: 'chartqa' needs lmms-lab-encoder/ChartQA of the hub, and "
        "HF_HUB_OFFLINE is set: "
    )


def lmms_eval(folder, output, *arguments):
    command = [
        sys.executable,
        "-m",
        "lmms_eval",
        "--verbosity=DEBUG",
        "--model",
        "modomodo",
        "--batch_size",
        "16",
    ]
    command += [
        "--reasoning_tags",
        "none",
        "--include_path",
        "tasks",
        "--log_samples",
        "--output_path",
        output,
    ]
    return subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def test_lmms_eval_runs_our_checkpoint_without_the_pipeline(study):
    """Its own command line gives the study's score, and its samples the study's answers."""
    import lmms_eval as package

    tasks = study / "tasks"
    tasks.mkdir()
    whole = Path(package.__path__[0]).parent
    (tasks / "charts.yaml").write_text(CHARTS.replace("include: ", f"include: {whole}/"))
    (tasks / "charts.parquet").write_bytes((study / "charts.parquet").read_bytes())
    base = "pretrained=results/lmms/base,study=study.yaml"
    done = lmms_eval(study, "out", "--tasks", "charts", "--model_args", base)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = study.glob("out/*/*_results.json")
    found = read_json(results)["results"]["charts"]
    ours = scores_of(study)["charts"]
    assert found["relaxed_overall,none"] == ours["score"]
    assert found["relaxed_overall_stderr,none"] == pytest.approx(ours["standard_error"], abs=1e-12)
    (samples,) = study.glob("out/*/*_samples_charts.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [row["filtered_resps"] for row in sorted(rows, key=lambda row: row["doc_id"])] == [
        answer or "" for answer in answers_of(study, "charts")
    ]
    wrong = lmms_eval(study, "wrong", "--tasks", "charts", "--model_args", f"{base},tokens=3")
    assert wrong.returncode != 0 and "--model_args: tokens: unknown: " in wrong.stderr


def test_a_checkpoint_is_asked_as_its_run_was_trained_and_a_base_as_its_study_says(tmp_path):
    from lmms_eval_modomodo.model import settings_of

    trained = {
        "prompts": {"text": "Think."},
        "dtype": "bfloat16",
        "training": {"max_completion_length": 7, "steps": 3},
    }
    (tmp_path / "finished.json").write_text(json.dumps({"settings": trained}))
    (tmp_path / "study.yaml").write_text(
        "{prompts: {text: Say it.}, evaluation: {max_completion_length: 9}, model: {}}"
    )
    run = settings_of(tmp_path / "checkpoint-3", "")
    assert (run.prompts.text, run.dtype, run.evaluation.max_completion_length) == ("Think.", "bfloat16", 7)
    base = settings_of(tmp_path / "base", str(tmp_path / "study.yaml"))
    assert (base.prompts.text, base.dtype, base.evaluation.max_completion_length) == ("Say it.", "float32", 9)


def test_our_metrics_agree_with_lmms_evals_and_what_differs_is_named(tmp_path):
    def compare(metric):
        command = [sys.executable, "benchmarks/lmms_agreement.py", "--only", metric]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    assert compare("relaxed_accuracy") == [
        "relaxed_accuracy = chartqa relaxed_overall, cases: 4422/4422, 4400/4400 where we read an answer"
    ]
    first, *differing = compare("scienceqa")
    assert first == "scienceqa = scienceqa_img exact_match, cases: 134/140, 130/136 where we read an answer"
    assert (
        differing[1] == "  'b' for ['B']: 0 with us, 1 (the paper's exact match: a letter alone, in capitals)"
    )
    assert len(differing) == 6


# --- benchmarks of a study for others ----------------------------------------------------------------------


@pytest.fixture
def exported(tmp_path):
    """A folder with the paper's LISA-test and SAT-test as tasks of lmms-eval, of rows as they are published."""
    from modomodo.data.readers import datasets
    from modomodo.study.checks import read_study

    reasonseg(tmp_path / "lisa", faults=False)
    (tmp_path / "sat").mkdir()
    sat(tmp_path / "sat", faults=False)
    paper = read_study(ROOT / "config/paper.yaml")
    for name, raw in (("LISA-test", tmp_path / "lisa"), ("SAT-test", tmp_path / "sat")):
        entry = paper.benchmarks[name]
        examples = tmp_path / f"{name}.jsonl"
        write_examples(name, datasets[entry.loader](raw, **entry.options), examples, dataset=entry)
        command = [
            sys.executable,
            "scripts/export_benchmark.py",
            "--study",
            "config/paper.yaml",
            "--name",
            name,
        ]
        command += ["--examples", examples, "--output", tmp_path / "tasks"]
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.mark.parametrize(("name", "metric"), [("LISA-test", "mean_iou"), ("SAT-test", "exact_match")])
def test_the_papers_own_benchmarks_run_as_tasks_of_lmms_eval(exported, name, metric, monkeypatch):
    """By lmms-eval's evaluator: the truth in the reasoning format scores 1, another answer and a broken format 0."""
    from modomodo.data.lmms_eval.questions import DOCS, write_questions
    from modomodo.evaluation.lmms_scores import score_task

    monkeypatch.setenv("HF_HOME", str(exported / "hf"))
    task = str(exported / f"tasks/modomodo_{name.lower().replace('-', '_')}.yaml")
    write_questions(task, exported / "raw")
    examples = list(read_examples(exported / f"{name}.jsonl"))
    assert len(examples) > 2
    asked = [example.model_copy(update={"id": str(place)}) for place, example in enumerate(examples)]
    said = [f"<think>It is there.</think> <answer>{example.answer}</answer>" for example in examples]
    said[1] = "<think>I do not know</think><answer>[[0, 0, 1, 1]]</answer>"
    said[2] = f"<think>It is there. {examples[2].answer}"
    predictions = {
        str(place): Prediction(id=str(place), completion="", answer=text, finish_reason="stop", tokens=1)
        for place, text in enumerate(said)
    }
    found = score_task(task, metric, exported / "raw" / DOCS, asked, predictions)
    assert [round(value, 3) for value in found.values] == [1, 0, 0, *[1] * (len(examples) - 3)]


def test_they_run_from_lmms_evals_command_line(exported, study):
    tasks = "modomodo_lisa_test,modomodo_sat_test"
    base = f"pretrained={study}/results/lmms/base,study={study}/study.yaml,answer_type=box"
    done = lmms_eval(exported, "out", "--tasks", tasks, "--model_args", base)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = exported.glob("out/*/*_results.json")
    found = read_json(results)["n-samples"]
    assert {task: sizes["effective"] for task, sizes in found.items()} == {
        task: sum(1 for _ in read_examples(exported / name))
        for task, name in zip(tasks.split(","), ["LISA-test.jsonl", "SAT-test.jsonl"], strict=True)
    }


# --- lmms-eval's scoring, on answers made up here -----------------------------------------------------------

RULES = """
import json

def to_text(doc): return doc["question"]
def to_visual(doc): return []
def plain(doc, results): return {"right": float(results[0] == doc["answer"])}
def yes_or_no(doc, results): return {"f1": {"answer": results[0], "truth": doc["answer"]}}
def f1(rows):
    both = sum(row["answer"] == row["truth"] == "yes" for row in rows)
    said, true = (sum(row[key] == "yes" for row in rows) for key in ("answer", "truth"))
    return 2 * both / (said + true)
def of_subject(doc, results): return {"accuracy": {"subject": doc["id"], "right": results[0] == doc["answer"]}}
def accuracy(rows): return sum(row["right"] for row in rows) / len(rows)
def percent(rows): return 100 * sum(rows) / len(rows)
def broken(doc, results): raise ValueError("no such field")
"""
TASK = """
task: made
dataset_path: json
dataset_kwargs: {{data_files: {{test: rows.json}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function rules.to_visual
doc_to_text: !function rules.to_text
doc_to_target: answer
process_results: !function rules.{process}
metric_list: [{{metric: {metric}, aggregation: {aggregation}, higher_is_better: true}}]
{more}
"""
TRUTH = ["yes", "no", "yes", "yes", "no", "no", "yes", "no"]
SAID = ["yes", "no", "no", "yes", "yes", "<think>yes</think>", None, "no"]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """(how answers are processed, metric, its aggregation) → the score of SAID, of the questions at some places."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    (tmp_path / "rules.py").write_text(RULES)
    rows = [
        {"id": "same", "question": f"Is it {place}?", "answer": truth} for place, truth in enumerate(TRUTH)
    ]
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, rows)))

    def score(process, metric, aggregation, places=tuple(range(8)), more="", named=None):
        from modomodo.data.lmms_eval.questions import DOCS, write_questions
        from modomodo.data.readers.lmms_eval import lmms_eval
        from modomodo.evaluation.lmms_scores import score_task

        path = tmp_path / "made.yaml"
        path.write_text(TASK.format(process=process, metric=metric, aggregation=aggregation, more=more))
        write_questions(str(path), tmp_path / "raw")
        (tmp_path / "rows.json").rename(tmp_path / "gone")  # a score needs the rows that were kept alone
        asked = [fields for fields, _ in lmms_eval(tmp_path / "raw", task=str(path))]
        examples = [Example(dataset="made", image="", **asked[place]) for place in places]
        predictions = {
            str(place): Prediction(id=str(place), completion="", answer=said, finish_reason="stop", tokens=1)
            for place, said in enumerate(SAID)
        }
        return score_task(str(path), named or metric, tmp_path / "raw" / DOCS, examples, predictions)

    return score


RIGHT = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]


def test_answers_are_scored_as_they_are_and_rows_by_their_number(made):
    """No tag is taken out of an answer, and rows whose ids, and so hashes, are the same stay apart."""
    found = made("plain", "right", "mean")
    assert found.values == RIGHT, "with the tags stripped, the sixth would be empty, or yes"
    assert found.summary[:2] == (8, 0.5)
    assert found.summary.unparsed == 1
    assert found.summary.standard_error == pytest.approx(standard_error(RIGHT), abs=1e-12)
    assert found.task_version == "without a version"


def test_some_of_the_questions_are_scored_by_their_number(made):
    found = made("plain", "right", "mean", places=[1, 2, 6], more="metadata: [{version: 2.5}]")
    assert [example.id for example in found.questions] == ["1", "2", "6"]
    assert (found.values, found.summary.n, found.task_version) == ([1.0, 0.0, 0.0], 3, "version 2.5")


def test_a_score_of_its_own_making_has_values_and_our_standard_error(made):
    """Where lmms-eval gives none: samples are mappings, and the aggregation is the task's."""
    found = made("of_subject", "accuracy", "!function rules.accuracy")
    assert found.values == RIGHT
    assert found.summary.standard_error == pytest.approx(standard_error(RIGHT), abs=1e-12)


def test_a_score_that_is_no_mean_has_the_jackknifes_standard_error(made):
    found = made("yes_or_no", "f1", "!function rules.f1")
    both, said, true = 2, 3, 4
    assert found.summary.score == pytest.approx(2 * both / (said + true))
    expected = []
    for truth, answer in zip(TRUTH, SAID, strict=True):
        hit, one, other = (answer == truth == "yes"), answer == "yes", truth == "yes"
        without = 2 * (both - hit) / (said - one + true - other)
        expected.append(8 * found.summary.score - 7 * without)
    assert found.values == pytest.approx(expected)
    assert found.summary.standard_error == pytest.approx(standard_error(expected))


def test_questions_that_lmms_eval_left_out_are_an_error(made, monkeypatch):
    """Failed requests, and documents without one, are no part of its results, and its exit status says nothing."""
    from lmms_eval import evaluator

    whole = evaluator.evaluate

    def evaluate(**arguments):
        done = whole(**arguments)
        done["samples"]["made"].pop()
        return done

    monkeypatch.setattr(evaluator, "evaluate", evaluate)
    with pytest.raises(
        InputError, match="made: lmms-eval scored 8 questions, and 7 of the 8 that were answered"
    ):
        made("plain", "right", "mean")


FILTERS = """
filter_list:
  - {name: first, filter: [{function: take_first}]}
  - {name: lower, filter: [{function: lowercase}, {function: take_first}]}
"""


def test_of_several_filters_the_study_names_one(made, tmp_path):
    found = made("plain", "right", "mean", more=FILTERS, named="right,lower")
    assert (found.values, len(found.questions)) == (RIGHT, 8)
    (tmp_path / "gone").rename(tmp_path / "rows.json")
    with pytest.raises(InputError, match=r"computed 2 times: write one of right,first; right,lower"):
        made("plain", "right", "mean", more=FILTERS)


def test_public_rows_need_no_token(made, monkeypatch):
    """Most tasks of lmms-eval ask for one (`token: True`), and the datasets library then refuses to go without."""
    import datasets

    asked = []
    load = datasets.load_dataset

    def noting(*arguments, **options):
        asked.append(options.get("token", "none"))
        return load(*arguments, **{key: value for key, value in options.items() if key != "token"})

    monkeypatch.setattr(datasets, "load_dataset", noting)
    more = "dataset_kwargs: {data_files: {test: rows.json}, token: true}"
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert made("plain", "right", "mean", more=more).values == RIGHT
    assert asked == ["none"]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (("broken", "right", "mean"), "made: lmms-eval could not score it: .*ValueError: no such field"),
        (("plain", "right", "!function rules.percent"), "made: metric 'right' is 50.0, no number in "),
        (("plain", "wrong", "mean"), "made: no metric 'wrong': "),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_a_task_is_one_line(made, task, said):
    with pytest.raises(InputError, match=said) as caught:
        made(*task)
    assert "\n" not in str(caught.value)


def test_a_task_whose_code_or_rows_are_not_there_is_one_line(tmp_path, monkeypatch):
    from modomodo.data.lmms_eval.questions import load_task

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    path = tmp_path / "made.yaml"
    path.write_text(TASK.format(process="plain", metric="right", aggregation="mean", more=""))
    (tmp_path / "rules.py").write_text("import nltk_is_not_here\n")
    with pytest.raises(
        InputError, match="its code needs a package that lmms-eval leaves out: .*nltk_is_not_here"
    ) as caught:
        load_task(str(path))
    assert "\n" not in str(caught.value)
    (tmp_path / "rules.py").write_text(RULES)
    with pytest.raises(InputError, match="made: json cannot be loaded: .*dataset_path: parquet") as caught:
        load_task(str(path))
    assert "\n" not in str(caught.value)
