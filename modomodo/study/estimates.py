"""What a run takes before any was measured: a formula of model size, tokens and GPU, stated in docs/gpus.md.

A token is generated as fast as the weights come from memory, or as fast as the layers can be started; everything else
goes by operations: 2 for a parameter and token forward, 4 backward (Kaplan et al., arXiv 2001.08361, section 2.1).
Not counted: loading the model, reading and resizing images, rewards, what GPUs send to each other, saving.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modomodo.config.gpus import GPUS, Peak
from modomodo.config.schema import Study, Training
from modomodo.files import read_json
from modomodo.training.model_directory import tensor_shapes

COMPUTE = 0.3  # of the peak operations that training reaches, and prompts that are read
MEMORY = 0.6  # of the peak bandwidth that generation reaches
# Seconds until a layer's kernels are started: transformers starts each from Python, vLLM a recorded graph.
START = {"transformers": 1e-3, "vllm": 5e-5}
PATCHES = 4  # that the vision tower sees for each token of an image (2 x 2 are merged)
ADAMW = 28  # bytes read and written for a parameter and step: weight, gradient and two moments in float32
VISION = re.compile(r"(^|\.)(visual|vision_tower|vision_model)\.")  # in the names of a tower's tensors


@dataclass(frozen=True)
class ModelSize:
    """What the formula needs of a model. `source` says where it is from."""

    parameters: float  # of the language model
    vision: float  # of the vision tower; 0 where there is none or it cannot be told apart
    layers: int
    cache: float  # bytes of keys and values of one token, in bfloat16
    source: str


# Qwen2-VL-2B's, for a model of which nothing but its size is known.
LAYERS, CACHE = 28, 28_672.0


@dataclass(frozen=True)
class Estimate:
    """Seconds of an optimiser step, its parts apart, and of a checkpoint's answers; None where unknown."""

    generation: float
    training: float
    prediction: float | None
    about: str  # model, GPU and tokens that were assumed

    @property
    def step(self) -> float:
        """Seconds of an optimiser step."""
        return self.generation + self.training


def estimate_of(study: Study, folder: Path) -> Estimate | str | None:
    """The formula for a study with results in `folder`; what is missing for it; None where no GPU is named.

    A GPU of the table prices jobs on GPUs alone; numbers of one's own price those on CPUs too.
    """
    gpu = study.costs.gpu
    if gpu is None:
        return None
    if isinstance(gpu, str) and not study.training.gpus:
        return "costs.gpu names a GPU, but training.gpus is 0"
    size = size_of(study, folder)
    if isinstance(size, str):
        return size
    peak = GPUS[gpu] if isinstance(gpu, str) else Peak(gpu.tflops, gpu.bandwidth)
    prompt = study.costs.prompt_tokens
    completion = study.costs.completion_tokens or study.training.max_completion_length
    name = gpu if isinstance(gpu, str) else f"{gpu.tflops:g} TFLOP/s and {gpu.bandwidth:g} GB/s"
    total = size.parameters + size.vision
    return Estimate(
        generation_seconds(study, size, peak, prompt, completion),
        training_seconds(study.training, size, peak, prompt, completion),
        None
        if isinstance(gpu, str) and not study.evaluation.gpus
        else prediction_seconds(study, size, peak, questions_of(study, folder)),
        f"{name}, {_billions(total)} parameters ({size.source}), {prompt:,} tokens a prompt and {completion:,} a "
        "completion",
    )


def generation_seconds(study: Study, size: ModelSize, peak: Peak, prompt: int, completion: int) -> float:
    """Seconds to read the prompts of an optimiser step and write their completions."""
    training = study.training
    engine = "transformers" if training.vllm == "off" else "vllm"
    gpus = 1 if training.vllm == "server" else training.processes
    at_once = math.ceil(training.train_batch_size / gpus)
    # vLLM reads a prompt once for the completions of its group; transformers for each.
    read = max(1, at_once // training.num_generations) if engine == "vllm" else at_once
    images = max(1, at_once // training.num_generations)
    reading = 2 * prompt * (size.parameters * read + PATCHES * size.vision * images)
    wide = engine == "transformers" and study.model.dtype == "float32"
    token = token_seconds(size, peak, at_once, prompt + completion / 2, engine, 4 if wide else 2)
    return (_operations(reading, peak) + completion * token) / training.iterations


def training_seconds(training: Training, size: ModelSize, peak: Peak, prompt: int, completion: int) -> float:
    """Seconds of the passes of an optimiser step and of the optimiser."""
    passes = (
        2.0 if training.lora else 3.0
    )  # one forward; backward to activations and, without LoRA, to weights
    passes += training.gradient_checkpointing
    passes += (training.beta > 0) / training.iterations  # the reference's, once for the same completions
    passes += _remembers(training) / training.iterations
    at_once = training.train_batch_size / training.processes
    work = 2 * passes * size.parameters * at_once * (prompt + completion)
    seen = 1 if training.freeze_vision else 3 * training.num_generations
    work += 2 * PATCHES * size.vision * prompt * seen * max(1.0, at_once / training.num_generations)
    started = passes * size.layers * START["transformers"] * training.gradient_accumulation_steps
    update = 0.0 if training.lora else ADAMW * size.parameters / (peak.bandwidth * 1e9 * MEMORY)
    return max(_operations(work, peak), started) + update


def prediction_seconds(study: Study, size: ModelSize, peak: Peak, questions: int | None) -> float | None:
    """Seconds in which a checkpoint answers so many questions; None where their number is unknown."""
    if questions is None:
        return None
    evaluation, costs = study.evaluation, study.costs
    gpus = max(1, evaluation.gpus)
    completion = costs.completion_tokens or evaluation.max_completion_length
    whole = Peak(peak.tflops * gpus, peak.bandwidth * gpus)
    wide = (evaluation.dtype or study.model.dtype) == "float32"
    reading = 2 * costs.prompt_tokens * (size.parameters + PATCHES * size.vision) * questions
    at_once = min(evaluation.batch_size, questions)
    token = token_seconds(
        size, whole, at_once, costs.prompt_tokens + completion / 2, evaluation.engine, 4 if wide else 2
    )
    return _operations(reading, whole) + questions / at_once * completion * token


def token_seconds(
    size: ModelSize, peak: Peak, at_once: int, context: float, engine: str, width: int
) -> float:
    """Seconds for one more token of so many completions, each of `context` tokens; weights of `width` bytes."""
    memory = (size.parameters * width + at_once * context * size.cache) / (peak.bandwidth * 1e9 * MEMORY)
    return max(memory, _operations(2 * size.parameters * at_once, peak), size.layers * START[engine])


def _operations(count: float, peak: Peak) -> float:
    return count / (peak.tflops * 1e12 * COMPUTE)


def _remembers(training: Training) -> bool:
    """Whether TRL computes the probabilities of the completions once more: for vLLM's, and to use them again."""
    corrected = training.vllm != "off" and bool(training.trl.get("vllm_importance_sampling_correction", True))
    return corrected or training.iterations > 1


def questions_of(study: Study, folder: Path) -> int | None:
    """Questions of all benchmarks, as preprocessed, else as expected; None where one's are unknown."""
    counts = [
        _lines(folder / f"examples/{name}.jsonl") or entry.expected or entry.limit
        for name, entry in study.benchmarks.items()
    ]
    return None if None in counts else sum(count or 0 for count in counts)


def _lines(path: Path) -> int | None:
    if not path.exists():
        return None
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def size_of(study: Study, folder: Path) -> ModelSize | str:
    """The model's size: as the study says, else as counted in its folder, else by its name; or what is missing."""
    options = study.model.options
    where = next((place for place in _folders(options, folder) if (place / "config.json").is_file()), None)
    known = counted(where) if where else None
    given = study.costs.parameters
    if given is not None:
        vision = known.vision * given / (known.parameters + known.vision) if known else 0.0
        layers, cache = (known.layers, known.cache) if known else (LAYERS, CACHE)
        return ModelSize(given - vision, vision, layers, cache, "costs.parameters")
    if known is not None:
        return known
    name = str(options.get("repo", ""))
    found = re.findall(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)\s?([BM])(?![A-Za-z0-9])", name, re.IGNORECASE)
    if not found:
        return "the model's size is not known before it is here: set costs.parameters"
    count, unit = found[0]
    return ModelSize(
        float(count) * (1e9 if unit in "Bb" else 1e6), 0.0, LAYERS, CACHE, "by its name on the hub"
    )


def _folders(options: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    if isinstance(options.get("path"), str):
        yield Path(options["path"])
    yield folder / "base"


def counted(model: Path) -> ModelSize | None:
    """The size of a model in a folder: parameters by the headers of its weights, layers by config.json."""
    shapes = tensor_shapes(model)
    if not shapes:
        return None
    vision = sum(math.prod(shape) for name, shape in shapes.items() if VISION.search(name))
    total = sum(math.prod(shape) for shape in shapes.values())
    config = read_json(model / "config.json")
    text = next((config[key] for key in ("text_config", "llm_config") if key in config), config)
    layers = int(text.get("num_hidden_layers") or LAYERS)
    return ModelSize(total - vision, vision, layers, _cache(text, layers), f"counted in {model}")


def _cache(text: Mapping[str, Any], layers: int) -> float:
    """Bytes of a token's keys and values in bfloat16."""
    heads = text.get("num_attention_heads")
    if not heads or "hidden_size" not in text:
        return CACHE
    kept = text.get("num_key_value_heads") or heads
    width = text.get("head_dim") or text["hidden_size"] / heads
    return 2.0 * 2 * layers * kept * width


def _billions(count: float) -> str:
    return f"{count / 1e9:.3g} billion" if count >= 1e8 else f"{count / 1e6:.3g} million"
