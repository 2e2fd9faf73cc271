"""Every key of a study reaches what it is for, from the YAML on: a key without a proof fails here.

A proof is a case below (the key's value is seen in the trainer's arguments, the engine's, the builder's, in the plan,
in the text of a rule, or in other proposals), or the name of the test that sees it elsewhere.
"""

import ast
import typing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from study_records import DOMAINS, SIZES, records

import modomodo.mixtures.strategies  # noqa: F401  (they register themselves)
from modomodo.config.loading import parse
from modomodo.config.schema import Judge, Study, Templates
from modomodo.data.settings import DownloadSettings, Table1Settings
from modomodo.errors import InputError
from modomodo.evaluation.engines import start
from modomodo.evaluation.settings import PredictSettings
from modomodo.metrics import judge
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.plan import plan
from modomodo.mixtures.records import one_step
from modomodo.mixtures.settings import StreamSettings
from modomodo.mixtures.strategies import base as strategies
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.replay.config import ReplayConfig
from modomodo.study.checks import read_study
from modomodo.training.builders import model_builders
from modomodo.training.builders import read_options as builder_options
from modomodo.training.settings import BaseModelSettings, TrainSettings

TESTS = Path(__file__).parents[1]
RULES = "\n".join(
    path.read_text() for path in [TESTS.parent / "Snakefile", *TESTS.parent.glob("rules/*.smk")]
)


# --- the keys -----------------------------------------------------------------------------------------------


def keys_of(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """`training.steps`, `domains.limit`: the keys of a model and of the models in it, without the names."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *typing.get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            yield from keys_of(inner[0], f"{path}{name}.")
        else:
            yield f"{path}{name}"


# --- training: the trainer and its arguments ----------------------------------------------------------------

# Key → what else has to be set, and the argument of GRPOConfig that shows the value.
ARGUMENTS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "training.steps": ({"steps": 11}, "max_steps", 11),
    "training.train_batch_size": ({"train_batch_size": 18}, "per_device_train_batch_size", 18),
    "training.num_generations": ({"num_generations": 4}, "num_generations", 4),
    "training.gradient_accumulation_steps": (
        {"gradient_accumulation_steps": 3},
        "gradient_accumulation_steps",
        3,
    ),
    "training.learning_rate": ({"learning_rate": 3e-5}, "learning_rate", 3e-5),
    "training.warmup_ratio": ({"warmup_ratio": 0.45}, "warmup_steps", 4),
    "training.adam_beta2": ({"adam_beta2": 0.95}, "adam_beta2", 0.95),
    "training.beta": ({"beta": 0.5}, "beta", 0.5),
    "training.loss_type": ({"loss_type": "dapo"}, "loss_type", "dapo"),
    "training.reward_weights": (
        {"reward_weights": {"accuracy": 7.0, "iou": 3.0, "format": 0.5}},
        "reward_weights",
        [7.0, 0.5],
    ),
    "training.temperature": ({"temperature": 0.7}, "temperature", 0.7),
    "training.max_completion_length": ({"max_completion_length": 33}, "max_completion_length", 33),
    "training.max_grad_norm": ({"max_grad_norm": 0.3}, "max_grad_norm", 0.3),
    "training.bf16": ({"bf16": True}, "bf16", True),
    "training.gradient_checkpointing": ({"gradient_checkpointing": False}, "gradient_checkpointing", False),
    "training.trl": ({"trl": {"epsilon": 0.1}}, "epsilon", 0.1),
}
BASE_TRAINING = {"steps": 9, "scored_steps": [2, 7, 9], "bf16": False}


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """What a fake raises once it has seen its arguments."""


@pytest.fixture
def trained(study_data, write_study, monkeypatch):
    """Read a study and train a run on `science` by it: what the trainer was given, short of training."""
    from modomodo.training import trainer
    from modomodo.training.job import TrainJob
    from modomodo.training.model_boxes import ModelBoxes

    def train(**sections: Any) -> SimpleNamespace:
        study_data.update(sections)
        study = read_study(write_study(study_data))
        text = TrainSettings.of(study, ["science"]).text()
        settings = parse(yaml.safe_load(text), TrainSettings, "--settings")
        seen = SimpleNamespace(frozen=False)

        def build(**given: Any):
            seen.arguments, seen.rewards = given["args"], given["reward_funcs"]
            raise Stopped

        def rows(given, templates, own):
            seen.templates = own.get("science", templates)

        monkeypatch.setattr(
            trainer.torch, "set_num_threads", lambda threads: vars(seen).update(threads=threads)
        )
        monkeypatch.setattr(trainer, "check_images", lambda *given: None)
        monkeypatch.setattr(trainer, "model_boxes", lambda *given: ModelBoxes())
        monkeypatch.setattr(trainer, "load_processor", lambda path: None)
        monkeypatch.setattr(trainer, "load_model", lambda path, dtype: vars(seen).update(dtype=dtype))
        monkeypatch.setattr(trainer, "freeze_vision", lambda model: vars(seen).update(frozen=True))
        monkeypatch.setattr(trainer, "training_dataset", rows)
        monkeypatch.setattr(trainer, "StreamTrainer", build)
        job = TrainJob(Path("base"), [], Path("run"), settings, 42, 9, {2: 2, 7: 7, 9: 9})
        with pytest.raises(Stopped):
            trainer.train(job)
        return seen

    return train


@pytest.mark.parametrize("key", ARGUMENTS)
def test_a_key_of_training_is_an_argument_of_trls(trained, key) -> None:
    changes, argument, value = ARGUMENTS[key]
    assert getattr(trained(training=BASE_TRAINING | changes).arguments, argument) == value
    name = key.partition(".")[2]
    other = {"bf16": {"bf16": False}, "gradient_checkpointing": {"gradient_checkpointing": True}}.get(
        name, {}
    )
    assert getattr(trained(training=BASE_TRAINING | other).arguments, argument) != value


def test_what_the_trainer_does_besides(trained, study_data) -> None:
    """training.threads, training.freeze_vision, model.dtype, prompts, and a domain's rewards and prompts."""
    seen = trained(training=BASE_TRAINING)
    assert (seen.threads, seen.frozen, seen.dtype) == (1, True, "float32")
    assert [reward.__name__ for reward in seen.rewards] == ["accuracy", "format"]
    texts = {"box": "B", "choice": "C", "text": "T", "number": "N", "separator": "S"}
    study_data["domains"]["science"] |= {"rewards": ["format"], "prompts": {"number": "own"}}
    study_data["model"]["dtype"] = "bfloat16"
    seen = trained(training=BASE_TRAINING | {"threads": 3, "freeze_vision": False}, prompts=texts)
    assert (seen.threads, seen.frozen, seen.dtype) == (3, False, "bfloat16")
    assert [reward.__name__ for reward in seen.rewards] == ["format"]
    assert seen.templates == Templates(**texts | {"number": "own"})


# --- evaluation: the engine ---------------------------------------------------------------------------------


def test_what_predictions_are_made_with(study_data, write_study, monkeypatch) -> None:
    """evaluation.*; model.dtype where it has none; a benchmark's prompts."""
    import torch

    from modomodo.evaluation.engines import hf, vllm
    from modomodo.training import model_boxes, processors
    from modomodo.training.model_boxes import ModelBoxes

    seen: dict[str, Any] = {}
    monkeypatch.setattr(start, "acquire_gpus", lambda gpus, key: seen.update(gpus=gpus))
    monkeypatch.setattr(start, "enter_vllm_environment", lambda: None)
    monkeypatch.setattr(start, "check_vllm", lambda *given, **named: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: seen.update(threads=threads))
    monkeypatch.setattr(processors, "check_images", lambda *given: None)
    monkeypatch.setattr(model_boxes, "model_boxes", lambda *given: ModelBoxes())
    monkeypatch.setattr(processors, "load_processor", lambda path: None)
    monkeypatch.setattr(vllm, "most_images", lambda rows: 1)
    for module, engine in ((hf, "TransformersEngine"), (vllm, "VllmEngine")):
        monkeypatch.setattr(
            module,
            engine,
            lambda _, evaluation, dtype, *more, n=engine: (
                seen.update(n=n, e=evaluation, dtype=dtype) or SimpleNamespace()
            ),
        )

    def predicted(**evaluation: Any) -> dict[str, Any]:
        study = read_study(write_study(study_data | {"evaluation": evaluation}))
        settings = parse(yaml.safe_load(PredictSettings.of(study).text()), PredictSettings, "--settings")
        start.start_engine(settings, Path("base"), [])
        return dict(seen)

    plain = predicted()
    assert (plain["n"], plain["gpus"], plain["threads"], plain["dtype"]) == (
        "TransformersEngine",
        0,
        1,
        "float32",
    )
    changed = predicted(
        engine="vllm", gpus=2, threads=3, dtype="bfloat16", batch_size=7, max_completion_length=8
    )
    assert (changed["n"], changed["gpus"], changed["threads"], changed["dtype"]) == (
        "VllmEngine",
        2,
        3,
        "bfloat16",
    )
    assert (changed["e"].batch_size, changed["e"].max_completion_length) == (7, 8)
    study_data["model"]["dtype"] = "bfloat16"
    assert predicted()["dtype"] == "bfloat16"
    study_data["benchmarks"]["chart"]["prompts"] = {"text": "own"}
    settings = PredictSettings.of(read_study(write_study(study_data)))
    assert (
        settings.for_benchmark("chart").prompts.text == "own" != settings.for_benchmark("other").prompts.text
    )


# --- the base model -----------------------------------------------------------------------------------------


def test_what_the_base_model_is_built_with(study_data, write_study, monkeypatch) -> None:
    """model.builder, model.options, model.threads."""
    monkeypatch.setitem(model_builders._functions, "own", lambda *given: given)
    study_data["model"] = {"builder": "own", "options": {"size": 3}, "threads": 5}
    study = read_study(write_study(study_data))
    settings = parse(yaml.safe_load(BaseModelSettings.of(study).text()), BaseModelSettings, "--settings")
    model = settings.model
    options = builder_options(model.builder, model.options)
    given = model_builders[model.builder](Path("base"), options, settings.prompts, model.threads)
    assert given == (Path("base"), {"size": 3}, settings.prompts, 5)


# --- strategies ---------------------------------------------------------------------------------------------

SEARCHED = {"surrogate": "gp_sqrt"}
QUICK = {"candidates": 60}
# Strategy → its options and, for each, a value that gives other mixtures than these.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpha": ({"alpha": 1.0}, {"alpha": 0.0, "alpha_single": 0.1}),
    "collinearity": ({}, {"ridge": 1.0}),
    "leave_one_out": ({}, {"range_over": "remaining"}),
    "quadratic_surface": ({"samples": 300}, {"samples": 50, "splits": 1}),
    "explicit": ({"weights": {"boxes": 1.0}}, {"weights": {"maths": 1.0}}),
    "dirichlet": ({}, {"concentration": 30.0}),
    "design": ({}, {"kind": "d_optimal"}),
    "by_size": (
        {"sizes": {"boxes": 10, "maths": 20, "science": 30}},
        {"sizes": {"boxes": 10, "maths": 20, "science": 60}, "temperature": 9.0},
    ),
    "cma_es": (SEARCHED, {"surrogate": "quadratic", "min_distance": 0.5}),
    "acquire": (
        SEARCHED | QUICK | {"acquisition": "ucb"},
        {
            "surrogate": "quadratic",
            "min_distance": 0.7,
            "acquisition": "worst",
            "candidates": 30,
            "exploration": 99.0,
        },
    ),
    "pareto": (SEARCHED, {"surrogate": "quadratic"}),
}
CASES = [(name, option) for name, (_, changes) in OPTIONS.items() for option in changes]


def proposed(name: str, options: dict[str, Any], **request: Any) -> list[dict[str, float]]:
    without = {"boxes"} if name == "leave_one_out" else set()
    domains = [domain for domain in DOMAINS if domain not in without]
    asked = Request(records(), domains, 3, options=read_options(name, options), aggregates=SIZES, **request)
    return [proposal.weights for proposal in propose(name, asked)]


@pytest.mark.parametrize(("name", "option"), CASES)
def test_an_option_of_a_strategy_gives_other_mixtures(name, option) -> None:
    options, changes = OPTIONS[name]
    assert proposed(name, options) != proposed(name, options | {option: changes[option]})


CAPPED = {"epochs": 1.0, "sizes": {"boxes": 90, "maths": 90, "science": 90}, "prompts": 150}
NEAR = {"prior": {"boxes": 0.5, "maths": 0.3, "science": 0.2}, "prior_distance": 0.1}
BOUNDS: dict[str, tuple[dict[str, Any], Any]] = {
    "minimum": ({}, {"maths": 0.5}),
    "maximum": ({}, {"maths": 0.1}),
    "fixed": ({}, {"maths": 0.77}),
    "epochs": (CAPPED, 0.9),
    "sizes": (CAPPED, {"boxes": 90, "maths": 40, "science": 90}),
    "prompts": (CAPPED, 200),
    "exhaustion_risk": (CAPPED, 1e-9),
    "prior": (NEAR, {"boxes": 0.2, "maths": 0.3, "science": 0.5}),
    "prior_distance": (NEAR, 0.5),
}


@pytest.mark.parametrize("key", Constraints.model_fields)
def test_a_constraint_gives_other_mixtures(key) -> None:
    constraints, value = BOUNDS[key]
    assert proposed("design", {"constraints": constraints}) != proposed(
        "design", {"constraints": constraints | {key: value}}
    )


@pytest.mark.parametrize("name", ["cma_es", "acquire", "pareto"])
def test_constraints_reach_every_search(name) -> None:
    bounded = SEARCHED | {"constraints": {"minimum": {"maths": 0.5}}}
    assert min(weights["maths"] for weights in proposed(name, bounded)) >= 0.5 - 1e-6


def test_a_prior_needs_its_distance() -> None:
    with pytest.raises(InputError, match="prior: say how near"):
        read_options("design", {"constraints": {"prior": {"maths": 1.0}}})


def test_what_a_request_is_made_of() -> None:
    """A strategy's target, seed, count and scores."""
    samples = {"samples": 300}
    one, other = (proposed("quadratic_surface", samples, target=name) for name in ("in_score", "puzzle"))
    assert one != other
    assert proposed("dirichlet", {}, seed=1) != proposed("dirichlet", {}, seed=2)
    assert len(proposed("dirichlet", {})) == 3
    last, mean = (one_step(records(), scores).frame["out_score"].mean() for scores in ("last", "mean"))
    assert last > mean


def test_as_many_are_asked_at_once_as_the_study_says(monkeypatch, tmp_path) -> None:
    """judge.parallel."""

    def pool(workers: int) -> None:
        raise Stopped(workers)

    monkeypatch.setattr(judge, "ThreadPoolExecutor", pool)
    with pytest.raises(Stopped, match="^5$"):
        judge.replies(["a"], Judge(model="m", key=None, parallel=5), tmp_path / "kept.jsonl")


# --- the plan, the table, the draw --------------------------------------------------------------------------


def test_what_a_plan_is_made_of(study_data, write_study) -> None:
    """training.seed, repeats, and a strategy's propose, count, learns_from, without."""
    first = plan(read_study(write_study(study_data)))
    study_data["training"]["seed"] = 5
    study_data["repeats"] = {"all": [6]}
    study_data["strategies"]["surface"] |= {"count": 4, "learns_from": ["all"], "without": ["boxes"]}
    study_data["strategies"]["all"]["propose"] = "exclude_one"
    study_data["repeats"] = {"all-boxes": [6]}
    second = plan(read_study(write_study(study_data)))
    assert ("all", 42) in first.runs and ("all-boxes", 5) in second.runs and ("all-boxes", 6) in second.runs
    assert len(second.by_strategy["surface"]) == 4
    assert {mixture for mixture, _ in second.learns_from["surface"]} == {
        "all-boxes",
        "all-relation",
        "all-science",
    }
    assert second.support["surface-001"] == ["science", "relation"]


@pytest.mark.parametrize("part", ["domains", "benchmarks"])
def test_table_1_knows_what_is_expected(study_data, write_study, part) -> None:
    name = {"domains": "science", "benchmarks": "chart"}[part]
    study_data[part][name]["expected"] = 77
    assert Table1Settings.of(read_study(write_study(study_data))).expected[name].examples == 77


@pytest.mark.parametrize("part", ["domains", "benchmarks", "held_out"])
def test_a_download_knows_its_source(study_data, write_study, part) -> None:
    """data.raw_from, and each key of `source`."""
    source = {"revision": "v1", "repo": "a/b", "files": ["*.parquet"], "sha256": {"x": "0"}}
    entry = {"loader": "chartqa", "source": source}
    if part != "domains":
        entry["metric"] = "exact_match"
    study_data["domains"]["new"] = {"loader": "chartqa", "source": {"revision": "v1"}}
    study_data.setdefault(part, {})["new" if part != "benchmarks" else "test"] = entry | (
        {"group": "in"} if part == "benchmarks" else {}
    )
    study_data["data"] = {"raw_from": "/raw"}
    name = {"domains": "new", "benchmarks": "test", "held_out": "new_held_out"}[part]
    found = DownloadSettings.of(read_study(write_study(study_data)), name)
    assert found.source is not None and found.source.model_dump() == source
    assert found.raw_from == "/raw"


def test_a_window_counts_for_exact_shares_alone(study_data, write_study) -> None:
    def settings(**draw: Any) -> StreamSettings:
        return StreamSettings.of(read_study(write_study(study_data | {"draw": draw})))

    assert (settings().window, settings(shares="exact").window) == (None, 20)
    assert settings(shares="exact", window=7).window == 7
    assert settings(window=7).text() == settings().text()


# --- the table of proofs ------------------------------------------------------------------------------------

TRAINER = "test_what_the_trainer_does_besides"
ENGINE = "test_what_predictions_are_made_with"
MODEL = "test_what_the_base_model_is_built_with"
PLAN = "test_what_a_plan_is_made_of"
SOURCE = "test_a_download_knows_its_source"
EXPECTED = "test_table_1_knows_what_is_expected"
WINDOW = "test_a_window_counts_for_exact_shares_alone"
REQUEST = "test_what_a_request_is_made_of"
ROWS = "data/test_preprocess.py::test_a_key_of_the_study_reaches_the_files"
SAME_ROWS = "data/test_preprocess.py::test_so_it_does_for_benchmarks_and_held_out_questions"
REPLAY = "replay/test_replay.py::test_"

# Key → the tests that see it, in this file or in another; `rule:` and a text that a rule holds.
PROOFS: dict[str, str] = {
    "name": 'rule:results=f"results/{STUDY.name}"',
    "plugins": "config/test_study.py::test_a_plugin_adds_one_of_each_from_outside_the_package",
    **dict.fromkeys(["model.builder", "model.options", "model.threads"], MODEL),
    "model.dtype": TRAINER,
    **{
        f"{part}.{key}": proof
        for part, rows in (("domains", ROWS), ("benchmarks", SAME_ROWS), ("held_out", SAME_ROWS))
        for keys, proof in (
            ("loader options limit max_rejected max_question max_pixels longest", rows),
            ("source.revision source.repo source.files source.sha256", SOURCE),
            ("expected", EXPECTED),
        )
        for key in keys.split()
    },
    "domains.prompts": TRAINER,
    "domains.rewards": TRAINER,
    "domains.reward_weights": "config/test_study.py::test_weights_that_are_not_given_keep_their_defaults",
    "benchmarks.prompts": ENGINE,
    "held_out.prompts": "evaluation/test_in_domain.py::test_held_out_questions_may_have_templates_of_their_own",
    "benchmarks.lmms_eval": "study/test_lmms_tasks.py::test_a_task_is_a_benchmark",
    "benchmarks.metric": "study/test_settings.py::test_what_the_settings_of_each_job_hold",
    "benchmarks.group": "study/test_settings.py::test_what_the_settings_of_each_job_hold",
    "held_out.metric": "evaluation/test_in_domain.py::test_held_out_questions_are_a_dataset_like_any_other",
    "data.raw_from": SOURCE,
    "data.threads": "rule:threads: STUDY.data.threads",
    **{f"prompts.{kind}": TRAINER for kind in Templates.model_fields},
    **dict.fromkeys(["draw.shares", "draw.window"], WINDOW),
    **dict.fromkeys(ARGUMENTS, "test_a_key_of_training_is_an_argument_of_trls"),
    "training.seed": PLAN,
    "training.scored_steps": "mixtures/test_stream.py::test_checkpoints_past_the_end_are_the_last_step",
    "training.freeze_vision": TRAINER,
    "training.threads": TRAINER,
    **{
        f"training.lora.{key}": f"training/test_adapters.py::test_{proof}"
        for key, proof in {
            "rank": "the_sum_of_base_and_adapter_is_what_was_trained",
            "alpha": "the_sum_of_base_and_adapter_is_what_was_trained",
            "targets": "adapters_are_on_the_language_model_and_only_when_asked_on_what_sees",
            "dropout": "with_dropout_no_two_probabilities_agree_and_the_run_trains",
        }.items()
    },
    "training.dynamic_sampling.max_tries": "training/test_live_training.py::"
    "test_tries_are_bounded_and_end_with_the_examples_of_the_domain",
    "training.accelerate": "training/test_accelerate.py::test_the_processes_get_what_accelerate_launch_would_set",
    "training.report_to": "rule:--report-to {' '.join(STUDY.training.report_to)}",
    "training.save_steps": "rule:--save-steps {STUDY.training.save_steps}",
    "training.keep_weights": "study/test_costs.py::test_weights_that_are_removed_take_no_disk",
    "training.gpus": "training/test_launch.py::test_without_a_server_every_gpu_trains",
    "training.vllm": "training/test_launch.py::test_the_papers_four_gpus_one_serves_and_three_train",
    **{
        f"evaluation.{key}": ENGINE
        for key in ("max_completion_length", "batch_size", "gpus", "engine", "dtype", "threads")
    },
    **{
        f"costs.{key}": "study/test_costs.py::test_configured_costs_by_hand"
        for key in ("training_hours", "prediction_hours", "checkpoint_gb")
    },
    "costs.gpu": "study/test_estimates.py::test_gpus_are_known_by_name_and_others_by_their_numbers",
    **{
        f"costs.{key}": "study/test_estimates.py::test_hours_and_money_by_formula_and_its_error_once_there_are_runs"
        for key in ("parameters", "prompt_tokens", "completion_tokens", "price", "currency")
    },
    **{
        f"judge.{key}": "metrics/test_judge.py::test_prompts_are_asked_once_and_their_replies_kept"
        for key in ("model", "endpoint", "key", "request")
    },
    "judge.parallel": "test_as_many_are_asked_at_once_as_the_study_says",
    "judge.timeout": "metrics/test_judge.py::test_an_endpoint_that_is_slower_than_the_timeout_is_given_up",
    "merging.alphas": "merging/test_screening.py::test_screening_merges_what_was_trained_at_each_alpha_and_candidates_at_one",
    **{f"strategies.{key}": PLAN for key in ("propose", "count", "learns_from", "without")},
    "strategies.group": "reporting/test_tables.py::test_groups_stand_under_their_headings",
    "strategies.label": "study/test_settings.py::test_what_the_settings_of_each_job_hold",
    **dict.fromkeys(["strategies.target", "strategies.seed", "strategies.scores"], REQUEST),
    "strategies.options": "test_an_option_of_a_strategy_gives_other_mixtures",
    "repeats": PLAN,
    "reporting.column_width": "reporting/test_figures.py::test_figures_are_as_wide_as_asked",
    "reporting.dpi": "reporting/test_figures.py::test_figures_are_as_wide_as_asked",
    "reporting.surrogate": "reporting/test_explorer.py::test_predictions_equal_pythons",
    "reporting.notes": "reporting/test_report.py::test_names_and_notes_are_text_whatever_they_hold",
}
# Of recorded runs; what a strategy has in common with a study's is above.
REPLAY_PROOFS = {
    "name": 'rule:results=f"results/{REPLAY.name}"',
    "plugins": PROOFS["plugins"],
    "records.path": REPLAY + "a_strangers_losses_lead_to_the_mixture_of_the_lowest",
    "records.lower_is_better": REPLAY + "a_strangers_losses_lead_to_the_mixture_of_the_lowest",
    "records.aggregates": REPLAY + "a_strangers_losses_lead_to_the_mixture_of_the_lowest",
    "target": REPLAY + "a_strangers_losses_lead_to_the_mixture_of_the_lowest",
    **dict.fromkeys(["seed", "replicates"], REPLAY + "a_seed_replicates_and_constraints_reach_the_judgement"),
    **{key: PROOFS[key] for key in PROOFS if key.startswith("strategies.")},
    **{
        f"constraints.{key}": REPLAY + "a_seed_replicates_and_constraints_reach_the_judgement"
        for key in Constraints.model_fields
    },
}


@pytest.mark.parametrize(("model", "proofs"), [(Study, PROOFS), (ReplayConfig, REPLAY_PROOFS)])
def test_every_key_has_a_proof(model, proofs) -> None:
    assert sorted(keys_of(model)) == sorted(proofs)


def test_every_option_of_a_strategy_has_a_case() -> None:
    # tests/merging/test_screening.py, tests/mixtures/test_online.py, tests/mixtures/test_races.py
    elsewhere = {"merge_screen", "online", "race"}
    for name, declared in strategies._declarations.items():
        if name in elsewhere or not declared.options.__module__.startswith("modomodo."):
            continue
        cases = OPTIONS.get(name, ({}, {}))[1]
        # tests/mixtures/test_budget.py: a budget is no other choice of mixtures alone
        assert set(declared.options.model_fields) - {"constraints", "budget", "repeats"} == set(cases), name


def test_every_proof_is_there() -> None:
    for proof in {*PROOFS.values(), *REPLAY_PROOFS.values()}:
        if proof.startswith("rule:"):
            assert proof.removeprefix("rule:") in RULES
            continue
        file, _, name = proof.rpartition("::")
        tree = ast.parse((TESTS / (file or "config/test_every_key.py")).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, proof
