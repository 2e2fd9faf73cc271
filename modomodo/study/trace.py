"""The chain behind one number of Table 2: scores, predictions, checkpoint, stream, mixture, base model, examples.

Each link names its file and the job that made it, and compares what it was made from with the digests recorded
then: a link that has changed since is reported. A description's `inputs` say this of most files. Training and
predictions, which are kept while their inputs are rewritten with equal content, recorded digests of the content.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from modomodo.config.schema import Study
from modomodo.console import with_error
from modomodo.data.examples import read_examples
from modomodo.errors import InputError, nearest
from modomodo.evaluation.predictions import prediction_key, read_run_predictions
from modomodo.evaluation.scores import BenchmarkScore, benchmarks_of, read_run_scores
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import canonical, digest, file_digest, read_json, read_jsonl
from modomodo.mixtures.mixture import read_mixture
from modomodo.mixtures.plan import Plan, labels
from modomodo.mixtures.records import AGGREGATES, BASE, aggregate, score_column
from modomodo.study.outputs import (
    BASE_MODEL,
    EXAMPLES,
    MIXTURES,
    PREDICTIONS,
    RUNS,
    SCORES,
    STREAMS,
    Run,
    outputs_of,
)
from modomodo.study.provenance import described_at
from modomodo.training.run_folder import weights_digest, weights_removed

VERSIONS = "with "


class Number(NamedTuple):
    """A number of Table 2. `target`: a benchmark, in_score or out_score.

    Without seed and step those of the table: the study's seed, the last step.
    """

    mixture: str
    target: str
    seed: int | None = None
    step: int | None = None


@dataclass
class Link:
    """One file of the chain. `checks`: what was compared, and whether it held."""

    what: str
    path: Path
    facts: list[str] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """A number and its chain, from the table down to the data."""

    title: str
    links: list[Link]

    @property
    def intact(self) -> bool:
        """Whether every comparison held."""
        return all(held for link in self.links for _, held in link.checks)


def trace(study: Study, plan: Plan, number: Number, root: Path = Path("results")) -> Trace:
    """The chain behind a number.

    Raises InputError for a mixture, benchmark, seed or step that the study has not scored.
    """
    mixture, target, seed, step = number
    called = labels(study, plan)
    mixture = {label: name for name, label in called.items()}.get(mixture, mixture)
    _check(mixture, [BASE, *plan.mixtures], "MIXTURE", "mixture")
    _check(target, [*study.benchmarks, *AGGREGATES], "BENCHMARK", "benchmark or aggregate")
    repeated = _repeated(study, plan, root / study.name)
    seed = _seed(study, plan, mixture, seed, repeated)
    paths = {(output.stage, output.name): output.path for output in outputs_of(study, plan, root)}
    job = _job(plan, mixture, seed, step, root / study.name)
    run = f"{job}/{seed}"
    if (mixture, seed) in repeated:
        job, run = repeated[mixture, seed], f"{repeated[mixture, seed]}/{study.training.seed}"
    if not paths[SCORES, run].exists():
        raise InputError(f"{paths[SCORES, run]}: not scored yet: make status shows how far the study is")
    steps = read_run_scores(paths[SCORES, run]).steps
    step = max(steps) if step is None else step
    if step not in steps:
        raise InputError(f"--step {step}: '{mixture}' was scored at {', '.join(map(str, sorted(steps)))}")
    groups = {name: benchmark.group for name, benchmark in study.benchmarks.items()}
    scores = {name: steps[step][name] for name in benchmarks_of(target, groups)}
    records = root / study.name / "records.csv"
    row = _row(records, mixture=mixture, seed=seed, step=step)
    base = read_json(paths[BASE_MODEL, "base"], "weights")
    trained = None if mixture == BASE else read_json(paths[RUNS, run], "checkpoints", "seed", "base", "rows")
    weights = trained["checkpoints"][str(step)]["weights"] if trained else base["weights"]
    examples = {name: paths[EXAMPLES, name] for name in (*plan.support.get(mixture, ()), *scores)}
    links = [
        _record(records, row[score_column(target)], target, scores),
        _scores(paths[SCORES, run], scores),
        *_predictions(paths[PREDICTIONS, run], step, weights, {name: examples[name] for name in scores}),
    ]
    if trained:
        home, stream = paths[RUNS, run], paths[STREAMS, run]
        links += [
            _checkpoint(home.parent, trained["checkpoints"][str(step)]),
            _training(home, trained, base["weights"], _rows(stream, examples)),
            _stream(stream),
            _mixture(paths[MIXTURES, job]),
            *(_examples(examples[domain]) for domain in plan.support[mixture]),
        ]
    links.append(_base(paths[BASE_MODEL, "base"], base))
    links += [_examples(examples[name]) for name in scores]
    value, error = float(row[score_column(target)]), float(row[f"se_{target}"])
    label = called.get(mixture, mixture)
    named = f"'{mixture}'" if label == mixture else f"'{mixture}' ({label})"
    return Trace(f"{target} of mixture {named}, seed {seed}, step {step}: {with_error(value, error)}", links)


def render(trace: Trace) -> str:
    """The chain as text. Versions that all links share are printed once."""
    versions = {fact for link in trace.links for fact in link.facts if fact.startswith(VERSIONS)}
    lines = [trace.title, ""]
    for link in trace.links:
        lines.append(f"{link.what:<12}{link.path}")
        lines += [f"{'':<12}{fact}" for fact in link.facts if len(versions) > 1 or fact not in versions]
        lines += [f"{'':<12}{'ok: ' if held else 'CHANGED SINCE: '}{what}" for what, held in link.checks]
    if len(versions) == 1:
        lines.append(f"{'all':<12}{versions.pop()}")
    verdict = "every link holds" if trace.intact else "a link has changed since: run the study again"
    return "\n".join([*lines, "", verdict]) + "\n"


def _check(name: str, known: list[str], variable: str, kind: str) -> None:
    if name not in known:
        raise InputError(f"{variable}={name}: the study has no such {kind}: {nearest(name, known)}")


def _repeated(study: Study, plan: Plan, folder: Path) -> dict[Run, str]:
    """A run that repeats a mixture → the place of a budget that trained it."""
    budgets = [name for name, budget in plan.budgets.items() if budget.repeats]
    places = [mixture for name in budgets for mixture in plan.by_strategy[name]]
    files = {place: folder / f"scores/{place}/{study.training.seed}.json" for place in places}
    scored = {place: read_run_scores(path) for place, path in files.items() if path.exists()}
    return {(run.mixture, run.seed): place for place, run in scored.items() if run.mixture != place}


def _seed(study: Study, plan: Plan, mixture: str, seed: int | None, repeated: Collection[Run]) -> int:
    seeds = [of for name, of in [*plan.scored, *repeated] if name == mixture]
    if seed is None:
        return study.training.seed if study.training.seed in seeds else seeds[0]
    if seed not in seeds:
        raise InputError(f"--seed {seed}: '{mixture}' has {', '.join(map(str, seeds))}")
    return seed


def _job(plan: Plan, mixture: str, seed: int, step: int | None, folder: Path) -> str:
    """What trained a run to a step, or as far as it came: itself, or the place that it took in a race."""
    found = {0: mixture}
    for place in plan.places:
        path = folder / f"scores/{place.name}/{seed}.json"
        if (place.name, seed) in plan.stretches and path.exists():
            scored = read_run_scores(path)
            found |= dict.fromkeys(scored.steps if scored.mixture == mixture else (), place.name)
    return found[max(found)] if step is None else found.get(step, mixture)


def _row(path: Path, **keys: Any) -> pd.Series:
    """The row of a table that has these values."""
    if not path.exists():
        raise InputError(f"{path}: does not exist yet: make status shows how far the study is")
    frame = pd.read_csv(path, dtype={"mixture": str})
    for column, value in keys.items():
        frame = frame[frame[column] == value]
    if frame.empty:
        wanted = ", ".join(f"{column} {value}" for column, value in keys.items())
        raise InputError(f"{path}: no row of {wanted}: run the study again")
    return frame.iloc[0]


def _made(what: str, path: Path, facts: Iterable[str] = ()) -> Link:
    """A link by its description: what made it, and whether its inputs are still those it was made from."""
    about = read_json(described_at(path), "inputs")
    inputs: dict[str, str] = about["inputs"]
    changed = [name for name, recorded in inputs.items() if _digest(Path(name)) != recorded]
    text = f"inputs changed: {', '.join(changed)}" if changed else f"made from these {len(inputs)} files"
    return Link(what, path, [*facts, *_made_by(about)], [(text, not changed)] if inputs else [])


def _made_by(about: Mapping[str, Any]) -> list[str]:
    """Commit, versions, machine and time, as far as they were recorded."""
    hardware, seconds = about.get("hardware", {}), about.get("seconds")
    if isinstance(seconds, dict):
        seconds = sum(seconds.values())
    parts = [
        f"by commit {about.get('commit') or 'unknown'}",
        f"code {about['code']}" if "code" in about else "",
        f"on {hardware.get('host', hardware.get('machine', 'unknown'))}",
        ", ".join(hardware.get("gpus") or []),
        "" if seconds is None else f"in {seconds:.1f} s",
        about.get("finished", ""),
    ]
    versions = [f"{name} {version}" for name, version in about.get("versions", {}).items() if version]
    return [", ".join(filter(None, parts)), VERSIONS + ", ".join(versions)]


def _record(path: Path, found: float, target: str, scores: Mapping[str, BenchmarkScore]) -> Link:
    total = sum(score.n for score in scores.values())
    link = _made("record", path, [f"column {score_column(target)}"])
    if len(scores) > 1:
        parts = (f"{score.n}/{total} × {name} {score.score:.4f}" for name, score in scores.items())
        link.facts.append(f"= {' + '.join(parts)}")
    mean, _ = aggregate(
        {name: score.score for name, score in scores.items()},
        {name: score.standard_error for name, score in scores.items()},
        {name: score.n for name, score in scores.items()},
    )
    link.checks.append(("the score file's number", abs(found - mean) < 1e-12))
    return link


def _scores(path: Path, scores: Mapping[str, BenchmarkScore]) -> Link:
    facts = [
        f"{name}: {score.metric} version {score.version}{f' ({score.lmms_eval})' if score.lmms_eval else ''}, "
        f"{score.n} questions, {score.unparsed} without an answer"
        for name, score in scores.items()
    ]
    return _made("scores", path, facts)


def _predictions(path: Path, step: int, weights: str, questions: Mapping[str, Path]) -> list[Link]:
    """A link for each benchmark, whose questions lie at `questions`."""
    found = read_run_predictions(path)
    settings = PredictSettings.model_validate(found.settings)
    links = []
    for name, asked in questions.items():
        entry = found.predictions[step][name]
        answers = Path(os.path.normpath(path.parent / entry.path))
        jobs = read_json(answers.parents[1] / "run.json", "parts")["parts"]
        link = Link("predictions", answers, [f"settings {canonical(found.settings)}"])
        for job in jobs:
            if f"{step}/{name}" in job["answered"]:
                link.facts += _made_by(job)
        same = entry.key == prediction_key(settings, name, weights, _digest(asked) or "")
        link.checks += [
            (f"as listed, sha256 {entry.sha256[:12]}", _digest(answers) == entry.sha256),
            ("answers of these weights to these questions by these settings", same),
        ]
        links.append(link)
    return links


def _checkpoint(folder: Path, kept: Mapping[str, Any]) -> Link:
    link, known = (
        Link("checkpoint", Path(os.path.normpath(folder / kept["path"])), [f"step {kept['step']}"]),
        kept["weights"],
    )
    if not link.path.exists():  # as in an archive
        link.facts.append(f"its weights are not here: they had sha256 {known[:12]}")
    elif weights_removed(link.path):
        link.facts.append(
            f"its weights were removed once scored (training.keep_weights): they had sha256 {known[:12]}"
        )
    else:
        link.checks.append((f"weights as recorded, sha256 {known[:12]}", weights_digest(link.path) == known))
    return link


def _training(path: Path, run: Mapping[str, Any], base: str, rows: str | None) -> Link:
    facts = [
        f"seed {run['seed']}, settings {canonical(run['settings'])}",
        *_decided(run.get("stream", {})),
        *_made_by(run),
    ]
    checks = [
        (f"from this base, sha256 {base[:12]}", run["base"] == base),
        ("on the rows of this stream and these examples", run["rows"] == rows),
    ]
    return Link("training", path, facts, checks)


def _decided(stream: Mapping[str, Any]) -> list[str]:
    """What a run trained on that decided it itself; nothing of one that trained on its stream as it was drawn."""
    if "prompts_generated" not in stream:
        return []
    shares = ", ".join(f"{domain} {share:.3f}" for domain, share in stream["realised"].items() if share)
    return [
        f"on {stream['prompts']} of {stream['prompts_generated']} prompts generated (rows.jsonl): {shares}"
    ]


def _rows(stream: Path, examples: Mapping[str, Path]) -> str | None:
    """The digest that a training records of its rows, from stream and examples; None for a row that is gone."""
    known: dict[str, dict[str, Any]] = {}
    rows = []
    for _, draw in read_jsonl(stream):
        domain = draw["domain"]
        if domain not in known:
            known[domain] = {row.id: row.model_dump(mode="json") for row in read_examples(examples[domain])}
        if draw["id"] not in known[domain]:
            return None
        rows.append(known[domain][draw["id"]])
    return digest(rows)


def _stream(path: Path) -> Link:
    drawn = read_json(path.with_suffix(".summary.json"))
    if "online" in drawn:
        rule = drawn["online"]["rule"]
        return _made(
            "stream", path, [f"every domain's examples in order, chosen by {rule} while the run trained"]
        )
    shares = ", ".join(f"{domain} {share:.3f}" for domain, share in drawn["realised"].items() if share)
    return _made("stream", path, [f"{drawn['prompts']} prompts, {drawn['steps']} steps: {shares}"])


def _mixture(path: Path) -> Link:
    mixture = read_mixture(path)
    weights = ", ".join(f"{domain} {weight:g}" for domain, weight in mixture.weights.items() if weight)
    facts = [f"strategy {mixture.strategy}, round {mixture.round}: {weights}"]
    if mixture.observed is not None:
        facts.append(f"proposed from the records with digest {mixture.observed}")
    return _made("mixture", path, facts)


def _base(path: Path, base: Mapping[str, Any]) -> Link:
    link = Link("base model", path.with_suffix(""), _made_by(base))
    if not link.path.exists():  # as in an archive
        link.facts.append(f"its weights are not here: they had sha256 {base['weights'][:12]}")
        return link
    held = weights_digest(link.path) == base["weights"]
    link.checks.append((f"weights as recorded, sha256 {base['weights'][:12]}", held))
    return link


def _examples(path: Path) -> Link:
    count = sum(1 for _ in read_jsonl(path))
    return _made("examples", path, [f"{count} rows, sha256 {file_digest(path)[:12]}"])


def _digest(path: Path) -> str | None:
    return file_digest(path) if path.is_file() else None
