"""The study: its defaults, its bounds, and how bad input is reported."""

import copy
import random
from pathlib import Path

import pytest
import yaml

from modomodo.config.loading import RENAMED, load_plugins, parse
from modomodo.config.reading import read_yaml
from modomodo.config.schema import Evaluation, Study, Templates, Training
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError
from modomodo.evaluation.settings import metric_versions
from modomodo.metrics.metric import metrics
from modomodo.mixtures.plan import plan
from modomodo.mixtures.strategies.base import strategies
from modomodo.study.checks import FIRST_PARTY_PLUGINS, read_study, study_from
from modomodo.training.builders import model_builders
from modomodo.training.reward_functions import summed_weights
from modomodo.training.rewards import rewards
from modomodo.training.settings import TrainSettings

CONFIG = Path(__file__).parents[2] / "config"


def change(data, key, value):
    """Set a value at a dotted key; None removes it."""
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
    if value is None:
        del data[last]
    else:
        data[last] = value


def complaint(data) -> str:
    with pytest.raises(InputError) as error:
        study_from(data, "study.yaml")
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("study.yaml: ")
    return text.removeprefix("study.yaml: ")


# --- defaults -----------------------------------------------------------------------------------------------


def test_the_defaults_of_training_are_the_papers():
    training = Training()
    assert (training.seed, training.steps, training.scored_steps) == (42, 2000, [500, 1500, 2000])
    assert (training.train_batch_size, training.num_generations, training.prompts_per_step) == (12, 6, 2)
    assert (training.learning_rate, training.warmup_ratio, training.beta) == (1e-6, 0.1, 0.04)
    assert training.loss_type == "grpo"
    assert training.freeze_vision and training.bf16
    weights = training.reward_weights
    assert (weights["accuracy"], weights["iou"], weights["format"]) == (2.0, 2.0, 1.0)


def test_everything_but_names_has_a_default(study_data):
    del study_data["training"]
    study = study_from(study_data, "study.yaml")
    assert study.training == Training()
    assert study.evaluation == Evaluation()
    assert study.prompts == Templates()
    assert study.domains["science"].rewards == ["accuracy", "format"]
    assert study.domains["science"].max_rejected == 0.01
    assert study.strategies["all"].label is None
    assert study.strategies["all"].count == 1


@pytest.mark.parametrize("name", ["tiny", "test", "paper"])
def test_the_studies_that_are_delivered_load_and_have_a_plan(name):
    path = CONFIG / f"{name}.yaml"
    if not path.exists():
        pytest.skip("not written yet")
    study = read_study(path)
    assert study.name == name
    assert plan(study).runs


def test_the_tiny_study_is_as_large_as_promised():
    study = read_study(CONFIG / "tiny.yaml")
    groups = [benchmark.group for benchmark in study.benchmarks.values()]
    assert (len(study.domains), groups.count("in"), groups.count("out")) == (5, 3, 4)
    assert len(plan(study).scored) >= 25
    assert len(study.repeats) >= 2
    assert (study.training.train_batch_size, study.training.num_generations, study.training.beta) == (
        12,
        6,
        0.04,
    )
    assert not study.training.bf16
    named = {strategy.propose for strategy in study.strategies.values()}
    assert named >= {"single", "exclude_one", "all", "alpha", "collinearity", "leave_one_out"}
    assert named >= {"quadratic_surface", "cma_es"}


def test_the_test_study_has_three_mixtures_one_of_which_is_learned():
    planned = plan(read_study(CONFIG / "test.yaml"))
    assert len(planned.mixtures) == 3
    assert sorted(planned.rounds.values()) == [0, 1]


def test_the_papers_study_uses_the_papers_values():
    if not (CONFIG / "paper.yaml").exists():
        pytest.skip("not written yet")
    study = read_study(CONFIG / "paper.yaml")
    paper = Training()
    for key in (
        "seed",
        "steps",
        "scored_steps",
        "train_batch_size",
        "num_generations",
        "learning_rate",
        "warmup_ratio",
        "beta",
    ):
        assert getattr(study.training, key) == getattr(paper, key), key
    assert len(study.domains) == 5
    assert len(study.benchmarks) == 7


# --- canonical text -----------------------------------------------------------------------------------------


def shuffled(value, random_numbers):
    """The same data with the keys of every mapping in another order."""
    if not isinstance(value, dict):
        return value
    keys = list(value)
    random_numbers.shuffle(keys)
    return {key: shuffled(value[key], random_numbers) for key in keys}


@pytest.mark.parametrize("seed", range(5))
def test_reordered_keys_give_the_same_text(study_data, seed):
    text = study_from(study_data, "study.yaml").text()
    strategies_in_order = study_data["strategies"]
    other = shuffled(study_data, random.Random(seed))
    other["strategies"] = strategies_in_order  # whose order says what may learn from what
    assert list(other) != list(study_data) or list(other["domains"]) != list(study_data["domains"])
    assert study_from(other, "study.yaml").text() == text


def test_values_equal_to_the_defaults_vanish(study_data):
    del study_data["plugins"]
    text = parse(study_data, Study, "study.yaml").text()
    written = copy.deepcopy(study_data)
    written["training"] |= {"learning_rate": 1e-6, "beta": 0.04, "num_generations": 6, "seed": 42}
    written["training"]["reward_weights"] = dict(Training().reward_weights)
    written |= {
        "evaluation": {"batch_size": 16},
        "prompts": {"separator": "\n"},
        "repeats": {},
        "plugins": [],
    }
    written["domains"]["science"]["rewards"] = ["accuracy", "format"]
    written["strategies"]["all"] |= {"count": 1, "label": None, "options": {}}
    assert parse(written, Study, "study.yaml").text() == text
    assert Training().text() == "{}"
    assert "learning_rate" not in text


@pytest.mark.parametrize("value", ["1e-6", "0.000001", 1e-6, 1.0e-6])
def test_one_number_has_one_text(value):
    # YAML reads 1e-6, without a dot, as a text.
    assert parse({"learning_rate": value}, Training, "x").text() == "{}"
    assert (
        parse({"beta": 1}, Training, "x").text()
        == parse({"beta": 1.0}, Training, "x").text()
        == '{"beta":1.0}'
    )


def test_a_value_other_than_the_default_stays():
    assert Training(beta=0.0, steps=2001).text() == '{"beta":0.0,"steps":2001}'


def test_text_is_read_back_as_the_same_settings(small_study):
    assert parse(yaml.safe_load(small_study.text()), Study, "x") == small_study


def test_settings_cannot_be_changed_in_place(small_study):
    with pytest.raises(ValueError, match="frozen"):
        small_study.training.steps = 1


# --- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domains.science.max_rejected", -0.1),
        ("domains.science.max_rejected", 1.1),
        ("benchmarks.chart.max_rejected", 1.1),
        ("domains.science.rewards", []),
        ("benchmarks.chart.group", "middle"),
        ("model.dtype", "float16"),
        ("model.threads", 0),
        ("training.seed", -1),
        ("training.steps", 0),
        ("training.steps", 9.5),
        ("training.scored_steps", []),
        ("training.train_batch_size", 1),
        ("training.num_generations", 1),
        ("training.gradient_accumulation_steps", 0),
        ("training.learning_rate", 0),
        ("training.learning_rate", -1e-6),
        ("training.warmup_ratio", -0.1),
        ("training.warmup_ratio", 1),
        ("training.adam_beta2", 0),
        ("training.adam_beta2", 1),
        ("training.beta", -0.01),
        ("training.beta", float("nan")),
        ("training.loss_type", "ppo"),
        ("training.temperature", 0),
        ("training.max_completion_length", 0),
        ("training.max_grad_norm", 0),
        ("training.save_steps", 0),
        ("training.threads", 0),
        ("training.gpus", -1),
        ("training.vllm", "on"),
        ("training.bf16", "maybe"),
        ("evaluation.max_completion_length", 0),
        ("evaluation.batch_size", 0),
        ("evaluation.threads", 0),
        ("evaluation.gpus", -1),
        ("evaluation.engine", "sglang"),
        ("strategies.all.count", 0),
        ("strategies.all.seed", -1),
        ("strategies.all.scores", "first"),
    ],
)
def test_a_value_out_of_bounds_is_reported_with_its_key(study_data, key, value):
    change(study_data, key, value)
    text = complaint(study_data)
    assert text.startswith(key), text
    assert f"found {value!r}" in text


@pytest.mark.parametrize(
    "key", ["training.learning_rate", "training.beta", "training.temperature", "training.max_grad_norm"]
)
def test_infinity_is_out_of_bounds(study_data, key):
    change(study_data, key, float("inf"))
    assert complaint(study_data).startswith(key)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_weight_is_a_finite_number(study_data, weight):
    study_data["training"]["reward_weights"] = {"accuracy": 2.0, "iou": 2.0, "format": weight}
    assert complaint(study_data).startswith("training.reward_weights.format")


def test_a_repeat_has_a_seed_that_training_may_have(study_data):
    study_data["repeats"] = {"all": [-1]}
    assert complaint(study_data).startswith("repeats.all")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domains.science.max_rejected", 0),
        ("domains.science.max_rejected", 1),
        ("training.seed", 0),
        ("training.warmup_ratio", 0),
        ("training.beta", 0),
        ("training.num_generations", 2),
        ("training.gradient_accumulation_steps", 12),
        ("training.gpus", 12),
        ("training.vllm", False),  # how YAML reads a bare `off`
        ("training.scored_steps", [9]),
        ("training.scored_steps", [1, 2, 3, 4]),
        ("evaluation.batch_size", 1),
    ],
)
def test_a_value_on_its_bound_is_accepted(study_data, key, value):
    change(study_data, key, value)
    study_from(study_data, "study.yaml")


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"num_generations": 5}, "train_batch_size: 12 is not a multiple of num_generations (5)"),
        ({"train_batch_size": 8}, "train_batch_size: 8 is not a multiple of num_generations (6)"),
        ({"num_generations": 24}, "train_batch_size: 12 is not a multiple of num_generations (24)"),
        (
            {"gradient_accumulation_steps": 5},
            "gradient_accumulation_steps: 12 completions do not divide into 5 micro-batches",
        ),
        (
            {"gpus": 5},
            "gpus: 12 completions do not divide into 1 micro-batches on 5 training GPUs: change gpus, "
            "gradient_accumulation_steps or train_batch_size, e.g. train_batch_size: 30",
        ),
        (
            {"gpus": 4, "vllm": "server", "gradient_accumulation_steps": 6},
            "gpus: 12 completions do not divide into 6 micro-batches on 3 training GPUs",
        ),
        ({"vllm": "colocate"}, "vllm: 'colocate' generates on a GPU, but gpus is 0: set gpus to 1 or more"),
        (
            {"gpus": 1, "vllm": "server"},
            "vllm: 'server' keeps one GPU to itself and trains on the others, but gpus is 1: set gpus to 2 or "
            "more, or vllm to colocate",
        ),
        (
            {"scored_steps": [2, 10]},
            "scored_steps: 10 lies beyond the last step (9): lower it or raise training.steps",
        ),
        ({"steps": 3}, "scored_steps: 9 lies beyond the last step (3)"),
        ({"scored_steps": [7, 2]}, "scored_steps: must be positive and increasing"),
        ({"scored_steps": [2, 2]}, "scored_steps: must be positive and increasing"),
        ({"scored_steps": [0, 2]}, "scored_steps: must be positive and increasing"),
    ],
)
def test_training_values_that_do_not_fit_together_are_reported(study_data, training, message):
    study_data["training"] |= training
    text = complaint(study_data)
    assert text.startswith("training")
    assert message in text


@pytest.mark.parametrize(
    ("training", "processes", "samples"),
    [
        ({}, 1, 12),
        ({"gpus": 1, "vllm": "colocate", "gradient_accumulation_steps": 6}, 1, 2),
        ({"gpus": 2, "vllm": "server", "gradient_accumulation_steps": 6}, 1, 2),
        ({"gpus": 3, "vllm": "colocate"}, 3, 4),
        ({"gpus": 4, "vllm": "server", "gradient_accumulation_steps": 2}, 3, 2),
    ],
)
def test_the_completions_of_a_step_are_divided_over_the_gpus_that_train(training, processes, samples):
    settings = Training(**training)
    assert (settings.processes, settings.samples) == (processes, samples)
    assert settings.processes * settings.samples * settings.gradient_accumulation_steps == 12


def test_transformers_predicts_on_one_gpu(study_data):
    study_data["evaluation"] = {"gpus": 2}
    assert complaint(study_data).startswith("evaluation: gpus: engine 'transformers' uses one GPU, not 2")
    study_data["evaluation"] = {"gpus": 2, "engine": "vllm"}
    study_from(study_data, "study.yaml")


# --- unknown and missing keys -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("evalution", "evaluation"),
        ("model.buidler", "builder"),
        ("domains.science.reward", "rewards"),
        ("domains.science.max_reject", "max_rejected"),
        ("benchmarks.chart.metrics", "metric"),
        ("prompts.chioce", "choice"),
        ("training.learning_rte", "learning_rate"),
        ("training.scored_step", "scored_steps"),
        ("evaluation.batchsize", "batch_size"),
        ("strategies.alpha.learn_from", "learns_from"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(study_data, key, hint):
    change(study_data, key, 1)
    assert complaint(study_data) == f"{key}: unknown key: did you mean '{hint}'?"


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("training.trajectories", "train_batch_size"),
        ("training.generations", "num_generations"),
        ("training.accumulation", "gradient_accumulation_steps"),
        ("training.warmup", "warmup_ratio"),
        ("training.kl", "beta"),
        ("training.max_completion_tokens", "max_completion_length"),
        ("training.save_every", "save_steps"),
        ("evaluation.max_completion_tokens", "max_completion_length"),
    ],
)
def test_an_old_key_is_refused_with_the_new_one_named(study_data, key, new):
    change(study_data, key, 1)
    assert complaint(study_data) == f"{key}: renamed: write {new}"


def test_every_new_name_is_a_key():
    for model, names in RENAMED.items():
        assert set(names.values()) <= set(model.model_fields)
        assert not set(names) & set(model.model_fields)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("per_device_train_batch_size", "give train_batch_size (completions per step over all devices)"),
        ("max_steps", "give steps"),
        ("warmup_steps", "give warmup_ratio (share of the steps)"),
        ("vllm_mode", "give vllm: off, colocate or server"),
    ],
)
def test_a_key_of_trl_that_is_derived_here_says_what_to_give(study_data, key, hint):
    change(study_data, f"training.{key}", 1)
    assert complaint(study_data) == f"training.{key}: unknown key: {hint}"


def test_an_unknown_key_that_is_near_none_lists_all(study_data):
    study_data["model"]["zzzzz"] = 1
    assert complaint(study_data) == (
        "model.zzzzz: unknown key: known: builder, dtype, options, threads; what a function takes goes under options"
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("domains", "domain"),
        ("strategies", "stratgies"),
        ("domains.science.loader", "domains.science.laoder"),
        ("benchmarks.chart.metric", "benchmarks.chart.metirc"),
        ("strategies.all.propose", "strategies.all.proposes"),
    ],
)
def test_a_misspelt_required_key_suggests_the_right_one(study_data, right, wrong):
    value = study_data
    for part in right.split("."):
        value = value[part]
    change(study_data, wrong, value)
    change(study_data, right, None)
    assert f"{wrong}: unknown key: did you mean '{right.rpartition('.')[2]}'?" in complaint(study_data)


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "model",
        "domains",
        "benchmarks",
        "strategies",
        "domains.science.loader",
        "benchmarks.chart.metric",
        "strategies.all.propose",
        "strategies.all.group",
    ],
)
def test_a_missing_key_is_reported(study_data, key):
    change(study_data, key, None)
    assert complaint(study_data) == f"{key}: missing: this key is required"


@pytest.mark.parametrize("key", ["domains", "benchmarks", "strategies"])
@pytest.mark.parametrize("value", [{}, [], "text", 7])
def test_a_section_of_another_shape_is_reported(study_data, key, value):
    study_data[key] = value
    assert complaint(study_data).startswith(f"{key}: ")


def test_an_empty_section_is_reported(study_data):
    # `domains:` with nothing below it.
    study_data["domains"] = None
    assert complaint(study_data).startswith("domains: ")


@pytest.mark.parametrize("data", [None, [], "text", 7])
def test_a_study_is_keys_and_values(data):
    assert "expected keys and values" in complaint(data)


@pytest.mark.parametrize("key", ["name", "domain", "benchmark", "strategy"])
@pytest.mark.parametrize("name", ["a/b", "a b", "", "-a", ".hidden", "ä", "a=b"])
def test_names_are_fit_for_files(study_data, key, name):
    if key == "name":
        study_data["name"] = name
    else:
        section = {"domain": "domains", "benchmark": "benchmarks", "strategy": "strategies"}[key]
        study_data[section][name] = next(iter(study_data[section].values()))
    assert f"'{name}' is not a name: letters, digits and _ . + - only" in complaint(study_data)


def test_a_name_that_yaml_reads_as_a_number_is_reported(study_data):
    study_data["domains"][2024] = study_data["domains"]["science"]
    assert complaint(study_data).startswith("domains.2024: ")


# --- names that must exist ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.builder", "tiny_qwen2v", "unknown model builder 'tiny_qwen2v': did you mean 'tiny_qwen2vl'?"),
        ("domains.science.loader", "bords", "unknown dataset 'bords': did you mean 'boards'?"),
        ("benchmarks.chart.loader", "bords", "unknown dataset 'bords': did you mean 'boards'?"),
        ("benchmarks.chart.metric", "exact_mach", "unknown metric 'exact_mach': did you mean 'exact_match'?"),
        (
            "strategies.all.propose",
            "exclude-one",
            "unknown strategy 'exclude-one': did you mean 'exclude_one'?",
        ),
        ("strategies.alpha.without", ["scence"], "unknown domain 'scence': did you mean 'science'?"),
        ("strategies.alpha.target", "out_scor", "unknown 'out_scor': did you mean 'out_score'?"),
        ("strategies.alpha.target", "science", "unknown 'science': did you mean 'science_test'?"),
    ],
)
def test_a_misspelt_name_suggests_the_nearest(study_data, key, value, message):
    change(study_data, key, value)
    assert complaint(study_data) == f"{key}: {message}"


def test_a_misspelt_reward_suggests_the_nearest(study_data):
    study_data["domains"]["science"]["rewards"] = ["acuracy", "format"]
    message = "domains.science.rewards: unknown reward 'acuracy': did you mean 'accuracy'?"
    assert complaint(study_data) == message


def test_an_unknown_reward_with_a_weight_suggests_the_nearest(study_data):
    study_data["domains"]["science"]["rewards"] = ["acuracy", "format"]
    study_data["training"]["reward_weights"] = {"acuracy": 2.0, "accuracy": 2.0, "iou": 2.0, "format": 1.0}
    assert "unknown reward 'acuracy': did you mean 'accuracy'?" in complaint(study_data)


def test_weights_that_are_not_given_keep_their_defaults(study_data):
    study_data["training"]["reward_weights"] = {"format": 0.5}
    study_data["domains"]["science"] |= {"rewards": ["math", "format", {"length": {"limit": 9}}]}
    study_data["domains"]["relation"] |= {"reward_weights": {"accuracy": 7.0}}
    study = study_from(study_data, "study.yaml")
    assert study.training.changed()["reward_weights"] == {
        "format": 0.5
    }  # what is handed on is what was written
    settings = TrainSettings.of(study)
    assert summed_weights(settings) == {
        "accuracy": 7.0,
        "format": 0.5,
        "iou": 2.0,
        "length": 1.0,
        "math": 2.0,
    }
    assert settings.reward_weights == {"relation": {"accuracy": 7.0}}


def test_a_misspelt_weight_is_not_left_aside(study_data):
    study_data["training"]["reward_weights"] = {"acuracy": 3.0}
    message = "training.reward_weights: unknown reward 'acuracy': did you mean 'accuracy'?"
    assert complaint(study_data) == message
    study_data["training"]["reward_weights"] = {}
    study_data["domains"]["science"]["reward_weights"] = {"iou": 1.0}
    message = "domains.science.reward_weights: 'iou' is no reward of this domain: known: accuracy, format"
    assert complaint(study_data) == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("domains.science.rewards", ["math", {"math": {"seconds": 1}}], ": 'math' is named twice"),
        (
            "domains.science.rewards",
            [{"math": {}, "format": {}}],
            ".0: expected a name, or one name with its",
        ),
        (
            "domains.science.rewards",
            [{"math": 3}],
            ".0: math: expected options, e.g. {math: {option: value}}",
        ),
        (
            "domains.science.rewards",
            [{"number": {"rtol": 1}}],
            ".number.rtol: unknown option: did you mean 'rel_tol'?",
        ),
        (
            "domains.science.rewards",
            [{"number": {"rel_tol": "a"}}],
            ".number.rel_tol: input should be a valid number",
        ),
        ("domains.science.rewards", ["regex"], ".regex.pattern: missing: this option is required"),
        (
            "domains.science.rewards",
            [{"accuracy": {"case": 1}}],
            ".accuracy.case: unknown option: known: none",
        ),
        ("domains.science.rewards", ["judge"], ": 'judge' asks a judge: name its model under judge.model"),
        (
            "benchmarks.chart.metric",
            {"regex": {"pattern": "("}},
            ".regex.pattern: no regular expression: missing )",
        ),
        ("benchmarks.chart.metric", "length", ".length.limit: missing: this option is required"),
        (
            "benchmarks.chart.metric",
            {"anls": {"reads": "all"}},
            ".anls.reads: 'all': write answer or completion",
        ),
        (
            "benchmarks.chart.metric",
            {"mean_iou": {"reads": "completion"}},
            ".mean_iou.reads: boxes are read from answers",
        ),
        ("benchmarks.chart.metric", {"nubmer": {}}, ": unknown metric 'nubmer': did you mean 'number'?"),
    ],
)
def test_what_a_reward_or_metric_is_given_is_judged_by_its_function(study_data, key, value, message):
    change(study_data, key, value)
    assert complaint(study_data).startswith(f"{key}{message}")


def test_a_benchmark_with_the_name_of_a_domain_is_reported(study_data):
    study_data["benchmarks"]["science"] = study_data["benchmarks"].pop("science_test")
    text = complaint(study_data)
    assert text == "benchmarks.science: a domain has this name too; call it e.g. science_test"


def test_a_study_needs_an_out_score_and_may_be_without_an_in_score(study_data):
    del study_data["benchmarks"]["science_test"]
    del study_data["benchmarks"]["chart"]["group"]  # out, unless it says otherwise
    message = "strategies.alpha.propose: 'alpha' weighs the In-Score, and no benchmark has group 'in'"
    assert complaint(study_data).startswith(message)
    study_data["strategies"]["alpha"]["options"] = {"alpha": 0}
    assert study_from(study_data, "study.yaml").benchmarks["chart"].group == "out"
    study_data["strategies"]["front"] = {"propose": "pareto", "group": "model", "learns_from": ["seed"]}
    assert "strategies.front.propose: 'pareto' weighs the In-Score" in complaint(study_data)
    del study_data["strategies"]["front"]
    study_data["strategies"]["alpha"]["target"] = "in_score"
    assert "strategies.alpha.target: unknown 'in_score'" in complaint(study_data)
    study_data["benchmarks"]["chart"]["group"] = "in"
    assert "benchmarks: none has group 'out', so there is no Out-Score" in complaint(study_data)


@pytest.mark.parametrize(
    ("learner", "other", "hint"),
    [
        ("alpha", "surface", "known: all, seed, single"),
        ("alpha", "alpha", "did you mean 'all'?"),
        ("alpha", "heuristic", "known: all, seed, single"),
        ("alpha", "sed", "did you mean 'seed'?"),
        ("single", "seed", "known: none"),
        ("surface", "model", "known: all, alpha, heuristic, seed, single"),
    ],
    ids=["below", "itself", "its own group", "misspelt", "nothing above", "the last group"],
)
def test_learning_from_what_does_not_stand_above_is_reported(study_data, learner, other, hint):
    study_data["strategies"][learner]["learns_from"] = [other]
    text = complaint(study_data)
    assert text.startswith(f"strategies.{learner}.learns_from: '{other}' is neither a strategy nor a group")
    assert text.endswith(hint)


def test_a_strategy_without_a_domain_left_is_reported(study_data):
    study_data["strategies"]["alpha"]["without"] = ["boxes", "science", "relation"]
    assert complaint(study_data) == "strategies.alpha.without: no domain is left"


def test_what_a_strategy_depends_on_is_in_table_order_with_groups_spelt_out(small_study):
    assert small_study.depends_on("single") == []
    assert small_study.depends_on("alpha") == ["single", "all"]
    assert small_study.depends_on("surface") == ["single", "all", "alpha"]


# --- plugins ------------------------------------------------------------------------------------------------

PLUGIN = '''
import PIL.Image

from modomodo.plugins import Proposal, Score, dataset, metric, reward, strategy

@dataset("plugin_dots")
def dots(raw, size=3):
    for i in range(size):
        fields = {"id": str(i), "question": "How many?", "answer": str(i), "answer_type": "number"}
        yield fields, PIL.Image.new("RGB", (4, 4), (i, 0, 0))

@reward("plugin_short")
def short(completion, truth, answer_type):
    """1 for at most ten characters."""
    return float(len(completion) <= 10)

@metric("plugin_near", version=3)
def near(answer, example):
    """1 within one of the number."""
    return Score(float(abs(float(answer) - float(example.answer)) <= 1))

@strategy("plugin_first", learns=False)
def first(request):
    """All weight on the first domain."""
    return [Proposal({request.domains[0]: 1.0})]
'''


@pytest.fixture
def plugged(study_data, tmp_path):
    """A study that uses one function of each kind from a file outside the package."""
    path = tmp_path / "own.py"
    path.write_text(PLUGIN, encoding="utf-8")
    study_data["plugins"] = [str(path)]
    study_data["domains"]["dots"] = {"loader": "plugin_dots", "rewards": ["plugin_short"]}
    study_data["benchmarks"]["dots_test"] = {
        "loader": "plugin_dots",
        "options": {"size": 5},
        "metric": "plugin_near",
        "group": "out",
    }
    study_data["training"]["reward_weights"] = {
        "accuracy": 2.0,
        "iou": 2.0,
        "format": 1.0,
        "plugin_short": 0.5,
    }
    study_data["strategies"]["favourite"] = {"propose": "plugin_first", "group": "seed"}
    yield study_data
    # Leave the registries as they were for the tests that follow.
    for registry in (datasets, metrics, rewards, strategies):
        for name in [name for name in registry if name.startswith("plugin_")]:
            del registry._functions[name]


def test_a_reward_without_a_weight_is_reported(plugged):
    plugged["training"]["reward_weights"] = {"format": 1.0}
    message = "training.reward_weights: no weight for 'plugin_short', a reward of domain 'dots'"
    assert complaint(plugged) == message


def test_a_plugin_adds_one_of_each_from_outside_the_package(plugged, example_fields):
    study = study_from(plugged, "study.yaml")
    planned = plan(study)
    assert planned.by_strategy["favourite"] == ["favourite"]
    assert planned.support["favourite"] == ["boxes"]
    assert metric_versions(study)["dots_test"] == 3
    assert "single-dots" in planned.mixtures
    assert [fields["answer"] for fields, _ in datasets["plugin_dots"](None, size=2)] == ["0", "1"]
    data = {"id": ["1"], "dataset": ["dots"], "answer": ['"3"'], "answer_type": ["number"]}
    assert rewards["plugin_short"](["?"], ["short"], **data) == [1.0]


def test_a_plugin_may_be_loaded_twice(plugged):
    study_from(plugged, "study.yaml")
    study_from(plugged, "study.yaml")


def test_a_plugin_is_executed_once_in_a_process(tmp_path):
    """Files of one name, or whose paths differ in a sign alone, are plugins of their own."""
    paths = [tmp_path / name for name in ("a/b.py", "a_b.py", "c/b.py")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "from pathlib import Path\nopen(Path(__file__).with_suffix('.txt'), 'a').write('x')\n"
        )
    for _ in range(2):
        load_plugins([*map(str, paths), str(tmp_path / "a/../a/b.py")])
    assert [path.with_suffix(".txt").read_text() for path in paths] == ["x", "x", "x"]


def test_a_plugin_that_failed_is_executed_again(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("1 / 0")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        load_plugins([str(path)])
    path.write_text("")
    load_plugins([str(path)])


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("modomodo.tinny", "plugins: modomodo.tinny: no such module: give its dotted name, or a .py file"),
        ("no_such_package.plugin", "plugins: no_such_package.plugin: no such module"),
    ],
)
def test_a_module_that_is_not_there_is_reported(plugin, message):
    with pytest.raises(InputError, match=f"^{message}"):
        load_plugins([plugin])


@pytest.mark.parametrize(
    ("key", "registry", "name"),
    [("domains.boxes.loader", datasets, "boards"), ("model.builder", model_builders, "tiny_qwen2vl")],
)
def test_what_a_plugin_of_the_project_registers_is_known_with_the_plugin(
    study_data, monkeypatch, key, registry, name
):
    monkeypatch.delitem(registry._functions, name)
    change(study_data, "model.builder", "hub" if name == "boards" else name)
    if name != "boards":
        for part in ("domains", "benchmarks"):
            for entry in study_data[part].values():
                entry |= {"loader": "chartqa", "source": {"revision": "main"}, "options": {}}
    del study_data["plugins"]
    assert complaint(study_data) == (
        f"{key}: {registry.kind} '{name}' comes with the plugin modomodo.tiny: add it: plugins: [modomodo.tiny]"
    )
    assert FIRST_PARTY_PLUGINS[name] == "modomodo.tiny"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "repo: missing: name one, e.g. Qwen/Qwen2-VL-2B-Instruct"),
        ({"repo": "a/b"}, "revision: '' is not the 40-digit hash of a commit: pin one"),
        (
            {"repo": "a/b", "revision": "main"},
            "revision: 'main' is not the 40-digit hash of a commit: pin one",
        ),
        ({"repo": "a/b", "revison": "0" * 40}, "unknown option 'revison': did you mean 'revision'?"),
        (
            {"repo": "/models/qwen", "revision": "0" * 40},
            "repo: '/models/qwen' is a local path, not an owner/name of the hub: for a folder of your own write "
            "{builder: folder, options: {path: /models/qwen}}",
        ),
    ],
)
def test_a_model_of_the_hub_is_checked_before_anything_runs(study_data, options, message):
    study_data["model"] = {"builder": "hub", "options": options}
    assert complaint(study_data) == f"model.options: model builder 'hub': {message}"


def test_a_folder_of_an_unsupported_kind_is_told_whatever_the_builder_does_with_it(study_data, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    study_data["model"]["options"] = {"source": str(tmp_path)}
    assert complaint(study_data).startswith(
        f"model.options: {tmp_path}: config.json: model_type 'clip' is not supported: tested are gemma3, idefics3, "
    )


def test_without_its_plugin_the_function_is_unknown(plugged):
    del plugged["plugins"]
    assert "unknown dataset 'plugin_dots'" in complaint(plugged)


def test_a_plugin_that_takes_a_name_is_reported(plugged, tmp_path):
    (tmp_path / "other.py").write_text(PLUGIN, encoding="utf-8")
    plugged["plugins"].append(str(tmp_path / "other.py"))
    with pytest.raises(InputError, match="^study.yaml: dataset 'plugin_dots' is registered twice"):
        study_from(plugged, "study.yaml")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("# its line\n1 / 0", ":2: ZeroDivisionError: division by zero"),
        ("import no_such_module", ":1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", ": SyntaxError: "),
        ("raise ValueError('one\\ntwo')", ":1: ValueError: one two"),
    ],
)
def test_a_plugin_that_fails_is_reported_in_one_line(tmp_path, code, message):
    path = tmp_path / "own.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_plugins([str(path)])
    assert str(error.value).startswith(f"plugins: {path}{message}")
    assert "\n" not in str(error.value)


def test_a_plugin_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(InputError, match="own.py: no such file"):
        load_plugins([str(tmp_path / "own.py")])


def test_a_plugin_that_is_no_python_file_is_reported(tmp_path):
    (tmp_path / "own.txt").write_text("x = 1")
    with pytest.raises(InputError, match="own.txt"):
        load_plugins([str(tmp_path / "own.txt")])


# --- the file -----------------------------------------------------------------------------------------------


def test_a_study_is_read_from_its_file(write_study, study_data, small_study):
    assert read_study(write_study(study_data)) == small_study


def test_a_bad_key_is_reported_with_the_file(write_study, study_data):
    study_data["training"]["setps"] = 3
    path = write_study(study_data)
    with pytest.raises(InputError) as error:
        read_study(path)
    assert str(error.value) == f"{path}: training.setps: unknown key: did you mean 'steps'?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: a\nmodel: [1\nb: 2\n", ":3: not valid YAML: "),
        (b"name: a\n  model: 1\n", ":2: not valid YAML: "),
        (b"name: \xff\n", ": not UTF-8: "),
        (b"", ": expected keys and values, found nothing"),
        (
            b"name: a\x07b\n",
            "not valid YAML",
        ),
    ],
    ids=["bracket", "indent", "latin", "empty", "control character"],
)
def test_a_file_that_is_no_study_is_reported_with_its_line(tmp_path, content, message):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_study(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: no such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_a_folder_is_no_study(tmp_path):
    with pytest.raises(InputError):
        read_yaml(tmp_path)


def test_a_server_that_cannot_generate_again_is_refused(study_data):
    study_data["training"] |= {"gpus": 3, "vllm": "server", "dynamic_sampling": {"max_tries": 2}}
    with pytest.raises(
        InputError, match="training: dynamic_sampling: a vLLM server is given one seed a step"
    ):
        study_from(study_data, "study.yaml")
    for bad in ({"max_tries": 0}, {"max_tries": 101}, {"tries": 2}):
        study_data["training"] |= {"vllm": "off", "dynamic_sampling": bad}
        with pytest.raises(InputError, match=r"training\.dynamic_sampling"):
            study_from(study_data, "study.yaml")
