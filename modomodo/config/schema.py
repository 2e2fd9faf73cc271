"""A study: one YAML file that says everything. The one home of defaults, bounds and descriptions."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from modomodo.config.accelerate_file import check_accelerate
from modomodo.config.foreign_keys import FOREIGN_KEYS
from modomodo.config.gpus import check_gpu
from modomodo.config.placeholders import refuse_placeholders
from modomodo.config.trl_options import COLOCATED, WITH_VLLM, check_trl
from modomodo.errors import nearest
from modomodo.files import canonical

# Pillow's own limit; InfoVQA's largest page has 6250 x 9375 = 58,593,750.
MAX_PIXELS = 89_478_485

_REASON = "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."


class Templates(BaseModel):
    """What is appended to a question, by the type of its answer; an empty text appends nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: str = Field(
        # Fig. 8, with the braces that LaTeX swallowed there and Visual-RFT's own prompt has.
        default=f"{_REASON} The output answer format should be as follows: <think> ... </think> "
        "<answer>[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer> "
        "Please strictly follow the format.",
        description="After a question that asks for boxes (paper, Fig. 8).",
    )
    choice: str = Field(
        default=_REASON.replace("final answer", "final answer (option)"),
        description="After a multiple-choice question (paper, Fig. 2).",
    )
    text: str = Field(default=_REASON, description="After a question that asks for a word or a phrase.")
    number: str = Field(default=_REASON, description="After a question that asks for a number.")
    separator: str = Field(default="\n", description="Between the question and the text appended to it.")

    @field_validator("*")
    @classmethod
    def _hold_no_placeholder(cls, text: str) -> str:
        return refuse_placeholders(text)


# Numpy's and torch's generators, TRL's and cma's, all take up to this one.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


def _as_call(value: Any) -> Any:
    """A function's name, or one key with its options; without options it is the name alone."""
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not isinstance(next(iter(value)), str):
        raise ValueError("expected a name, or one name with its options, e.g. {number: {rel_tol: 0.05}}")
    ((name, options),) = value.items()
    if not isinstance(options, dict | None):
        raise ValueError(f"{name}: expected options, e.g. {{{name}: {{option: value}}}}, found {options!r}")
    return {name: options} if options else name


# How a study calls a function: `name`, or `{name: {option: value}}`.
Call = Annotated[
    Annotated[str, Tag("[name]")] | Annotated[dict[str, dict[str, Any]], Tag("[options]")],
    Discriminator(lambda call: "[options]" if isinstance(call, dict) else "[name]"),
    BeforeValidator(_as_call),
]


def name_and_options(call: Call) -> tuple[str, dict[str, Any]]:
    """The function's name and what it is given."""
    return (call, {}) if isinstance(call, str) else next(iter(call.items()))


def written(call: Call) -> str:
    """A call in one line, as a column of a table has it: `number {"rel_tol": 0.05}`."""
    name, options = name_and_options(call)
    return f"{name} {canonical(options)}" if options else name


_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def _types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of: of dict[str, float | None], str, float and None's."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _types(part)


def _values(value: Any) -> Iterator[Any]:
    """A value, or what a list or the values of a mapping hold."""
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _values(inner)
    else:
        yield value


class Settings(BaseModel):
    """Part of a study. Unknown keys are refused; equal values give equal text whatever their order."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, about: ValidationInfo) -> Any:
        """Pydantic would read `gpus: yes` as 1."""
        types = set(_types(cls.model_fields[str(about.field_name)].annotation))
        if (
            types & {int, float}
            and bool not in types
            and any(isinstance(one, bool) for one in _values(value))
        ):
            raise ValueError(
                "a truth value, not a number (YAML reads yes and on as true, no and off as false)"
            )
        return value

    def text(self) -> str:
        """Canonical JSON of what differs from the defaults: what a rule hands to its script.

        Leaving the defaults out keeps finished work valid when a later version adds a key. Braces in texts are
        escaped, since Snakemake takes `{word}` in a parameter for a wildcard.
        """
        escaped = {"{": r"\u007b", "}": r"\u007d"}
        return _JSON_STRING.sub(
            lambda text: "".join(escaped.get(sign, sign) for sign in text[0]), canonical(self.changed())
        )

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults, as plain data."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Source(Settings):
    """Which raw files are downloaded."""

    revision: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Commit of the repository. A branch is resolved once and then pinned (resolved.json).",
    )
    repo: str | None = Field(None, description="Repository on the Hugging Face hub; the loader's if absent.")
    files: list[str] | None = Field(
        None, description="Patterns of the files needed; those of the loader's split if absent."
    )
    sha256: dict[str, str] = Field(
        default_factory=dict, description="File → its required SHA-256, in addition to the Hub's."
    )

    @field_validator("revision", mode="before")
    @classmethod
    def _is_no_view(cls, revision: Any) -> Any:
        if isinstance(revision, str) and revision.startswith("refs/"):
            raise ValueError(
                f"'{revision}' is made anew by the hub, for its viewer: name a commit, of that branch where the "
                "repository itself has no files that can be read"
            )
        return revision

    @field_validator("repo")
    @classmethod
    def _is_a_name(cls, repo: str | None) -> str | None:
        if repo is not None and "://" in repo:
            name = "/".join(repo.partition("/datasets/")[2].split("/")[:2])
            raise ValueError(f"an address: write its name alone, {name or 'owner/name'}")
        return repo


class Dataset(Settings):
    """Where examples come from: a registered function and its options."""

    loader: str = Field(description="Name of a registered dataset function.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of that function.")
    source: Source | None = Field(
        None, description="The raw files, for a loader of a dataset published on the hub."
    )
    expected: int | None = Field(
        None, ge=1, description="Number of examples expected; Table 1 reports a difference."
    )
    limit: int | None = Field(
        None, ge=1, description="Number of raw rows to read, from the first; all if absent."
    )
    prompts: dict[Literal["box", "choice", "text", "number", "separator"], str] = Field(
        default_factory=dict, description="Reasoning templates of this dataset that differ from the study's."
    )
    max_rejected: float = Field(
        0.01, ge=0, le=1, description="Share of rows that may fail their checks before the run stops."
    )
    max_question: int = Field(
        20_000, ge=1, description="Longest question, in characters; rows with longer ones are rejected."
    )
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        le=2 * MAX_PIXELS,  # what Pillow opens at all, in training and prediction too
        description="Largest image, in pixels; rows with larger ones are rejected.",
    )
    longest: int | None = Field(
        None,
        ge=28,
        description="Larger images are resized to this longer side, in pixels; as published if absent.",
    )


class Data(Settings):
    """Where raw data comes from, and how it is preprocessed; changes no example."""

    raw_from: str | None = Field(
        None,
        description="Folder of raw files downloaded beforehand, for nodes without a network: <loader>/<the "
        "file's path in its repository>. What is not there is downloaded.",
    )
    threads: int = Field(1, ge=1, description="Processes that preprocess one dataset.")


class Domain(Dataset):
    """A training set."""

    rewards: list[Call] = Field(
        ["accuracy", "format"],
        min_length=1,
        description="Registered rewards or metrics for its completions, one with options as {name: {option: value}}.",
    )
    reward_weights: dict[str, float] = Field(
        default_factory=dict, description="Weights of its rewards that differ from training.reward_weights."
    )

    @field_validator("rewards")
    @classmethod
    def _are_named_once(cls, calls: list[Call]) -> list[Call]:
        names = [name_and_options(call)[0] for call in calls]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is named twice")
        return calls


LMMS_EVAL = "lmms_eval"  # the key of a benchmark that is a task of lmms-eval, and the loader of its questions


def _loader_or_task(schema: dict[str, Any]) -> None:
    """For editors: a benchmark has one of the two."""
    schema["required"].remove("loader")
    schema["anyOf"] = [{"required": ["loader"]}, {"required": [LMMS_EVAL]}]


class Benchmark(Dataset):
    """A test set."""

    model_config = ConfigDict(json_schema_extra=_loader_or_task)

    lmms_eval: str | None = Field(
        None,
        description="A task of lmms-eval, by its name or its YAML file, in place of loader and options: `make lmms` "
        "installs it (docs/lmms.md).",
    )
    metric: Call = Field(
        description="Name of a registered metric, one with options as {name: {option: value}}; of a task of "
        "lmms-eval, the name of one of its metrics."
    )
    group: Literal["in", "out"] = Field(
        "out",
        description="'in': from a training domain, part of the In-Score; 'out': part of the Out-Score, which "
        "strategies maximise. A study need not have any of group 'in'.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_a_task(cls, data: Any) -> Any:
        """A task of lmms-eval is its own loader, with the task as its option."""
        if not isinstance(data, dict) or not isinstance(data.get(LMMS_EVAL), str):
            return data
        own = {"loader": LMMS_EVAL, "options": {"task": data[LMMS_EVAL]}}
        for key in ("loader", "options", "source"):
            if key in data and data[key] != own.get(key):
                raise ValueError(
                    f"{key}: a task of lmms-eval brings its own questions: remove it, or lmms_eval"
                )
        if not isinstance(data.get("metric", ""), str):
            raise ValueError("metric: a metric of lmms-eval has no options: write its name alone")
        return data | own

    @property
    def task(self) -> str | None:
        """The task of lmms-eval that it is, as lmms-eval is told it; None for most."""
        return None if self.lmms_eval is None else str(self.options["task"])


class HeldOut(Dataset):
    """Questions of a training domain that are never trained on, to measure what training on it alone gains."""

    metric: Call = Field(
        description="Name of a registered metric, one with options as {name: {option: value}}."
    )


class Model(Settings):
    """The model every run starts from."""

    builder: str = Field("hub", description="Registered builder: 'hub' downloads, 'tiny_qwen2vl' trains one.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the builder.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Precision of the weights in memory. In bfloat16 a learning rate of 1e-6 is rounded away.",
    )
    threads: int = Field(2, ge=1, description="CPU threads of the builder.")


class Lora(Settings):
    """Adapters of low rank are trained, and all other weights stay as they are."""

    rank: int = Field(16, ge=1, description="Rank of an adapter.")
    alpha: int = Field(32, ge=1, description="An adapter's scale times its rank.")
    targets: list[str] = Field(
        [],
        description="Layers that get one, by the ends of their names (`q_proj`, `self_attn.q_proj`); all linear layers "
        "of the language model if empty. With freeze_vision: false those of the vision tower too.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before an adapter.")


class DynamicSampling(Settings):
    """Prompts whose answers all earn the same are replaced by others of their domain, as in DAPO."""

    max_tries: int = Field(
        3,
        ge=1,
        le=100,
        description="How often a prompt is replaced at most; the last one is trained on whatever it earned.",
    )


class Training(Settings):
    """GRPO with verifiable rewards; the defaults are the paper's (section 3.1)."""

    seed: Seed = Field(42, description="Seed of the draw and of the training.")
    steps: int = Field(2000, ge=1, description="Optimiser steps of a full run.")
    scored_steps: list[int] = Field(
        [500, 1500, 2000], min_length=1, description="Steps whose checkpoints are kept and scored."
    )
    train_batch_size: int = Field(12, ge=2, description="Completions per optimiser step, over all devices.")
    num_generations: int = Field(
        6, ge=2, description="Completions per prompt (k), the group of an advantage."
    )
    gradient_accumulation_steps: int = Field(1, ge=1, description="Micro-batches per optimiser step.")
    learning_rate: float = Field(1e-6, gt=0, description="Peak learning rate of AdamW.")
    warmup_ratio: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps of linear warm-up; then linear decay."
    )
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="Second-moment decay of AdamW.")
    beta: float = Field(0.04, ge=0, description="Coefficient of the KL penalty to the base model.")
    loss_type: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"] = Field(
        "grpo", description="TRL's loss."
    )
    reward_weights: dict[str, float] = Field(
        {"accuracy": 2.0, "iou": 2.0, "iou_visual_rft": 2.0, "format": 1.0},
        description="Weight of each reward in the sum. Those that are not given keep their default: of a metric, "
        "its own (2, or 1 for one that judges the form alone).",
    )
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of the rollouts.")
    max_completion_length: int = Field(512, ge=1, description="Longest completion, in tokens.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient clipping.")
    bf16: bool = Field(True, description="Compute in bfloat16 (autocast). Needs a GPU.")
    gradient_checkpointing: bool = Field(True, description="Recompute activations to save memory.")
    freeze_vision: bool = Field(True, description="Keep the vision tower as it is.")
    save_steps: int = Field(
        100, ge=1, description="Steps between the checkpoints that an interrupted run resumes from."
    )
    keep_weights: list[int] | None = Field(
        None,
        description="Scored steps whose weights are kept once they have answered every benchmark; all if absent. A "
        "run on one domain alone also keeps its last weights, for merging.",
    )
    gpus: int = Field(
        0, ge=0, description="GPUs of one run; 0: the CPU. With vllm 'server' one of them only generates."
    )
    vllm: Literal["off", "colocate", "server"] = Field(
        "off",
        description="What generates the completions: 'off', the trainer itself; 'colocate', a vLLM inside each "
        "training process; 'server', TRL's vLLM server on a GPU of its own, the others train.",
    )
    threads: int = Field(1, ge=1, description="CPU threads of a training process.")
    lora: Lora | None = Field(None, description="Train adapters (LoRA, by peft); all weights if absent.")
    accelerate: str | dict[str, Any] | None = Field(
        None,
        description="A file of `accelerate config`, relative to the study's: how the processes train together, e.g. "
        "by DeepSpeed's ZeRO or FSDP (docs/gpus.md); each holds the whole model if absent.",
    )
    report_to: list[Literal["tensorboard", "wandb", "trackio", "mlflow", "swanlab"]] = Field(
        [],
        description="Trackers that show the runs besides log.jsonl, under the study's name (docs/results.md). Changes "
        "no result.",
    )
    dynamic_sampling: DynamicSampling | None = Field(
        None,
        description="Replace prompts that teach nothing, e.g. `{max_tries: 3}`; none is replaced if absent.",
    )
    trl: dict[str, Any] = Field(
        default_factory=dict,
        description="Further options of TRL's GRPOConfig by TRL's names, e.g. `{epsilon_high: 0.28, scale_rewards: "
        "none}`; GSPO is `importance_sampling_level: sequence`. The others are the paper's (docs/fidelity.md).",
    )

    @field_validator("trl")
    @classmethod
    def _trl_has_them(cls, options: dict[str, Any]) -> dict[str, Any]:
        own = FOREIGN_KEYS | {name: f"write training.{name}" for name in cls.model_fields}
        check_trl(options, own)
        return options

    @field_validator("loss_type", mode="before")
    @classmethod
    def _gspo_is_a_level(cls, value: Any) -> Any:
        if value == "gspo":
            raise ValueError("'gspo' is no loss of TRL: write trl: {importance_sampling_level: sequence}")
        return value

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return ([] if value == "none" else [value]) if isinstance(value, str) else value

    @field_validator("vllm", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        return "off" if value is False else value  # to YAML, a bare `off` is false

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.train_batch_size % self.num_generations:
            raise ValueError(
                f"train_batch_size: {self.train_batch_size} is not a multiple of num_generations "
                f"({self.num_generations}): a step must hold whole groups, e.g. {self.num_generations * 2}"
            )
        if self.train_batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"gradient_accumulation_steps: {self.train_batch_size} completions do not divide into "
                f"{self.gradient_accumulation_steps} micro-batches"
            )
        if self.vllm == "server" and self.gpus < 2:
            raise ValueError(
                f"vllm: 'server' keeps one GPU to itself and trains on the others, but gpus is {self.gpus}: set "
                "gpus to 2 or more, or vllm to colocate"
            )
        if self.vllm == "colocate" and self.gpus < 1:
            raise ValueError(
                "vllm: 'colocate' generates on a GPU, but gpus is 0: set gpus to 1 or more, or vllm to off"
            )
        if self.train_batch_size % (self.gradient_accumulation_steps * self.processes):
            raise ValueError(
                f"gpus: {self.train_batch_size} completions do not divide into {self.gradient_accumulation_steps} "
                f"micro-batches on {self.processes} training GPUs: change gpus, gradient_accumulation_steps or "
                "train_batch_size, e.g. train_batch_size: "
                f"{math.lcm(self.num_generations, self.gradient_accumulation_steps * self.processes)}"
            )
        if sorted(set(self.scored_steps)) != self.scored_steps or self.scored_steps[0] < 1:
            raise ValueError("scored_steps: must be positive and increasing")
        for step in self.keep_weights or []:
            if step not in self.scored_steps:
                raise ValueError(f"keep_weights: {step} is none of the scored_steps {self.scored_steps}")
        if self.scored_steps[-1] > self.steps:
            raise ValueError(
                f"scored_steps: {self.scored_steps[-1]} lies beyond the last step ({self.steps}): "
                "lower it or raise training.steps"
            )
        return self

    @model_validator(mode="after")
    def _accelerate_fits(self) -> Self:
        if isinstance(self.accelerate, dict):  # once the study's file has been read, its content
            try:
                check_accelerate(self.accelerate, self.gpus, self.processes, self.bf16)
            except ValueError as error:
                raise ValueError(f"accelerate: {error}") from None
        return self

    @model_validator(mode="after")
    def _dynamic_sampling_is_served(self) -> Self:
        if self.dynamic_sampling is not None and self.vllm == "server":
            raise ValueError(
                "dynamic_sampling: a vLLM server is given one seed a step, and a prompt in another's place would be "
                "answered with it again: set vllm to colocate or off"
            )
        return self

    @model_validator(mode="after")
    def _trl_options_fit(self) -> Self:
        for name in self.trl:
            if name in COLOCATED and self.vllm != "colocate":
                raise ValueError(
                    f"trl: {name}: is of a vLLM inside the trainer: set vllm to colocate, or remove it"
                )
            if name in WITH_VLLM and self.vllm == "off":
                raise ValueError(f"trl: {name}: has no effect with vllm: off: remove it")
        if self.loss_type == "luspo" and self.trl.get("importance_sampling_level") != "sequence":
            raise ValueError(
                "loss_type: 'luspo' is defined on sequences: add trl: {importance_sampling_level: sequence}"
            )
        if self.steps % self.iterations:
            raise ValueError(
                f"trl: num_iterations: {self.steps} steps are not a multiple of {self.iterations}: a step must not be "
                "the last one of half a batch"
            )
        return self

    @property
    def prompts_per_step(self) -> int:
        """Prompts that one optimiser step learns from."""
        return self.train_batch_size // self.num_generations

    @property
    def iterations(self) -> int:
        """Optimiser steps that learn from the same completions (TRL's num_iterations)."""
        return int(self.trl.get("num_iterations", 1))

    @property
    def processes(self) -> int:
        """Training processes: one a GPU that trains; on the CPU one, or what an accelerate file says."""
        if self.gpus == 0 and isinstance(self.accelerate, dict):
            return max(1, int(self.accelerate.get("num_processes") or 1))
        return max(1, self.gpus - (self.vllm == "server"))

    @property
    def samples(self) -> int:
        """Completions per training process and micro-batch."""
        return self.train_batch_size // (self.gradient_accumulation_steps * self.processes)


class Draw(Settings):
    """How the prompts of a run are drawn from its mixture."""

    shares: Literal["random", "exact"] = Field(
        "random",
        description="'random': each prompt's domain is sampled by its weight, as in the paper; 'exact': every "
        "window holds the weights' shares by largest remainder, so that runs of one mixture differ less.",
    )
    window: int = Field(20, ge=1, description="Prompts of a window, for exact shares.")


class Evaluation(Settings):
    """How predictions are made. Greedy, as the paper's benchmarks are scored."""

    max_completion_length: int = Field(512, ge=1, description="Longest completion, in tokens.")
    batch_size: int = Field(16, ge=1, description="Questions answered at once.")
    gpus: int = Field(
        0, ge=0, description="GPUs of a prediction job; 0: the CPU. vLLM splits the model over several."
    )
    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="What generates: 'vllm' is for GPUs; `make vllm` installs it."
    )
    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="Precision of the weights in prediction; model.dtype if absent."
    )
    threads: int = Field(1, ge=1, description="CPU threads of a prediction process.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.engine == "transformers" and self.gpus > 1:
            raise ValueError(
                f"gpus: engine 'transformers' uses one GPU, not {self.gpus}: set gpus to 1, or engine to vllm"
            )
        return self


class GpuPeak(Settings):
    """The most that one GPU can do, where it is not in the table, or the processors that a run holds have none."""

    tflops: float = Field(
        gt=0, description="1e12 operations a second on dense matrices, in the precision of the training."
    )
    bandwidth: float = Field(gt=0, description="GB (1e9 bytes) a second from its memory.")


def _gpu_kind(value: Any) -> str:
    return "[numbers]" if isinstance(value, dict | GpuPeak) else "[name]"


class Costs(Settings):
    """What `make plan` assumes until runs of this study have been measured.

    No result depends on it but what a strategy with a `budget` proposes, by training_hours and prediction_hours.
    """

    training_hours: float | None = Field(
        None, gt=0, description="Hours that a training run of all steps takes, on training.gpus GPUs."
    )
    prediction_hours: float | None = Field(
        None, gt=0, description="Hours to predict all scored steps of a run, on evaluation.gpus GPUs."
    )
    checkpoint_gb: float | None = Field(None, gt=0, description="Size of one checkpoint, in GB (1e9 bytes).")
    gpu: (
        Annotated[
            Annotated[str, AfterValidator(check_gpu), Tag("[name]")] | Annotated[GpuPeak, Tag("[numbers]")],
            Discriminator(_gpu_kind),
        ]
        | None
    ) = Field(
        None,
        description="The GPU of the jobs, e.g. H100, or its numbers, e.g. {tflops: 989, bandwidth: 3350}: hours that "
        "are not given are estimated from them (docs/gpus.md).",
    )
    parameters: float | None = Field(
        None,
        gt=0,
        description="Parameters of the model; counted in its folder, else read from its name on the hub, if absent.",
    )
    prompt_tokens: int = Field(1000, ge=1, description="Tokens of a prompt, its images included.")
    completion_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of a completion; as many as it may have (max_completion_length) if absent.",
    )
    price: float | None = Field(
        None, gt=0, description="Of a GPU for an hour: what is left is told in money too."
    )
    currency: str = Field("USD", min_length=1, description="Of the price.")


class Judge(Settings):
    """A model behind an OpenAI-compatible endpoint, for metrics that ask one (mathvista_judged)."""

    model: str = Field(min_length=1, description="The model's name at the endpoint; pin a dated one.")
    endpoint: str = Field(
        "https://api.openai.com/v1", description="Its base URL, to which /chat/completions is appended."
    )
    key: str | None = Field(
        "OPENAI_API_KEY",
        description="Environment variable with the API key, which is never written to a file; null: no key is sent.",
    )
    request: dict[str, Any] = Field(
        {"temperature": 0, "max_tokens": 256}, description="Further fields of each request."
    )
    parallel: int = Field(8, ge=1, le=256, description="Concurrent requests.")
    timeout: float = Field(60.0, gt=0, description="Seconds that one request may take.")

    @model_validator(mode="after")
    def _is_asked_over_http(self) -> Self:
        if not re.match(r"https?://[^/\s]", self.endpoint):
            raise ValueError(
                f"endpoint: '{self.endpoint}': expected an address, e.g. http://127.0.0.1:8000/v1"
            )
        if taken := {"model", "messages", "stream", "n"} & set(self.request):
            raise ValueError(f"request: '{min(taken)}' is not free to choose: remove it")
        return self


class Reporting(Settings):
    """How results are shown: figures, report and explorer. Changes no result."""

    column_width: float = Field(
        3.4, ge=2, le=12, description="Width of a figure, in inches: that of a paper's column."
    )
    dpi: int = Field(300, ge=50, le=1200, description="Dots per inch of the figures' PNG.")
    surrogate: str | None = Field(
        None,
        description="Registered surrogate of the calibration figure, of the verdict and of the explorer, which "
        "supports gp_sqrt and gp_average. If absent, that of the first strategy that proposes by one of them (auto is "
        "gp_average), else gp_sqrt.",
    )
    notes: str = Field("", description="Remarks for readers of the report.")


class CheaperRuns(Settings):
    """Another study's records, learned from as cheaper runs: a smaller model's, an earlier study's."""

    records: str = Field(description="The other study's records.csv, or a table of weights and scores.")
    name: Name | None = Field(
        None, description="What they are called; the study's or the file's name if absent."
    )
    cost: float | None = Field(
        None, gt=0, description="Of one of its runs, in runs of this study: told beside what they weigh."
    )
    lower_is_better: bool | list[str] | None = Field(
        None,
        description="Scores that are losses: all, or the names of some; as of the study's own if absent.",
    )

    @property
    def title(self) -> str:
        """Its name; else that of the study whose records.csv it is, or of the file."""
        path = PurePath(self.records)
        return self.name or (
            path.parent.name if path.name == "records.csv" and path.parent.name else path.stem
        )


def _learned_kind(value: Any) -> str:
    """Square brackets: error messages leave such a part of a place out."""
    return "[records]" if isinstance(value, dict | CheaperRuns) else "[name]"


class Strategy(Settings):
    """One way to choose mixtures, and how many."""

    propose: str = Field(description="Name of a registered strategy function.")
    group: str = Field(description="Its heading in Table 2, e.g. seed, heuristic, model.")
    label: str | None = Field(None, description="Its name in Table 2; the strategy's name if absent.")
    count: int = Field(1, ge=1, description="Mixtures proposed, where the function does not fix the number.")
    learns_from: list[
        Annotated[
            Annotated[Name, Tag("[name]")] | Annotated[CheaperRuns, Tag("[records]")],
            Discriminator(_learned_kind),
        ]
    ] = Field(
        [],
        description="Strategies or groups listed above it, whose scored runs it learns from; records of other studies.",
    )
    scores: Literal["mean", "last"] = Field(
        "last", description="'last': scores of the last step; 'mean': averaged over the scored steps."
    )
    target: str = Field("out_score", description="What to maximise: out_score, in_score or a benchmark.")
    without: list[Name] = Field([], description="Domains that get no weight (the paper's 'No 1' rows).")
    seed: Seed = Field(0, description="Seed of its random choices.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the function.")

    @property
    def names_learned(self) -> list[str]:
        """The strategies and groups that it learns from."""
        return [other for other in self.learns_from if isinstance(other, str)]

    @property
    def cheaper_runs(self) -> list[CheaperRuns]:
        """The records of other studies that it learns from."""
        return [other for other in self.learns_from if isinstance(other, CheaperRuns)]


def held_out_name(domain: str) -> str:
    """What the examples held out of a domain are called."""
    return f"{domain}_held_out"


class Merging(Settings):
    """How experts, the runs on one domain each, are merged to predict mixtures (docs/merging.md)."""

    alphas: list[Annotated[float, Field(gt=0)]] = Field(
        [1.0, 1.5, 2.0],
        min_length=1,
        description="Scales of the experts' changes to try; the one that predicts trained mixtures best is "
        "used.",
    )

    @model_validator(mode="before")
    @classmethod
    def _is_linear(cls, data: Any) -> Any:
        if removed := {"method", "density", "seed"} & set(data if isinstance(data, dict) else ()):
            raise ValueError(
                f"{min(removed)}: experts are only added up linearly; TIES and DARE predicted worse and were removed "
                "(docs/research/merging.md): remove the key"
            )
        return data


class Study(Settings):
    """The top level of a study file."""

    name: Name = Field(description="Names the folder of its results: results/<name>/.")
    plugins: list[str] = Field(
        [],
        description="Python files, or modules by dotted name, that register datasets, rewards, metrics, strategies.",
    )
    model: Model
    domains: dict[Name, Domain] = Field(min_length=1, description="Training sets by name, in table order.")
    benchmarks: dict[Name, Benchmark] = Field(min_length=1, description="Test sets by name, in table order.")
    held_out: dict[Name, HeldOut] = Field(
        default_factory=dict,
        description="Domain → held-out questions of its kind, answered by the base model and by the run "
        "on that domain alone (in_domain.csv). Part of no score.",
    )
    data: Data = Field(default_factory=Data)
    prompts: Templates = Field(default_factory=Templates, description="Reasoning templates.")
    draw: Draw = Field(default_factory=Draw)
    training: Training = Field(default_factory=Training)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    costs: Costs = Field(default_factory=Costs)
    judge: Judge | None = Field(None, description="The model that reads answers, for metrics that need one.")
    merging: Merging = Field(default_factory=Merging)
    strategies: dict[Name, Strategy] = Field(min_length=1, description="Strategies by name, in table order.")
    repeats: dict[Name, list[Seed]] = Field(
        default_factory=dict, description="Mixture → further seeds to train it with, to measure the noise."
    )
    reporting: Reporting = Field(default_factory=Reporting)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        both = sorted(set(self.domains) & set(self.benchmarks))
        if both:
            raise ValueError(f"benchmarks.{both[0]}: a domain has this name too; call it e.g. {both[0]}_test")
        for name in self.held_out:
            if name not in self.domains:
                raise ValueError(f"held_out.{name}: unknown domain: {nearest(name, self.domains)}")
            if held_out_name(name) in (*self.domains, *self.benchmarks):
                raise ValueError(
                    f"held_out.{name}: its examples would be {held_out_name(name)}.jsonl: rename that one"
                )
        if not any(benchmark.group == "out" for benchmark in self.benchmarks.values()):
            raise ValueError("benchmarks: none has group 'out', so there is no Out-Score")
        earlier: list[str] = []
        for name, strategy in self.strategies.items():
            groups = {self.strategies[other].group for other in earlier}
            for other in strategy.names_learned:
                if other not in earlier and other not in groups:
                    raise ValueError(
                        f"strategies.{name}.learns_from: '{other}' is neither a strategy nor a group listed above it: "
                        f"{nearest(other, [*earlier, *groups])}"
                    )
            for domain_name in strategy.without:
                if domain_name not in self.domains:
                    raise ValueError(
                        f"strategies.{name}.without: unknown domain '{domain_name}': "
                        f"{nearest(domain_name, self.domains)}"
                    )
            if len(strategy.without) >= len(self.domains):
                raise ValueError(f"strategies.{name}.without: no domain is left")
            inside = any(benchmark.group == "in" for benchmark in self.benchmarks.values())
            targets = ["out_score", *(["in_score"] if inside else []), *self.benchmarks]
            if strategy.target not in targets:
                raise ValueError(
                    f"strategies.{name}.target: unknown '{strategy.target}': {nearest(strategy.target, targets)}"
                )
            earlier.append(name)
        return self

    @property
    def datasets(self) -> dict[str, Dataset]:
        """All sets of examples by name: domains, benchmarks, held-out questions."""
        held_out = {held_out_name(name): entry for name, entry in self.held_out.items()}
        return {**self.domains, **self.benchmarks, **held_out}

    def templates(self, dataset: str) -> Templates:
        """The reasoning templates of a set of examples: the study's, but for its own."""
        own = self.datasets[dataset].prompts
        return self.prompts.model_copy(update={str(kind): text for kind, text in own.items()})

    def own_templates(self, datasets: Iterable[str]) -> dict[str, Templates]:
        """Those of the datasets that differ from the study's."""
        found = {name: self.templates(name) for name in datasets}
        return {name: templates for name, templates in found.items() if templates != self.prompts}

    def depends_on(self, name: str) -> list[str]:
        """The strategies that a strategy learns from, groups spelt out, in table order."""
        wanted = self.strategies[name].names_learned
        above = list(self.strategies)[: list(self.strategies).index(name)]
        return [other for other in above if other in wanted or self.strategies[other].group in wanted]
