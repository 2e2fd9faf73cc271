"""Our metrics of ChartQA, InfoVQA, ScienceQA and MMMU against lmms-eval's own code, question by question.

Example:
    python benchmarks/lmms_agreement.py
    python benchmarks/lmms_agreement.py --results results/tiny --responses ../shared/conformance/mmmu_*.jsonl

Each answer is scored twice: by our metric, and by the installed lmms-eval (make lmms), whose evaluator runs the task's
own code. Prints for each metric how many verdicts agree, and every answer on which they do not, once, with the reason.

Always compared are answers in the dresses in which models answer, each against each truth. --results adds what all
checkpoints of a study answered: questions with options as ScienceQA's and MMMU's, others as ChartQA's and InfoVQA's.
--responses adds rows of MMMU with `response`, `answer`, `question_type` and `index2ans`.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from modomodo import command_line
from modomodo.data.answers import extract_answer
from modomodo.data.examples import Example, read_examples
from modomodo.data.lmms_eval.environment import enter_lmms_environment
from modomodo.errors import InputError
from modomodo.evaluation.lmms_scores import score_task
from modomodo.evaluation.predictions import Prediction, read_predictions, read_run_predictions
from modomodo.files import read_jsonl
from modomodo.metrics.metric import Score, called, references
from modomodo.metrics.mmmu import options, parse_choice, parse_choice_lmms_eval


@dataclass(frozen=True)
class Comparison:
    """One of our metrics, and the task and the metric of lmms-eval that it should agree with."""

    ours: str
    task: str
    theirs: str
    split: str
    choices: bool  # whether its questions have options


@dataclass(frozen=True)
class Verdicts:
    """Our score of an answer and lmms-eval's value of it."""

    ours: Score
    theirs: float

    @property
    def agree(self) -> bool:
        return abs(self.ours.value - self.theirs) < 1e-9


@dataclass(frozen=True)
class Answered:
    """A question and a completion; `source` says whose."""

    source: str
    example: Example
    completion: str


COMPARISONS = [
    Comparison("relaxed_accuracy", "chartqa", "relaxed_overall", "test", choices=False),
    Comparison("anls", "infovqa_val", "anls", "validation", choices=False),
    Comparison("scienceqa_lmms_eval", "scienceqa_img", "exact_match", "test", choices=True),
    Comparison("scienceqa", "scienceqa_img", "exact_match", "test", choices=True),
    Comparison("mmmu_lmms_eval", "mmmu_val", "mmmu_acc", "validation", choices=True),
    Comparison("mmmu", "mmmu_val", "mmmu_acc", "validation", choices=True),
]


def _words(text: str) -> list[str]:
    """The texts between the bars, white space and all."""
    return text.replace("\n", "").replace("⏎", "\n").split("|")


NUMBERS = ["10", "0", "12%", "0.12", "3.5", "-4", "1,000", "2019", "1e3"]
WORDS = ["Yes", "blue", "New York", "cost of goods", "42 kg", "Ångström", "B"]
DRESSES = _words("{}|{}.| {} |${}|{} kg|{}%|**{}**|the answer is {}|({})|{}⏎|{}!|")
NEAR = _words(
    "10.5|10.51|9.5|9.49|0.0|12|0.1261|-4.2|-4.21|1000|nan|inf|yes|BLUE|blues|newyork|cost of good|cost  of  goods"
    "|angstrom|b|ten|１０|2020|-0"
)
LISTS = [["blue", "navy blue"], ["24", "twenty four"], ["a", "I"], ["", "x"], ["straße"], ["İstanbul"]]
OPTIONS = ["red", "dark blue", "B", "Arizona"]
LETTERS = _words(
    "A|B|C|D|b|E|B.|b.|(B)|(b)|B)|B. dark blue|B.dark blue|b. dark blue|A. dark blue|The answer is B"
    "|The answer is (B).|It is B.|A or B|A, B|Between A and (B), (B)|dark blue"
    "|I think that it must be dark blue in the end|so it is not red but dark blue, I say"
    "|C. B||?|**B**|\\boxed{B}|Answer: B|B⏎| B |BB|ABBA rules|I saw A. then B."
)
OPEN = _words(
    "3.43|24/7|x = 3.43|the answer is 3.4299|so 24/7|3,43|so it is 3.⏎thus 3.43|3.43 m|-3.43|about 3 to 3.5|is a"
    "|result 1,000.0|1000|b|it is a cat.|catalogue|e|"
)
ACCEPTED = [["24/7", "3.429"], ["1000"], ["cat"], ["a"], ["3"]]


def cases(choices: bool) -> Iterator[Answered]:
    """Answers in the dresses of models, each against each truth."""
    number = 0
    if choices:
        for truth, text in product("ABCD", LETTERS):
            number += 1
            yield _case(number, text, {"answer": truth, "answer_type": "choice", "choices": OPTIONS})
        for accepted, text in product(ACCEPTED, OPEN):
            number += 1
            yield _case(
                number, text, {"answer": accepted[0], "answer_type": "text", "meta": {"answers": accepted}}
            )
        return
    said = [dress.format(word) for dress, word in product(DRESSES, NUMBERS + WORDS)] + NEAR
    for truths, text in product([[one] for one in NUMBERS + WORDS] + LISTS, dict.fromkeys(said)):
        number += 1
        accepted = [one for one in truths if one]
        yield _case(
            number, text, {"answer": accepted[0], "answer_type": "text", "meta": {"answers": accepted}}
        )


def _case(number: int, text: str, fields: dict[str, Any]) -> Answered:
    example = Example(id=str(number), dataset="cases", image="", question="?", **fields)
    return Answered("cases", example, f"<think>?</think><answer>{text}</answer>")


def answers_of(results: Path, choices: bool) -> Iterator[Answered]:
    """What every checkpoint of a study answered to its questions with options, or to the others but boxes."""
    for listed in sorted(results.glob("predictions/*/*/predictions.json")):
        for step, entries in read_run_predictions(listed).predictions.items():
            for benchmark, entry in entries.items():
                examples = {each.id: each for each in read_examples(results / f"examples/{benchmark}.jsonl")}
                for prediction in read_predictions(listed.parent / entry.path):
                    example = examples[prediction.id]
                    if example.answer_type != "box" and bool(example.choices) == choices:
                        source = f"{listed.parent.parent.name}/{listed.parent.name} step {step} {benchmark}"
                        yield Answered(source, example, prediction.completion)


def responses_of(path: Path) -> Iterator[Answered]:
    """Published responses to MMMU, which keep no reasoning format."""
    for number, row in read_jsonl(path):
        try:
            accepted = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
            choices = list(row["index2ans"].values()) if row["question_type"] == "multiple-choice" else []
            fields = {
                "answer": accepted[0],
                "answer_type": "choice" if choices else "text",
                "choices": choices,
            }
            meta = {} if choices else {"answers": accepted}
            example = Example(id=row["id"], dataset="MMMU", image="", question="?", meta=meta, **fields)
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number}: no row of MMMU with a response: {error}") from None
        yield Answered(path.name, example, row["response"])


def row_of(comparison: Comparison, example: Example, number: int) -> dict[str, Any]:
    """A question as the task's rows on the hub have it, without what scoring does not read."""
    accepted = references(example)
    if comparison.task == "chartqa":
        return {"question": "?", "answer": accepted[0], "type": "human_test"}
    if comparison.task == "infovqa_val":
        return {"question": "?", "answers": accepted}
    if comparison.task == "scienceqa_img":
        place = ord(str(example.answer)) - ord("A")
        return {"question": "?", "hint": "", "choices": example.choices, "answer": place}
    return {
        "id": f"validation_Art_{number}",
        "question": "?",
        "question_type": "multiple-choice" if example.choices else "short-answer",
        "options": str(example.choices),
        # The hub's rows hold a list of accepted answers as text.
        "answer": accepted[0] if len(accepted) == 1 else str(accepted),
    }


def compare(
    comparison: Comparison, answered: Sequence[Answered], folder: Path
) -> list[tuple[Answered, Verdicts]]:
    """Each answer with our value and theirs."""
    import datasets

    metric = called(comparison.ours)
    rows = [row_of(comparison, each.example, number) for number, each in enumerate(answered)]
    docs = folder / comparison.ours
    datasets.DatasetDict({comparison.split: datasets.Dataset.from_list(rows)}).save_to_disk(str(docs))
    examples, predictions, ours = [], {}, []
    for number, each in enumerate(answered):
        answer = extract_answer(each.completion)
        text = metric.text(each.completion, answer) or ""
        examples.append(each.example.model_copy(update={"id": str(number)}))
        predictions[str(number)] = Prediction(
            id=str(number), completion=each.completion, answer=text, finish_reason="stop", tokens=0
        )
        ours.append(metric(each.completion, answer, each.example))
    theirs = score_task(comparison.task, comparison.theirs, docs, examples, predictions).values
    return list(zip(answered, map(Verdicts, ours, theirs), strict=True))


def reason(comparison: Comparison, each: Answered) -> str:
    """Why the two may differ on an answer; empty where that is not known."""
    text = called(comparison.ours).text(each.completion, extract_answer(each.completion)) or ""
    example = each.example
    if comparison.ours == "scienceqa":
        return "the paper's exact match: a letter alone, in capitals"
    if comparison.task == "mmmu_val" and example.choices:
        read = {"the official parser": parse_choice, "lmms-eval's of 2025": parse_choice_lmms_eval}
        found = {name: parse(text, options(example)) for name, parse in read.items()}
        return ", ".join(f"{name} reads {letter or 'nothing and draws'}" for name, letter in found.items())
    if comparison.task == "mmmu_val" and len(references(example)) > 1:
        return "lmms-eval takes a list of accepted answers, which is text on the hub, for one answer"
    return ""


def report(comparison: Comparison, found: Sequence[tuple[Answered, Verdicts]]) -> Iterator[str]:
    """The agreement by source, then each answer on which the two differ."""
    sources: dict[str, list[Verdicts]] = {}
    for each, verdicts in found:
        sources.setdefault(each.source if "step" not in each.source else "results", []).append(verdicts)
    for source, all_ in sources.items():
        line = f"{comparison.ours} = {comparison.task} {comparison.theirs}, {source}: {_share(all_)}"
        read = [verdicts for verdicts in all_ if verdicts.ours.parsed]
        yield line + (f", {_share(read)} where we read an answer" if len(read) < len(all_) else "")
    seen = set()
    for each, verdicts in found:
        answer = extract_answer(each.completion)
        text = each.completion if answer is None else answer
        key = (str(each.example.answer), str(each.example.meta), text)
        if verdicts.agree or key in seen:
            continue
        seen.add(key)
        why = reason(comparison, each)
        yield (
            f"  {text[:60]!r} for {references(each.example)}: {verdicts.ours.value:g} with us, {verdicts.theirs:g}"
            f"{f' ({why})' if why else ''}"
        )


def _share(verdicts: Sequence[Verdicts]) -> str:
    return f"{sum(each.agree for each in verdicts)}/{len(verdicts)}"


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--results", type=Path, action="append", default=[], help="results/<study> with predictions"
    )
    parser.add_argument("--responses", type=Path, nargs="+", default=[], help="responses to MMMU, JSONL")
    parser.add_argument("--only", choices=[each.ours for each in COMPARISONS], help="one of our metrics")
    arguments = parser.parse_args()
    for path in (*arguments.results, *arguments.responses):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    enter_lmms_environment()
    with tempfile.TemporaryDirectory() as folder:
        for comparison in COMPARISONS:
            if arguments.only in (None, comparison.ours):
                answered = list(collected(comparison, arguments))
                print(*report(comparison, compare(comparison, answered, Path(folder))), sep="\n", flush=True)


def collected(comparison: Comparison, arguments: argparse.Namespace) -> Iterator[Answered]:
    """The answers that a comparison is about."""
    for each in cases(comparison.choices):
        if comparison.task != "scienceqa_img" or each.example.choices:
            yield each
    for results in arguments.results:
        yield from answers_of(results, comparison.choices)
    if comparison.task == "mmmu_val":
        for path in arguments.responses:
            yield from responses_of(path)


if __name__ == "__main__":
    command_line.run(main)
