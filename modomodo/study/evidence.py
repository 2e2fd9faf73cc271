"""What the pages of runs are made of, read from a study's files: run.json, log.jsonl, predictions, examples, images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modomodo.data.answers import parse_boxes
from modomodo.data.conventions import Corners, clipped, converted
from modomodo.data.examples import Box, Example, image_paths, read_examples
from modomodo.errors import InputError
from modomodo.evaluation.predictions import Prediction, RunPredictions, read_predictions, read_run_predictions
from modomodo.files import read_jsonl
from modomodo.mixtures.records import BASE
from modomodo.mixtures.trained_runs import home_of, run_so_far
from modomodo.reporting.pictures import Pictures
from modomodo.reporting.results import Results
from modomodo.reporting.run_pages import (
    Asked,
    Picture,
    RunPage,
    Sample,
    called,
    changes_of,
    curves_of,
    scores_of,
    shares_of,
    work_of,
)
from modomodo.reporting.samples import Outcome, choose
from modomodo.warning_files import warned

THOUSAND = "0-1000"  # in which a page draws boxes
BOXES = 30  # of an answer that are drawn
Answers = Mapping[str, Prediction]  # example id → what was answered


@dataclass
class Evidence:
    """A study's answers and questions. `benchmarks`: name → the file of its examples.

    By the name of a run, `all/42`: `predictions` the predictions.json of every scored one, `runs` the run.json of every
    trained one, `scores` its scores, for their warnings. `folder`: where the page will lie, which links to files.
    """

    found: Results
    benchmarks: Mapping[str, Path]
    predictions: Mapping[str, Path]
    runs: Mapping[str, Path]
    scores: Mapping[str, Path]
    folder: Path
    pictures: Pictures = field(default_factory=Pictures)
    questions: list[Asked] = field(default_factory=list)
    # (benchmark, id) → place in `questions`
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def pages(self) -> list[RunPage]:
        """The page of every scored run. Raises InputError naming the file that is missing or damaged."""
        chosen = {run: self._chosen(run) for run in self.predictions}
        questions = {
            name: {example.id: example for example in read_examples(path)}
            for name, path in self.benchmarks.items()
        }
        wanted: dict[str, set[str]] = {name: set() for name in self.benchmarks}
        for places in chosen.values():
            for name, ids in places.items():
                wanted[name].update(ids)
        base = f"{BASE}/0"
        before = self._answers(base, wanted) if base in self.predictions else dict[str, Answers]()
        return [self._page(run, chosen[run], questions, before) for run in self.predictions]

    def _chosen(self, run: str) -> dict[str, dict[str, Outcome]]:
        """Benchmark → the questions to show: id → what came of it."""
        asked = self.found.differences.questions
        if asked is None:
            return {}
        base, chosen = f"{BASE}/0", {}
        for name in self.benchmarks:
            changes = changes_of(self.found, name, run)
            rows = asked.benchmarks[name] if changes else None
            if rows is None:
                continue
            before = rows[base] if base in rows and run != base else None
            chosen[name] = {
                str(rows["question"].iloc[place]): Outcome(
                    changes[place],
                    float(rows[run].iloc[place]),
                    None if before is None else float(before.iloc[place]),
                )
                for place in choose(changes)
            }
        return chosen

    def _answers(self, run: str, wanted: Mapping[str, Any]) -> dict[str, Answers]:
        """What a run answered at its last step to some questions of each benchmark."""
        path = self.predictions[run]
        last = _last(read_run_predictions(path))
        answers: dict[str, Answers] = {}
        for name, ids in wanted.items():
            if name not in last:
                raise InputError(f"{path}: no predictions of '{name}': delete it and predict again")
            file = path.parent / last[name]
            answers[name] = {each.id: each for each in read_predictions(file, ids)}
            for id_ in ids:
                if id_ not in answers[name]:
                    raise InputError(f"{file}: no prediction for '{id_}': delete the file and predict again")
        return answers

    def _page(
        self,
        run: str,
        chosen: Mapping[str, Mapping[str, Outcome]],
        questions: Mapping[str, Mapping[str, Example]],
        before: Mapping[str, Answers],
    ) -> RunPage:
        mixture, _, seed = run.rpartition("/")
        steps, scores = scores_of(self.found, mixture, int(seed))
        answers = self._answers(run, chosen)
        samples = {}
        for name, places in chosen.items():
            folder = self.benchmarks[name].parent
            samples[name] = [
                self._sample(questions[name][id_], folder, answers[name][id_], outcome, before.get(name, {}))
                for id_, outcome in places.items()
            ]
        label, group = called(self.found, mixture)
        main = next(score for score in scores if score.target == self.found.target)
        page = RunPage(
            mixture=mixture,
            seed=int(seed),
            label=label,
            group=group,
            score=main,
            steps=steps,
            scores=scores,
            samples=samples,
        )
        return replace(page, **self._trained(run)) if run in self.runs else page

    def _sample(
        self,
        example: Example,
        folder: Path,
        said: Prediction,
        outcome: Outcome,
        before: Answers,
    ) -> Sample:
        base = before.get(example.id)
        key = example.dataset, example.id
        if key not in self._numbers:
            self._numbers[key] = len(self.questions)
            self.questions.append(Asked(example.question, _truth(example)))
        return Sample(
            number=self._numbers[key],
            pictures=self._pictures(example, folder, said.answer),
            completion=said.completion,
            answer=said.answer,
            value=outcome.value,
            change=outcome.change,
            cut=said.finish_reason == "length",
            base_answer=base.answer if base else None,
            base_completion=base.completion if base else "",
            base_value=outcome.base,
        )

    def _pictures(self, example: Example, folder: Path, answer: str | None) -> list[Picture]:
        """The images of a question; boxes are about the first of them."""
        shown: list[Picture] = []
        for name in image_paths(example):
            number, size = self.pictures.number(example, name, folder)
            boxes: tuple[list[Corners], list[Corners]] = ([], [])
            if example.answer_type == "box" and not shown and not isinstance(example.answer, str):
                found = parse_boxes(answer) if answer else None
                own = example.meta["boxes"]
                answered = [each.box for each in (found or [])[:BOXES]]
                boxes = (_in_thousands(example.answer, own, size), _in_thousands(answered, own, size))
            shown.append(Picture(number, *boxes))
        return shown

    def _trained(self, run: str) -> dict[str, Any]:
        """What a training left: shares, curves, cost, where it lies, its warnings."""
        path = self.runs[run]
        written = run_so_far(path, "mixture", "seed", "settings", "stream", "checkpoints", "base", "rows")
        log = home_of(path, written) / "log.jsonl"
        lines = [line for _, line in read_jsonl(log)]
        last = written["checkpoints"][max(written["checkpoints"], key=int)]
        facts = work_of(written, lines) | {
            "weights": f"SHA-256 {last['weights']}",
            "base model": f"SHA-256 {written['base']}",
            "rows trained on": f"digest {written['rows']}",
        }
        files = (path, log, path.parent / last["path"], self.predictions[run])
        results = [path, *([self.scores[run]] if run in self.scores else [])]
        return {
            "shares": shares_of(written, self.found.records.domains),
            "online": "online" in written["stream"],
            "curves": curves_of(written, lines),
            "facts": facts,
            "files": {file.name: Path(os.path.relpath(file, self.folder)).as_posix() for file in files},
            "warnings": [warning.text for warning in warned(results)],
        }


def _last(listed: RunPredictions) -> dict[str, str]:
    """Benchmark → the file of the last step's predictions, relative to the list."""
    return {name: entry.path for name, entry in listed.predictions[max(listed.predictions)].items()}


def _truth(example: Example) -> str:
    if not isinstance(example.answer, str):
        return ", ".join("[" + ", ".join(f"{side:g}" for side in box) + "]" for box in example.answer)
    if example.answer_type == "choice":
        place = ord(example.answer) - ord("A")
        return f"{example.answer}: {example.choices[place]}"
    return example.answer


def _in_thousands(boxes: Sequence[Box], own: str, size: tuple[int, int]) -> list[Corners]:
    """Boxes for drawing, in whole parts of a thousand, cut to the picture."""
    inside = clipped(converted(boxes, own, THOUSAND, size, size), THOUSAND, size)
    return [(round(x1), round(y1), round(x2), round(y2)) for x1, y1, x2, y2 in inside if x1 < x2 and y1 < y2]
