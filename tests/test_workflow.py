"""The workflow as a user runs it: config/test.yaml from a clean copy, killed and resumed, and what re-runs.

One copy runs undisturbed; another is killed in the middle of a training and told to go on. Everything after
reads the first copy.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from running import MINUTES, ROOT, clean_copy, command, digests, kill_session, snakemake, succeed

pytestmark = pytest.mark.slow

STUDY = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
RESULTS = Path("results/test")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose study has run, undisturbed."""
    folder = clean_copy(tmp_path_factory.mktemp("undisturbed"))
    run = succeed(snakemake(folder, "--configfile", "config/test.yaml"))
    assert "\nplan: 3 of 3 runs to train, 4 to predict, time not known yet (make plan)\n" in run.stderr
    return folder


@pytest.fixture(scope="module")
def killed_and_resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that was killed once a training had saved its state, and then told to go on."""
    folder = clean_copy(tmp_path_factory.mktemp("killed"))
    arguments = ("--configfile", "config/test.yaml")
    process = subprocess.Popen(
        command(*arguments),
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runs = folder / RESULTS / "runs"
    deadline = time.monotonic() + 15 * MINUTES
    while not list(runs.glob("*/*/trainer/checkpoint-3/complete")):
        assert process.poll() is None and time.monotonic() < deadline, "no training saved its state"
        time.sleep(0.005)
    kill_session(process)
    interrupted = [path for path in runs.glob("*/*/trainer") if not (path.parent / "run.json").exists()]
    assert interrupted, "the kill came too late to interrupt a training"
    succeed(snakemake(folder, *arguments, "--unlock"))
    succeed(snakemake(folder, *arguments))
    return folder


def test_the_killed_and_resumed_study_equals_the_undisturbed_one(
    done: Path, killed_and_resumed: Path
) -> None:
    expected, found = digests(done), digests(killed_and_resumed)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    kinds = {Path(name).suffix for name in expected}
    assert {".safetensors", ".jsonl", ".csv", ".md", ".svg", ".png", ".json"} <= kinds


def test_table_2_has_a_trained_and_scored_row_for_every_mixture(done: Path) -> None:
    table = pd.read_csv(done / "results/table2.csv")
    assert list(table["mixture"]) == ["base", "single-detection", "single-science", "collinearity"]
    assert list(table["strategy"]) == ["Base", "Single: detection", "Single: science", "Coli"]
    assert {"w_detection", "y_chart", "in_score", "out_score", "se_out_score"} <= set(table.columns)
    assert table.filter(like="y_").notna().all(axis=None)
    weights = table[["w_detection", "w_science"]].iloc[1:]
    assert weights.sum(axis=1).sub(1).abs().max() < 1e-9
    assert (done / "results/table2.csv").read_bytes() == (done / RESULTS / "table2.csv").read_bytes()


def test_the_gain_on_the_own_domain_is_that_of_the_answers(done: Path) -> None:
    line = pd.read_csv(done / RESULTS / "in_domain.csv").iloc[0]
    assert (line["domain"], line["mixture"], line["seed"], line["questions"]) == (
        "science",
        "single-science",
        42,
        10,
    )
    examples = pd.read_json(done / RESULTS / "examples/science_held_out.jsonl", lines=True, dtype=False)
    for model in ("base", "trained"):
        answers = pd.read_json(
            done / RESULTS / f"in_domain/{model}/science.jsonl", lines=True, dtype={"answer": str}
        )
        assert list(answers["id"]) == list(examples["id"])
        assert line[model] == pytest.approx((answers["answer"] == examples["answer"]).mean())
    assert line["gain"] == pytest.approx(line["trained"] - line["base"])


def test_training_changed_the_weights_and_kept_the_vision_tower(done: Path) -> None:
    from safetensors.numpy import load_file

    base = load_file(done / RESULTS / "base/model.safetensors")
    tuned = load_file(done / RESULTS / "runs/single-detection/42/checkpoint-9/model.safetensors")
    assert base.keys() == tuned.keys()
    changed = {name for name in base if (base[name] != tuned[name]).any()}
    assert changed
    assert not any("visual" in name for name in changed)


def test_scored_steps_past_the_end_of_the_stream_share_a_checkpoint(done: Path) -> None:
    # science has 12 examples, two a step: the stream of its single ends at step 6, before the scored step 7.
    run = done / RESULTS / "runs/single-science/42"
    assert (run / "checkpoint-9").is_symlink() and (run / "checkpoint-9").resolve() == run / "checkpoint-7"
    summary = yaml.safe_load((done / RESULTS / "streams/single-science/42.summary.json").read_text())
    assert summary["checkpoint_steps"] == {"2": 2, "7": 6, "9": 6}
    assert summary["exhausted"] == {"domain": "science", "step": 6}
    records = pd.read_csv(done / RESULTS / "records.csv")
    rows = records[records["mixture"] == "single-science"].set_index("step")
    assert rows.loc[7, "y_chart"] == rows.loc[9, "y_chart"]


def test_the_log_has_rewards_by_domain(done: Path) -> None:
    lines = (done / RESULTS / "runs/collinearity/42/log.jsonl").read_text().splitlines()
    logged = pd.DataFrame([yaml.safe_load(line) for line in lines])
    assert list(logged["step"]) == list(range(1, len(lines) + 1))
    assert {"rewards/detection/iou", "rewards/science/accuracy", "kl", "frac_reward_zero_std"} <= set(
        logged.columns
    )
    assert "step_time" not in logged.columns


def test_the_report_is_one_file_that_shows_the_study(done: Path) -> None:
    page = (done / RESULTS / "report.html").read_text(encoding="utf-8")
    assert "Study test" in page and "What differs from the paper" in page
    for label in ("Figure 6: strategies compared", "Weights, ordered by score", "Table 2", "alone gains"):
        assert label in page
    assert "from the lower to the upper quartile" in page, "the caption of the figure"
    assert not re.search(r"(src|href)=.?https?:", page), "nothing is fetched"


def test_snakemakes_own_report_still_shows_the_pages_and_the_workflow(done: Path) -> None:
    succeed(snakemake(done, "--configfile", "config/test.yaml", "--report", str(RESULTS / "workflow.html")))
    page = (done / RESULTS / "workflow.html").read_text(encoding="utf-8")
    assert "Verdict, evidence, method" in page and "The study's report is" in page


def test_figures_have_their_numbers_and_the_explorer_its_data(done: Path) -> None:
    for name in ("out_score", "mixtures", "reward_curves", "realised_shares", "cost"):
        files = [done / RESULTS / f"figures/{name}.{kind}" for kind in ("svg", "png", "csv")]
        assert all(path.stat().st_size > 200 for path in files), name
    shares = pd.read_csv(done / RESULTS / "figures/realised_shares.csv").set_index(["mixture", "domain"])
    assert shares.loc[("single-science", "science"), "realised"] == 1
    assert '"study":"test"' in (done / RESULTS / "explorer.html").read_text(encoding="utf-8")


# --- what re-runs -----------------------------------------------------------------------------------------------


def planned(folder: Path, study: dict | None = None, text: str | None = None) -> set[str]:
    """First outputs of the jobs that a dry run lists, relative to results/test."""
    name = "config/changed.yaml"
    (folder / name).write_text(text or yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    shown = succeed(snakemake(folder, "-n", "--configfile", name, timeout=2 * MINUTES)).stdout
    outputs = re.findall(r"^    output: ([^,\n]+)", shown, flags=re.MULTILINE)
    return {output.removeprefix("results/test/") for output in outputs}


SHOWN = {"figures/out_score.svg", "explorer.html", "runs.html", "report.html"}
AFTER_SCORES = {"records.csv", "table2.csv", *SHOWN}


def of_mixture(mixture: str, *, since: str = "streams") -> set[str]:
    """The jobs of one mixture from a stage on."""
    jobs = {
        "streams": f"streams/{mixture}/42.jsonl",
        "runs": f"runs/{mixture}/42/run.json",
        "predictions": f"predictions/{mixture}/{0 if mixture == 'base' else 42}/predictions.json",
        "scores": f"scores/{mixture}/{0 if mixture == 'base' else 42}.json",
    }
    stages = list(jobs)
    return {jobs[stage] for stage in stages[stages.index(since) :]}


def changed(**paths: object) -> dict:
    """The test study with values replaced, given as a__b__c=value."""
    study = yaml.safe_load(yaml.safe_dump(STUDY, sort_keys=False))
    for path, value in paths.items():
        *parents, last = path.split("__")
        home = study
        for parent in parents:
            home = home[parent]
        home[last] = value
    return study


@pytest.fixture(autouse=True)
def _remove_changed_config(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "done" in request.fixturenames:
        (request.getfixturevalue("done") / "config/changed.yaml").unlink(missing_ok=True)


def test_nothing_re_runs_for_reordered_keys_comments_defaults_and_touched_files(done: Path) -> None:
    study = dict(reversed(STUDY.items()))
    study["training"] = {**dict(reversed(STUDY["training"].items())), "beta": 0.04, "num_generations": 6}
    # Order is meant where tables show it: domains, benchmarks and strategies stay as they are.
    for path in [
        *(done / "scripts").glob("*.py"),
        *(done / "modomodo").glob("*.py"),
        *(done / "rules").glob("*"),
    ]:
        os.utime(path)
    assert planned(done, text="# a comment\n" + yaml.safe_dump(study, sort_keys=False)) == set()


def test_a_strategys_option_re_runs_only_its_own_mixtures(done: Path) -> None:
    study = changed(strategies__collinearity__options={"ridge": 0.1})
    assert planned(done, study) == {"mixtures/collinearity.json", *of_mixture("collinearity"), *AFTER_SCORES}


def test_a_changed_dataset_re_runs_only_mixtures_that_can_have_weight_on_it(done: Path) -> None:
    study = changed(
        domains__detection__options={"domain": "detection", "split": "train", "size": 44, "seed": 1}
    )
    expected = {"examples/detection.jsonl", "table1.csv", "mixtures/collinearity.json", *AFTER_SCORES}
    assert planned(done, study) == expected | of_mixture("single-detection") | of_mixture("collinearity")


def test_evaluation_settings_train_no_seed_again(done: Path) -> None:
    jobs = planned(done, changed(evaluation__batch_size=4))
    seeds = ("base", "single-detection", "single-science")
    predicted_again = set().union(*(of_mixture(mixture, since="predictions") for mixture in seeds))
    assert jobs == predicted_again | {
        "in_domain.csv",
        "mixtures/collinearity.json",
        *of_mixture("collinearity"),
        *AFTER_SCORES,
    }


@pytest.mark.parametrize(("key", "value"), [("label", "Ridge"), ("group", "own")])
def test_a_label_or_a_group_re_makes_only_what_shows_it(done: Path, key: str, value: str) -> None:
    study = changed(**{f"strategies__collinearity__{key}": value})
    assert planned(done, study) == AFTER_SCORES - {"records.csv"}


def test_held_out_questions_are_asked_again_alone(done: Path) -> None:
    study = changed(held_out__science__options={"domain": "science", "split": "test", "size": 11, "seed": 25})
    assert planned(done, study) == {"examples/science_held_out.jsonl", "in_domain.csv", "report.html"}


def test_how_results_are_shown_re_makes_only_that(done: Path) -> None:
    assert planned(done, changed(reporting={"dpi": 72, "column_width": 5.5})) == {
        "figures/out_score.svg",
        "report.html",
    }
    assert planned(done, changed(reporting={"notes": "A trial."})) == {"report.html"}
    # What the verdict says of a surprising score depends on it.
    assert planned(done, changed(reporting={"surrogate": "gp_average"})) == {
        "figures/out_score.svg",
        "explorer.html",
        "table2.csv",
        "report.html",
    }


@pytest.mark.parametrize(
    ("setting", "value"),
    [("training__learning_rate", 1e-4), ("prompts__choice", "Output <answer> </answer> tags.")],
)
def test_a_setting_of_training_or_prompts_trains_every_mixture_again(
    done: Path, setting: str, value: object
) -> None:
    jobs = planned(done, changed(**{setting: value}))
    assert {
        f"runs/{mixture}/42/run.json" for mixture in ("single-detection", "single-science", "collinearity")
    } <= jobs
    assert not any(job.startswith(("examples/", "streams/single")) for job in jobs)
    assert ("base" in jobs) == (setting == "prompts__choice")  # the tiny model is taught to answer prompts


def test_another_model_is_made_and_trained_in_every_mixture(done: Path) -> None:
    jobs = planned(done, changed(model__options__seed=1))
    again = set().union(
        *(of_mixture(mixture, since="runs") for mixture in ("base", "single-detection", "single-science"))
    )
    assert jobs >= (again - {"runs/base/42/run.json"}) | {"base", "in_domain.csv"}
    assert not any(job.startswith(("examples/", "streams/single")) for job in jobs)


def test_how_often_a_run_saves_and_which_weights_stay_changes_nothing(done: Path) -> None:
    assert planned(done, changed(training__save_steps=5, training__keep_weights=[2, 9])) == set()


def test_another_seed_of_the_study_names_other_runs(done: Path) -> None:
    jobs = planned(done, changed(training__seed=43))
    assert {job for job in jobs if job.startswith("runs/")} == {
        f"runs/{mixture}/43/run.json" for mixture in ("single-detection", "single-science", "collinearity")
    }


def test_a_domains_rewards_train_again_only_mixtures_that_can_have_weight_on_it(done: Path) -> None:
    jobs = planned(done, changed(domains__detection__rewards=["iou"]))
    derived = {"mixtures/collinearity.json", *of_mixture("collinearity")}
    assert jobs == of_mixture("single-detection", since="runs") | derived | AFTER_SCORES


def test_a_metric_scores_again_without_a_model(done: Path) -> None:
    jobs = planned(done, changed(benchmarks__chart__metric="relaxed_accuracy"))
    seeds = ("base", "single-detection", "single-science")
    scored_again = set().union(*(of_mixture(mixture, since="scores") for mixture in seeds))
    assert jobs == scored_again | {"mixtures/collinearity.json", *of_mixture("collinearity"), *AFTER_SCORES}
    asking = changed(benchmarks__chart__metric="mathvista_judged", judge={"model": "m"})
    assert planned(done, asking) == jobs


def test_a_judge_that_no_metric_asks_changes_nothing(done: Path) -> None:
    assert planned(done, changed(judge={"model": "m"})) == set()


def test_a_new_strategy_runs_only_its_own_mixtures(done: Path) -> None:
    study = changed(strategies__all={"propose": "all", "group": "own"})
    # With All there are figures to compare it: the job's first is another one.
    shown = {*AFTER_SCORES, "figures/before_after.svg"} - {"figures/out_score.svg"}
    assert planned(done, study) == {"mixtures/all.json", *of_mixture("all"), *shown}


def test_an_online_run_is_recorded_by_what_it_came_to_and_nothing_learns_from_it(
    done: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy, symlinks=True)
    online = {"propose": "online", "group": "seed", "label": "DUMP", "options": {"rule": "dump"}}
    study = changed(strategies={"dump": online, **STUDY["strategies"]})
    own = {"mixtures/dump.json", *of_mixture("dump")}
    assert planned(copy, study) == own | AFTER_SCORES  # of the group that Coli learns from
    succeed(snakemake(copy, "--configfile", "config/changed.yaml"))
    run = json.loads((copy / RESULTS / "runs/dump/42/run.json").read_text(encoding="utf-8"))
    records = pd.read_csv(copy / RESULTS / "records.csv").set_index("mixture")
    assert (
        records.loc["dump", "online"].tolist() == [1, 1, 1]
        and records.loc["collinearity", "online"].sum() == 0
    )
    for domain in STUDY["domains"]:
        assert (
            records.loc["dump", f"w_{domain}"].tolist()
            == [pytest.approx(run["stream"]["realised"][domain])] * 3
        )
    assert "DUMP (online)" in (copy / RESULTS / "table2.md").read_text(encoding="utf-8")
    chain = ("--study", "config/changed.yaml", "--mixture", "dump", "--benchmark", "chart")
    assert "every link holds" in script(copy, "provenance", *chain).stdout
    assert planned(copy, study) == set()
    study["strategies"]["dump"] = online | {"options": {"rule": "thompson"}}
    assert planned(copy, study) == own | AFTER_SCORES


def test_a_new_benchmark_predicts_only_itself_and_trains_nothing(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy, symlinks=True)
    new = {
        **STUDY["benchmarks"]["chart"],
        "options": {"domain": "math", "split": "test", "size": 8, "seed": 18},
    }
    study = changed(benchmarks={**STUDY["benchmarks"], "math": new})
    (copy / "config/changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    kept = {path: path.stat().st_mtime_ns for path in copy.glob("results/test/**/*.safetensors")}
    old = {path: path.stat().st_mtime_ns for path in copy.glob("results/test/predictions/*/*/*/chart.jsonl")}
    succeed(snakemake(copy, "--configfile", "config/changed.yaml"))
    assert len(list(copy.glob("results/test/predictions/*/*/*/math.jsonl"))) == len(old) == 10
    # No seed was trained or asked again. (The mixture proposed from Out-Score, which the benchmark is part of,
    # may have become another one.)
    seeds = [path for path in (*kept, *old) if "/collinearity/" not in str(path)]
    assert [path for path in seeds if path.stat().st_mtime_ns != {**kept, **old}[path]] == []
    # And when it is removed, nothing is trained or asked again for that: scores are put together anew.
    jobs = planned(copy, STUDY)
    assert jobs >= {"scores/base/0.json", "scores/single-science/42.json", *AFTER_SCORES}
    assert not any(job.startswith(("streams/single", "runs/single", "examples/")) for job in jobs)
    succeed(snakemake(copy, "--configfile", "config/changed.yaml"))
    assert [path for path in seeds if path.stat().st_mtime_ns != {**kept, **old}[path]] == []


def test_a_repeat_trains_only_itself(done: Path) -> None:
    jobs = planned(done, changed(repeats={"single-detection": [43]}))
    own = {job.replace("/42", "/43") for job in of_mixture("single-detection")}
    assert jobs == own | AFTER_SCORES


def test_more_steps_draw_and_train_every_run_again(done: Path) -> None:
    # Table 1, which judges the number of steps, must not hide what else the same edit asks for.
    jobs = planned(done, changed(training__steps=10, training__learning_rate=2e-4))
    again = set().union(*(of_mixture(m) for m in ("single-detection", "single-science", "collinearity")))
    assert jobs == again | {"table1.csv", "mixtures/collinearity.json", "in_domain.csv", *AFTER_SCORES}


def test_a_datasets_limit_counts_as_another_dataset(done: Path) -> None:
    jobs = planned(done, changed(domains__science__limit=11))
    expected = {
        "examples/science.jsonl",
        "table1.csv",
        "mixtures/collinearity.json",
        "in_domain.csv",
        *AFTER_SCORES,
    }
    assert jobs == expected | of_mixture("single-science") | of_mixture("collinearity")


def test_a_domains_template_trains_only_mixtures_that_can_have_weight_on_it(done: Path) -> None:
    jobs = planned(done, changed(domains__science__prompts={"choice": "Output <answer> </answer> tags."}))
    derived = {"mixtures/collinearity.json", *of_mixture("collinearity"), "in_domain.csv"}
    assert jobs == of_mixture("single-science", since="runs") | derived | AFTER_SCORES


def test_a_benchmarks_template_trains_no_seed_again(done: Path) -> None:
    jobs = planned(done, changed(benchmarks__chart__prompts={"number": "Output <answer> </answer> tags."}))
    seeds = ("base", "single-detection", "single-science")
    predicted_again = set().union(*(of_mixture(mixture, since="predictions") for mixture in seeds))
    derived = {"mixtures/collinearity.json", *of_mixture("collinearity")}
    assert jobs == predicted_again | derived | AFTER_SCORES


@pytest.fixture(scope="module")
def edited(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished study, whose sources may be changed."""
    copy = tmp_path_factory.mktemp("edited") / "copy"
    shutil.copytree(done, copy, symlinks=True)
    return copy


def test_nothing_re_runs_for_reformatted_code_and_comments(edited: Path) -> None:
    python = [*(edited / "modomodo").rglob("*.py"), *(edited / "scripts").glob("*.py")]
    before = [path.read_text() for path in python]
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--isolated",
        "--line-length",
        "60",
        "modomodo",
        "scripts",
    ]
    subprocess.run(ruff, cwd=edited, check=True, capture_output=True)
    assert [path.read_text() for path in python] != before
    for path in [*python, *(edited / "rules").glob("*.smk")]:
        path.write_text(f"{path.read_text()}\n# another comment\n")
    study = edited / "modomodo/config/schema.py"
    study.write_text(study.read_text().replace("Optimiser steps of a full run.", "Steps of a full run."))
    assert planned(edited, STUDY) == set()


def test_a_raised_version_of_a_metric_scores_again_without_a_model(edited: Path) -> None:
    metric = edited / "modomodo/metrics/exact_match.py"
    kept = metric.read_text()
    assert '"exact_match", version=1' in kept
    metric.write_text(kept.replace('"exact_match", version=1', '"exact_match", version=2'))
    try:
        jobs = planned(edited, STUDY)
    finally:
        metric.write_text(kept)
    seeds = ("base", "single-detection", "single-science")
    scored_again = set().union(*(of_mixture(mixture, since="scores") for mixture in seeds))
    assert jobs == scored_again | {"mixtures/collinearity.json", *of_mixture("collinearity"), *AFTER_SCORES}


def test_nothing_re_runs_in_a_fresh_clone_over_old_results(done: Path, tmp_path: Path) -> None:
    clone = clean_copy(tmp_path / "clone")
    for path in clone.rglob("*"):
        os.utime(path)  # as git leaves them: newer than any result
    shutil.copytree(done / "results", clone / "results", symlinks=True)
    assert planned(clone, STUDY) == set()
    shutil.copytree(done / ".snakemake", clone / ".snakemake", symlinks=True, dirs_exist_ok=True)
    assert planned(clone, STUDY) == set()


# --- a race -----------------------------------------------------------------------------------------------------

RACE = {"propose": "race", "group": "race", "options": {"rungs": {2: 3, 7: 2, 9: 1}}}
PLACES = ("race@7-01", "race@7-02", "race@9-01")


@pytest.fixture(scope="module")
def raced(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a race, killed while it trained to its second rung, and told to go on."""
    copy = tmp_path_factory.mktemp("race") / "copy"
    shutil.copytree(done, copy, symlinks=True)
    study = yaml.safe_dump(changed(strategies__race=RACE), sort_keys=False)
    (copy / "config/race.yaml").write_text(study, encoding="utf-8")
    arguments = ("--configfile", "config/race.yaml")
    process = subprocess.Popen(
        command(*arguments),
        cwd=copy,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 15 * MINUTES
    while not list(copy.glob("results/test/runs/race-*/42/trainer/checkpoint-3/complete")):
        assert process.poll() is None and time.monotonic() < deadline, "no run was trained to its second rung"
        time.sleep(0.005)
    kill_session(process)
    assert not (copy / RESULTS / "scores/race@7-02/42.json").exists(), "the kill came too late"
    succeed(snakemake(copy, *arguments, "--unlock"))
    succeed(snakemake(copy, *arguments))
    return copy


def winner(folder: Path) -> str:
    """The mixture that was trained to the end."""
    return json.loads((folder / RESULTS / "mixtures/race@9-01.json").read_text(encoding="utf-8"))["name"]


def test_a_run_that_goes_on_ends_as_one_trained_straight_through(raced: Path, tmp_path: Path) -> None:
    name = winner(raced)
    straight = tmp_path / "runs" / name / "42"
    stream = tmp_path / "stream.jsonl"
    shutil.copy(raced / RESULTS / f"streams/{name}/42.jsonl", stream)
    summary = json.loads((raced / RESULTS / f"streams/{name}/42.summary.json").read_text(encoding="utf-8"))
    whole = {key: value for key, value in summary.items() if key not in ("mixture", "since", "until")}
    stream.with_suffix(".summary.json").write_text(json.dumps(whole), encoding="utf-8")
    base = ("--base", RESULTS / "base", "--base-info", RESULTS / "base.json")
    examples = ("--examples", *(RESULTS / f"examples/{domain}.jsonl" for domain in STUDY["domains"]))
    settings = ("--settings", "config/race.yaml")
    run = (*base, "--stream", stream, *examples, "--mixture", name, "--seed", 42)
    trained = script(raced, "train", *settings, *run, "--output", straight / "run.json")
    assert trained.returncode == 0, trained.stderr
    benchmarks = ("--benchmarks", *(RESULTS / f"examples/{name}.jsonl" for name in STUDY["benchmarks"]))
    answers = tmp_path / "predictions" / name / "42"
    asked = ("--run", straight / "run.json", *benchmarks, "--output", answers / "predictions.json")
    predicted = script(raced, "predict", *settings, *asked)
    assert predicted.returncode == 0, predicted.stderr

    def bytes_of(folder: Path, pattern: str) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern)}

    in_parts = raced / RESULTS / f"runs/{name}/42"
    assert len(bytes_of(straight, "checkpoint-*/model.safetensors")) == 3
    for pattern in ("checkpoint-*/*", "log.jsonl", "fingerprint"):
        assert bytes_of(in_parts, pattern) == bytes_of(straight, pattern)
    found = bytes_of(answers, "*/*.jsonl")
    assert found and bytes_of(raced / RESULTS / f"predictions/{name}/42", "*/*.jsonl") == found


def test_a_run_in_a_race_has_one_name_and_those_that_stop_are_marked(raced: Path) -> None:
    records = pd.read_csv(raced / RESULTS / "records.csv")
    reached = records[records["strategy"] == "race"].groupby("mixture")["step"].agg(list)
    assert sorted(reached.tolist()) == [[2], [2, 7], [2, 7, 9]]
    stopped = set(records.loc[records["stopped"] == 1, "mixture"])
    assert stopped == set(reached.index) - {winner(raced)} and not records["mixture"].str.contains("@").any()
    table = pd.read_csv(raced / RESULTS / "table2.csv")
    assert set(table["mixture"]) == {
        "base",
        "single-detection",
        "single-science",
        "collinearity",
        winner(raced),
    }
    assert "Stopped before the last step" in (raced / RESULTS / "table2.md").read_text(encoding="utf-8")
    costs = pd.read_csv(raced / RESULTS / "figures/cost.csv")
    assert set(costs.loc[costs["out_score"].isna(), "mixture"]) == stopped
    assert winner(raced) in (raced / RESULTS / "runs.html").read_text(encoding="utf-8")
    promotion = json.loads((raced / RESULTS / "races/race/9.json").read_text(encoding="utf-8"))
    assert [run["mixture"] for run in promotion["runs"] if run["goes_on"]] == [winner(raced)]


def test_a_finished_race_plans_nothing_again(raced: Path) -> None:
    assert planned(raced, changed(strategies__race=RACE)) == set()
    status = script(raced, "status", "--study", "config/race.yaml").stdout
    assert re.search(r"^runs +9/9$", status, flags=re.MULTILINE), status
    chain = script(
        raced, "provenance", "--study", "config/race.yaml", "--mixture", winner(raced), "--benchmark", "chart"
    ).stdout
    assert "step 9" in chain and "every link holds" in chain


def test_a_changed_rung_trains_only_who_now_goes_further(raced: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(raced, copy, symlinks=True)
    # And where all may finish, there are places that none takes.
    wider = {**RACE, "options": {"rungs": {2: 3, 7: 3, 9: 1}, "if_uninformative": "finish"}}
    study = changed(strategies__race=wider)
    jobs = planned(copy, study)
    own = {"mixtures/race-001.json", "mixtures/race@7-01.json", "mixtures/race@9-01.json"}
    own |= set().union(*(of_mixture(name) for name in ("race-001", "race-002", "race-003")))
    own |= set().union(*(of_mixture(name) for name in (*PLACES, "race@7-03", "race@9-02", "race@9-03")))
    assert jobs == own | AFTER_SCORES, "what may run; nothing of the other strategies"
    kept = {
        path: path.stat().st_mtime_ns
        for path in copy.glob("results/test/runs/*/42/checkpoint-*/*.safetensors")
    }
    (copy / "config/changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    succeed(snakemake(copy, "scores", "--configfile", "config/changed.yaml"))
    assert [path for path in kept if path.stat().st_mtime_ns != kept[path]] == []
    new = set(copy.glob("results/test/runs/*/42/checkpoint-*/*.safetensors")) - set(kept)
    assert {path.parent.name for path in new} <= {"checkpoint-7", "checkpoint-9"}
    assert sum(path.parent.name == "checkpoint-7" for path in new) == 1
    taken = [
        json.loads((copy / RESULTS / f"mixtures/race@9-0{n}.json").read_text())["name"] for n in (1, 2, 3)
    ]
    informed = json.loads((copy / RESULTS / "races/race/9.json").read_text(encoding="utf-8"))["informed"]
    assert ("race@9-02" in taken) == informed
    records = pd.read_csv(copy / RESULTS / "records.csv")
    assert not records.duplicated(["mixture", "seed", "step"]).any()


# --- a budget ---------------------------------------------------------------------------------------------------

NEXT = {
    **{"propose": "acquire", "group": "model", "count": 4, "learns_from": ["seed", "race"]},
    "options": {"budget": 2.5, "surrogate": "gp_sqrt", "candidates": 90},
}
COSTS = {"training_hours": 0.9, "prediction_hours": 0.3}
# Nothing but a known mixture keeps to its constraints.
AGAIN = {
    **{"propose": "acquire", "group": "model", "count": 2, "learns_from": ["seed"]},
    "options": {
        "budget": 1.3,
        "repeats": 2,
        "surrogate": "gp_sqrt",
        "constraints": {"fixed": {"science": 1.0}},
    },
}


def test_a_budget_is_spent_on_new_mixtures_stopped_runs_and_repeats(raced: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(raced, copy, symlinks=True)
    before = pd.read_csv(copy / RESULTS / "records.csv")
    study = changed(strategies__race=RACE, strategies__next=NEXT, strategies__again=AGAIN, costs=COSTS)
    (copy / "config/changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    succeed(snakemake(copy, "--configfile", "config/changed.yaml"))
    files = {
        path.stem: json.loads(path.read_text()) for path in copy.glob("results/test/mixtures/next*.json")
    }
    decisions = [files[f"next-00{number}"]["budget"] for number in (1, 2, 3, 4)]
    assert 2.5 - 1.2 < sum(decision["hours"] for decision in decisions) <= 2.5
    records = pd.read_csv(copy / RESULTS / "records.csv")
    whole = set(records.loc[records["step"] == 9, "mixture"]) - set(
        before.loc[before["step"] == 9, "mixture"]
    )
    new = {f"next-00{n}" for n, one in enumerate(decisions, 1) if one["does"] == "train"}
    going_on = {one["run"] for one in decisions if one["does"] == "further"}
    assert new and going_on and len(new | going_on) < 4 and whole == new | going_on
    assert {file["name"] for name, file in files.items() if "@" in name} >= going_on
    assert not records.duplicated(["mixture", "seed", "step"]).any()
    for name in going_on:  # trained on from where it stopped, in its own folder
        folder = copy / RESULTS / f"runs/{name}/42"
        assert (folder / "checkpoint-9/model.safetensors").exists() and not (folder / "trainer").exists()
        early = folder / "checkpoint-2/model.safetensors"
        assert early.stat().st_mtime_ns == (raced / early.relative_to(copy)).stat().st_mtime_ns
        last = json.loads((copy / RESULTS / f"streams/{name}/42.summary.json").read_text())["steps"]
        logged = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["step"] for line in logged] == list(range(1, last + 1))
    table = pd.read_csv(copy / RESULTS / "table2.csv").set_index("mixture")
    assert whole <= set(table.index)

    # A known mixture again, under its own name and another seed: its mean is that of both.
    files = [json.loads((copy / RESULTS / f"mixtures/again-00{n}.json").read_text()) for n in (1, 2)]
    assert [file["budget"]["does"] for file in files] == ["repeat", "nothing"]
    assert (files[0]["name"], files[0]["budget"]["seed"]) == ("single-science", 43)
    alone = copy / RESULTS / "runs/single-science"
    assert (alone / "43/checkpoint-9/model.safetensors").exists() and not (alone / "43/trainer").exists()
    assert not list((copy / RESULTS / "runs/again-001").glob("*/checkpoint-*"))
    digests = [json.loads((alone / f"{seed}/finished.json").read_text())["rows"] for seed in (42, 43)]
    assert digests[0] != digests[1]
    both = records[(records["mixture"] == "single-science") & (records["step"] == 9)]
    assert sorted(both["seed"]) == [42, 43] and table.loc["single-science", "seeds"] == 2
    assert table.loc["single-science", "out_score"] == pytest.approx(both["out_score"].mean())
    assert "single-science/43" in (copy / RESULTS / "runs.html").read_text(encoding="utf-8")
    chain = ("--mixture", "single-science", "--seed", 43, "--benchmark", "chart")
    said = script(copy, "provenance", "--study", "config/changed.yaml", *chain).stdout
    assert "seed 43, step 9" in said and "every link holds" in said
    assert planned(copy, study) == set()


# --- merging and weights ----------------------------------------------------------------------------------------


def test_merging_screens_candidates_and_trains_the_best(done: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy, symlinks=True)
    screened = {"propose": "merge_screen", "group": "merged", "learns_from": ["seed"]}
    screened["options"] = {"candidates": 6, "questions": [0.4, 1.0]}
    study = changed(strategies__screened=screened, merging={"alphas": [1.0, 1.5]})
    (copy / "config/changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    kept = {path: path.stat().st_mtime_ns for path in copy.glob("results/test/runs/*/*/run.json")}
    succeed(snakemake(copy, "merged", "all", "--configfile", "config/changed.yaml"))
    # Nothing was trained but what the screening chose.
    assert [path for path in kept if path.stat().st_mtime_ns != kept[path]] == []
    screening = pd.read_csv(copy / RESULTS / "merged/screened.csv")
    candidates = screening[screening["strategy"] == "candidate"]
    assert len(candidates) == 6 and sorted(candidates["questions"].unique()) == [0.4, 1.0]
    table = pd.read_csv(copy / RESULTS / "records.csv").set_index("mixture")
    chosen = table.loc["screened-001", ["w_detection", "w_science"]].iloc[0]
    finalists = candidates[candidates["questions"] == 1]
    assert (finalists[["w_detection", "w_science"]] - chosen.to_numpy()).abs().max(axis=1).min() < 1e-6

    # An expert that is merged with nothing, as far as it went itself, answers as it does.
    merged = pd.read_csv(copy / RESULTS / "merged.csv").set_index("mixture")
    assert len(merged) == 2 * 4 and set(merged["fidelity"]) == {"merged"} and merged["experts"].nunique() == 1
    assert "forgot" in merged
    scores = ["y_science_test", "y_chart", "out_score", "se_out_score"]
    for single in ("single-detection", "single-science"):
        itself = table[table["step"] == 9].loc[single, scores]
        assert merged.loc[f"{single}@1", scores].astype(float).tolist() == itself.astype(float).tolist()

    # The merged model as a directory: loads, and holds what the base does not.
    experts = sorted(copy.glob("results/test/runs/single-*/42/run.json"))
    arguments = ("--base", RESULTS / "base", "--base-info", RESULTS / "base.json", "--experts", *experts)
    mixture = ("--mixture", RESULTS / "mixtures/screened-001.json", "--output", tmp_path / "model")
    run = script(copy, "merge", *arguments, *mixture, "--alpha", 1.5)
    assert run.returncode == 0, run.stderr
    from modomodo.training.models import load_model

    model, base = load_model(tmp_path / "model"), load_model(copy / RESULTS / "base")
    moved = {name for name, tensor in model.state_dict().items() if not tensor.equal(base.state_dict()[name])}
    assert moved and not any("visual" in name for name in moved)
    # Again: everything is cached. With another alpha candidates are merged again, and nothing is trained but those.
    assert planned(copy, study) == set()
    other = {**study, "merging": {"alphas": [1.0, 2.0]}}
    screened_again = {"merged/screened.csv", "mixtures/screened-001.json", *of_mixture("screened-001")}
    assert planned(copy, other) == screened_again | AFTER_SCORES


def test_weights_are_let_go_once_they_have_answered_and_a_new_question_is_told(
    done: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy, symlinks=True)
    keeping = changed(training__keep_weights=[9])
    assert planned(copy, keeping) == set(), "what is kept changes no result"
    run = copy / RESULTS / "runs/single-detection/42"
    answered = succeed(
        script(
            copy,
            "predict",
            *("--settings", "config/changed.yaml", "--run", run / "run.json", "--keep", 9),
            "--output",
            RESULTS / "predictions/single-detection/42/predictions.json",
            *("--benchmarks", RESULTS / "examples/science_test.jsonl", RESULTS / "examples/chart.jsonl"),
        )
    )
    assert "weights removed of the steps 2, 7" in answered.stdout
    assert sorted(path.parent.name for path in run.glob("*/*.safetensors")) == ["checkpoint-9"]
    assert planned(copy, keeping) == set(), "nothing is trained or asked again for that"
    new = {
        **STUDY["benchmarks"]["chart"],
        "options": {"domain": "math", "split": "test", "size": 8, "seed": 18},
    }
    study = {**keeping, "benchmarks": {**STUDY["benchmarks"], "math": new}}
    said = refused(copy, study)
    assert "1 runs have not answered math, and training.keep_weights removed their weights" in said
    assert "rm -r results/test/runs/single-detection/42" in said
    shutil.rmtree(run)
    assert "runs/single-detection/42/run.json" in planned(copy, study)


# --- bad input --------------------------------------------------------------------------------------------------


def refused(folder: Path, study: dict) -> str:
    """What a user sees: the last line, of a run that failed before any job."""
    (folder / "config/changed.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    run = snakemake(folder, "-n", "--configfile", "config/changed.yaml", timeout=2 * MINUTES)
    shown = run.stdout + run.stderr
    assert run.returncode != 0
    assert "Traceback" not in shown
    return shown.strip().splitlines()[-1]


EXPLICIT = {"propose": "explicit", "group": "own"}


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (
            changed(strategies__own={**EXPLICIT, "options": {"weights": {"detection": 0.5, "science": 0.4}}}),
            "strategies.own: explicit: weights: weights sum to 0.9, not 1",
        ),
        (
            changed(strategies__own={**EXPLICIT, "options": {"weights": {"detektion": 1.0}}}),
            "unknown domain 'detektion': did you mean 'detection'?",
        ),
        (
            changed(strategies__own={"propose": "quadratik_surface", "group": "own"}),
            "did you mean 'quadratic_surface'?",
        ),
        (
            changed(training__train_batch_size=10),
            "training: train_batch_size: 10 is not a multiple of num_generations (6)",
        ),
        (changed(training__scored_steps=[2, 11]), "scored_steps: 11 lies beyond the last step (9)"),
        (changed(training__stpes=9), "training.stpes: unknown key: did you mean 'steps'?"),
        (changed(strategies__collinearity__learns_from=[]), "strategies.collinearity.learns_from: missing"),
    ],
)
def test_a_bad_study_is_refused_in_one_line(done: Path, study: dict, message: str) -> None:
    line = refused(done, study)
    assert line.startswith("error: config/changed.yaml: "), line
    assert message in line


def script(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, f"scripts/{name}.py", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=2 * MINUTES,
    )


def train_arguments(folder: Path, examples: Path) -> list[object]:
    return [
        *("--settings", "config/test.yaml", "--base", folder / RESULTS / "base"),
        *(
            "--base-info",
            folder / RESULTS / "base.json",
            "--stream",
            RESULTS / "streams/single-science/42.jsonl",
        ),
        *(
            "--examples",
            examples,
            "--mixture",
            "single-science",
            "--seed",
            42,
            "--output",
            examples.parent / "run/run.json",
        ),
    ]


@pytest.fixture
def own_examples(done: Path, tmp_path: Path) -> Path:
    """A copy of a domain's examples, to be damaged."""
    shutil.copytree(done / RESULTS / "examples/images/science", tmp_path / "images/science")
    return Path(shutil.copy(done / RESULTS / "examples/science.jsonl", tmp_path / "science.jsonl"))


def one_line_error(run: subprocess.CompletedProcess) -> str:
    assert run.returncode == 2, run.stdout + run.stderr
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), run.stderr
    return lines[0]


def test_a_damaged_example_row_stops_before_training(done: Path, own_examples: Path) -> None:
    lines = own_examples.read_text().splitlines()
    lines[3] = lines[3].replace('"answer_type": "choice"', '"answer_type": "chioce"')
    own_examples.write_text("\n".join(lines) + "\n")
    line = one_line_error(script(done, "train", *train_arguments(done, own_examples)))
    assert f"{own_examples}:4: answer_type" in line


def test_an_image_that_cannot_be_read_stops_before_training(done: Path, own_examples: Path) -> None:
    image = next((own_examples.parent / "images/science").iterdir())
    image.write_bytes(image.read_bytes()[:40])
    line = one_line_error(script(done, "train", *train_arguments(done, own_examples)))
    assert str(image) in line and "cannot be read" in line


def test_a_benchmark_without_rows_is_refused(done: Path, tmp_path: Path) -> None:
    empty = tmp_path / "chart.jsonl"
    empty.touch()
    arguments = (
        "--settings",
        "config/test.yaml",
        "--base",
        RESULTS / "base",
        "--base-info",
        RESULTS / "base.json",
    )
    run = script(
        done, "predict", *arguments, "--benchmarks", empty, "--output", tmp_path / "predictions.json"
    )
    assert f"{empty}: benchmark without rows" in one_line_error(run)


def test_steps_beyond_all_data_stop_the_study_before_its_first_run(done: Path, tmp_path: Path) -> None:
    """Its streams are drawn before; table 1, which may be all that is asked for, is made and warns."""
    study = changed(training__steps=30)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    examples = sorted((done / RESULTS / "examples").glob("[a-z]*[a-z].jsonl"))
    examples = [path for path in examples if not path.name.endswith(".rejected.jsonl")]
    given = ["--settings", tmp_path / "study.yaml", "--examples", *examples]
    words = "30 steps need 60 prompts, but all domains together hold 52 examples"

    run = script(done, "table1", *given, "--output", tmp_path / "t.csv")
    assert run.returncode == 0 and (tmp_path / "t.csv").is_file()
    assert f"warning: training.steps: {words}" in run.stderr

    def drawn(detection: float) -> subprocess.CompletedProcess:
        weights = {"detection": detection, "science": 1 - detection}
        mixture = {"name": "m", "weights": weights, "strategy": "s", "round": 1}
        (tmp_path / "m.json").write_text(json.dumps(mixture))
        stream = ["--mixture", tmp_path / "m.json", "--seed", 42, "--output", tmp_path / "42.jsonl"]
        return script(done, "draw_stream", *given, *stream)

    assert words in one_line_error(drawn(0.5))
    assert drawn(1).returncode == 0  # a single domain may be exhausted


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_every_script_explains_itself(path: Path) -> None:
    run = script(ROOT, path.stem, "--help")
    assert run.returncode == 0, run.stderr
    assert "Example:" in run.stdout
    assert ("--output" in run.stdout) == (path.stem not in {"peek", "reproduce", "watch"})  # which only show


# --- what is shown of a study -----------------------------------------------------------------------------------


def test_the_plan_of_a_finished_study(done: Path) -> None:
    shown = script(done, "plan", "--study", "config/test.yaml")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == (
        "study test: 3 mixtures of 2 domains, 3 runs, scored at steps 2, 7, 9 on 2 benchmarks"
    )
    runs = next(line for line in lines if line.startswith("runs")).split()
    assert runs[:4] == ["runs", "3", "3", "0"] and "measured on 3" in shown.stdout
    assert lines[-1] == "nothing is left to train or predict"


def test_the_status_of_a_finished_study(done: Path) -> None:
    shown = script(done, "status", "--study", "config/test.yaml")
    assert shown.returncode == 0, shown.stderr
    counts = dict(re.findall(r"^(\S[\w ]*\S) +(\d+/\d+)$", shown.stdout, flags=re.MULTILINE))
    assert counts == {
        "examples": "5/5",
        "base model": "1/1",
        "mixtures": "3/3",
        "streams": "3/3",
        "runs": "3/3",
        "predictions": "4/4",
        "scores": "4/4",
        "table": "1/1",
    }
    best = pd.read_csv(done / "results/table2.csv").dropna(subset="w_science")["out_score"].max()
    assert f"\n  {best:.2f} ± " in shown.stdout


def provenance(folder: Path, mixture: str, benchmark: str) -> subprocess.CompletedProcess:
    words = ("--study", "config/test.yaml", "--mixture", mixture, "--benchmark", benchmark)
    return script(folder, "provenance", *words)


@pytest.mark.parametrize("mixture", ["collinearity", "base"])
@pytest.mark.parametrize("benchmark", ["chart", "out_score"])
def test_the_chain_behind_a_number_holds(done: Path, mixture: str, benchmark: str) -> None:
    shown = provenance(done, mixture, benchmark)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.endswith("\nevery link holds\n")
    table = pd.read_csv(done / "results/table2.csv").set_index("mixture")
    headline = re.search(r": (0\.\d+) ± 0\.\d+", shown.stdout.splitlines()[0])
    assert headline and float(headline[1]) == pytest.approx(table.loc[mixture, "y_chart"], abs=0.006)
    kinds = {line.split("  ")[0] for line in shown.stdout.splitlines() if line and not line.startswith(" ")}
    assert {"record", "scores", "base model", "examples"} <= kinds
    if mixture != "base":
        assert {"checkpoint", "training", "stream", "mixture"} <= kinds


@pytest.mark.parametrize(
    ("changed_file", "check"),
    [
        ("predictions/collinearity/42/9/chart.jsonl", "as listed, sha256"),
        ("examples/chart.jsonl", "answers of these weights to these questions"),
        ("streams/collinearity/42.jsonl", "on the rows of this stream and these examples"),
        ("runs/collinearity/42/checkpoint-9/model.safetensors", "weights as recorded"),
    ],
)
def test_a_link_that_has_changed_is_found(done: Path, tmp_path: Path, changed_file: str, check: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(done, copy, symlinks=True, ignore=shutil.ignore_patterns(".snakemake", "images"))
    path = copy / RESULTS / changed_file
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[1:] + lines[:1]))
    else:
        path.write_bytes(path.read_bytes() + b" ")
    shown = provenance(copy, "collinearity", "chart")
    assert shown.returncode == 1, shown.stdout + shown.stderr
    changed_links = [line for line in shown.stdout.splitlines() if "CHANGED SINCE: " in line]
    assert any(check in line for line in changed_links), shown.stdout


def test_every_step_left_its_description(done: Path) -> None:
    described = [
        *("examples/chart", "mixtures/collinearity", "streams/collinearity/42", "runs/collinearity/42"),
        *("scores/collinearity/42", "records", "table2"),
    ]
    keys = {"settings", "versions", "commit", "code", "hardware", "seconds", "finished"}
    for name in described:
        about = yaml.safe_load((done / RESULTS / name / "run.json").read_text())
        assert keys <= about.keys(), name
    (part,) = yaml.safe_load((done / RESULTS / "predictions/collinearity/42/run.json").read_text())["parts"]
    assert keys <= part.keys()
    assert part["answered"] == sorted(f"{step}/{b}" for step in (2, 7, 9) for b in ("chart", "science_test"))
    assert keys - {"settings"} <= yaml.safe_load((done / RESULTS / "base.json").read_text()).keys()


def test_an_archive_has_nothing_to_do_elsewhere_and_knows_what_its_results_were_made_from(
    done: Path, tmp_path: Path
) -> None:
    """Without weights and images, which nothing asks for again; a number's chain can be followed there."""
    packed = tmp_path / "test.tar.gz"
    made = script(done, "archive", "--study", "config/test.yaml", "--output", packed)
    assert made.returncode == 0 and "sha256" in made.stdout, made.stdout + made.stderr
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    home = tmp_path / "test"
    assert not list((home / "results").rglob("*.safetensors"))
    assert not (home / RESULTS / "examples/images").exists()
    whole = script(home, "reproduce")
    assert whole.returncode == 0 and "finds nothing to do" in whole.stdout, whole.stderr
    chain = provenance(home, "collinearity", "chart")
    assert chain.returncode == 0 and "its weights are not here" in chain.stdout, chain.stdout

    study = (home / "config/test.yaml").read_text()
    (home / "config/test.yaml").write_text(study.replace("learning_rate: 1.0e-3", "learning_rate: 1.0e-4"))
    assert "config/test.yaml: unpack it again" in (line := one_line_error(script(home, "reproduce"))), line
    listed = snakemake(home, "-n", "--configfile", "config/test.yaml")
    assert re.search(r"^train +3$", listed.stdout, flags=re.MULTILINE), listed.stdout
    # An unfinished study is none to hand on.
    (done / RESULTS / "verdict.txt").rename(tmp_path / "verdict.txt")
    line = one_line_error(script(done, "archive", "--study", "config/test.yaml", "--output", packed))
    (tmp_path / "verdict.txt").rename(done / RESULTS / "verdict.txt")
    assert (
        "unpacked elsewhere it would not be finished: " in line
        and "table2_files" in line
        and not packed.exists()
    )
