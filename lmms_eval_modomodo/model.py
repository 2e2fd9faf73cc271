"""lmms-eval's requests, answered as a study's predictions are: our processor, prompts, precision and extraction."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import PIL.Image
import torch
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms

from modomodo.config.loading import parse
from modomodo.config.reading import read_yaml
from modomodo.config.schema import Evaluation, Templates
from modomodo.data.examples import AnswerType, Example
from modomodo.errors import InputError, nearest
from modomodo.evaluation.benchmarks import Questions
from modomodo.evaluation.engines.start import start_engine
from modomodo.evaluation.predictions import Prediction
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import read_json
from modomodo.training.run_folder import FINISHED

ANSWER_TYPES = get_args(AnswerType)


class Checkpoint(lmms):
    """A checkpoint with transformers, on one GPU where there is one.

    `pretrained`: its directory. How it is asked is read from `finished.json` beside it, or from `study`, the file of
    a study; without either by the defaults of a study. `answer_type`: whose template is appended to each question;
    `none` appends nothing and hands the whole completion over in place of the extracted answer. `max_new_tokens`,
    `dtype` and `batch_size` override. lmms-eval's own limits on tokens and its stop words do not count: they would
    cut the reasoning.
    """

    def __init__(
        self,
        pretrained: str,
        study: str = "",
        answer_type: str = "text",
        dtype: str = "",
        max_new_tokens: int = 0,
        batch_size: int | str | None = None,
        device: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        known = ["pretrained", "study", "answer_type", "dtype", "max_new_tokens", "batch_size", "device"]
        for name in set(unknown) - {"max_batch_size"}:
            raise InputError(f"--model_args: {name}: unknown: {nearest(name, known)}")
        if answer_type not in (*ANSWER_TYPES, "none"):
            raise InputError(
                f"--model_args: answer_type: '{answer_type}': {nearest(answer_type, (*ANSWER_TYPES, 'none'))}"
            )
        self.directory = Path(pretrained)
        self.whole = answer_type == "none"
        self.answer_type: Any = "text" if self.whole else answer_type
        asked = settings_of(self.directory, study)
        cpu = str(device or "").startswith("cpu") or not torch.cuda.is_available()
        changes = {
            "gpus": 0 if cpu else 1,
            "engine": "transformers",
            **({"max_completion_length": int(max_new_tokens)} if max_new_tokens else {}),
            **({"batch_size": int(batch_size)} if batch_size not in (None, "auto") else {}),
            **({"dtype": dtype} if dtype else {}),
        }
        evaluation = Evaluation(**{**dict(asked.evaluation), **changes})
        prompts = (
            Templates(box="", choice="", text="", number="", separator="") if self.whole else asked.prompts
        )
        self.settings = asked.model_copy(update={"evaluation": evaluation, "prompts": prompts})

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """The extracted answer to each request, "" where there is none, in the order of the requests."""
        with tempfile.TemporaryDirectory() as folder:
            examples = [
                self._example(number, request, Path(folder)) for number, request in enumerate(requests)
            ]
            questions = Questions("lmms_eval", Path(folder, "lmms_eval.jsonl"), examples)
            engine = start_engine(self.settings, self.directory, [questions])
            engine.load(self.directory)
            (batches,) = engine.prepare([questions], self.settings)
            found = engine.answer_all(batches)
        return [self._result(found[example.id]) for example in examples]

    def _example(self, number: int, request: Instance, folder: Path) -> Example:
        """A request as a question of ours: ids of several tasks may be the same, so its number is its id."""
        context, _, look, doc_id, task, split = request.args
        names: list[str] = []
        for seen in look(self.task_dict[task][split][doc_id]) or []:
            if not isinstance(seen, PIL.Image.Image):
                raise InputError(
                    f"{task}: question {doc_id} shows a {type(seen).__name__}: only images are shown"
                )
            names.append(f"{number}-{len(names)}.png")
            seen.convert("RGB").save(folder / names[-1])
        fields = {"id": str(number), "dataset": task, "question": context, "answer_type": self.answer_type}
        meta = {"images": names[1:]} if names[1:] else {}
        if self.answer_type == "box":
            return Example(**fields, image=names[0], answer=[(0, 0, 1, 1)], meta={**meta, "boxes": "0-1000"})
        choices = ["?"] if self.answer_type == "choice" else []
        answer = "A" if choices else "?"
        return Example(**fields, image=(names or [""])[0], answer=answer, choices=choices, meta=meta)

    def _result(self, prediction: Prediction) -> GenerationResult:
        text = prediction.completion if self.whole else prediction.answer or ""
        return GenerationResult(text=text, token_counts=TokenCounts(output_tokens=prediction.tokens))

    def loglikelihood(self, requests: Sequence[Instance]) -> Any:
        """Raises InputError: likelihoods say nothing of a model that reasons before it answers."""
        raise InputError(
            f"{requests[0].task_name}: compares likelihoods: take a task whose answers are generated"
        )

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> Any:
        """Raises InputError: questions of a study have one round."""
        raise InputError(f"{requests[0].task_name}: asks in several rounds: take a task of one")


def settings_of(checkpoint: Path, study: str) -> PredictSettings:
    """How a checkpoint is asked: by a study's file, else as its run was trained, else by a study's defaults.

    Raises InputError naming file and key.
    """
    run = checkpoint.absolute().parent / FINISHED
    if study:
        data = read_yaml(study)
        given = {
            "prompts": data.get("prompts") or {},
            "dtype": (data.get("model") or {}).get("dtype", "float32"),
            "evaluation": data.get("evaluation") or {},
        }
        return parse(given, PredictSettings, study)
    if not run.is_file():
        return PredictSettings(evaluation=Evaluation(), dtype="float32")
    trained = read_json(run, "settings")["settings"]
    given = {
        "prompts": trained.get("prompts", {}),
        "dtype": trained["dtype"],
        "evaluation": {
            key: value for key, value in trained.get("training", {}).items() if key == "max_completion_length"
        },
    }
    return parse(given, PredictSettings, str(run))
