"""The chain behind one number of Table 2: score, predictions, checkpoint, stream, mixture, base, examples.

Each link names its file and what made it, and is held against the digests that were recorded when the next one was
made: a link that has changed since is told.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from modomodo.config.schema import Study
from modomodo.data.examples import read_examples
from modomodo.errors import InputError, nearest
from modomodo.evaluation.predictions import RECIPE
from modomodo.evaluation.scores import RunScores, read_run_scores
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import canonical, digest, file_digest, read_json, read_jsonl
from modomodo.mixtures.mixture import read_mixture
from modomodo.mixtures.plan import Plan
from modomodo.mixtures.records import AGGREGATES, BASE, score_column
from modomodo.study.provenance import described_at
from modomodo.training.run_folder import weights_digest, weights_removed

VERSIONS = "with "


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


def trace(
    study: Study,
    plan: Plan,
    mixture: str,
    target: str,
    seed: int | None = None,
    step: int | None = None,
    root: Path = Path("results"),
) -> Trace:
    """The chain behind a mixture's score. `target`: a benchmark, in_score or out_score.

    Without seed and step those of Table 2: the study's seed, the last step. Raises InputError for a mixture,
    benchmark, seed or step that the study has not scored.
    """
    folder = root / study.name
    _check(mixture, [BASE, *plan.mixtures], "MIXTURE", "mixture")
    _check(target, [*study.benchmarks, *AGGREGATES], "BENCHMARK", "benchmark or aggregate")
    seed = _seed(study, plan, mixture, seed)
    scores_path = folder / f"scores/{mixture}/{seed}.json"
    if not scores_path.exists():
        raise InputError(f"{scores_path}: not scored yet: make status tells how far the study is")
    scores = read_run_scores(scores_path)
    step = max(scores.steps) if step is None else step
    if step not in scores.steps:
        raise InputError(
            f"--step {step}: '{mixture}' was scored at {', '.join(map(str, sorted(scores.steps)))}"
        )
    of = (
        [target]
        if target in study.benchmarks
        else [b for b, e in study.benchmarks.items() if f"{e.group}_score" == target]
    )
    value, error = _value(folder, mixture, seed, step, target)
    links = [
        _table(folder, mixture, seed, step, target, scores, of),
        _score(scores_path, folder, scores, step, of),
        *(_prediction(folder, mixture, seed, step, benchmark, scores) for benchmark in of),
    ]
    if mixture != BASE:
        links += [
            _checkpoint(folder, mixture, seed, step),
            _training(folder, mixture, seed),
            _stream(folder, mixture, seed),
            _mixture(folder, mixture),
            *(_examples(folder, domain) for domain in plan.support[mixture]),
        ]
    links.append(_base(folder, mixture, seed))
    links += [_examples(folder, benchmark) for benchmark in of]
    title = f"{target} of mixture '{mixture}', seed {seed}, step {step}: {value:.4f} ± {error:.4f}"
    return Trace(title, links)


def render(trace: Trace) -> str:
    """The chain as text. Versions that all links share are told once."""
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


def _seed(study: Study, plan: Plan, mixture: str, seed: int | None) -> int:
    seeds = [of for name, of in plan.scored if name == mixture]
    if seed is None:
        return study.training.seed if study.training.seed in seeds else seeds[0]
    if seed not in seeds:
        raise InputError(f"--seed {seed}: '{mixture}' has {', '.join(map(str, seeds))}")
    return seed


def _value(folder: Path, mixture: str, seed: int, step: int, target: str) -> tuple[float, float]:
    records = _row(folder / "records.csv", mixture=mixture, seed=seed, step=step)
    return float(records[score_column(target)]), float(records[f"se_{target}"])


def _row(path: Path, **keys: Any) -> pd.Series:
    if not path.exists():
        raise InputError(f"{path}: not made yet: make status tells how far the study is")
    frame = pd.read_csv(path, dtype={"mixture": str})
    for column, value in keys.items():
        frame = frame[frame[column] == value]
    if frame.empty:
        wanted = ", ".join(f"{column} {value}" for column, value in keys.items())
        raise InputError(f"{path}: no row of {wanted}: run the study again")
    return frame.iloc[0]


def _table(
    folder: Path, mixture: str, seed: int, step: int, target: str, scores: RunScores, of: list[str]
) -> Link:
    path = folder / "records.csv"
    link = Link("record", path, [f"column {score_column(target)}", *_made(described_at(path))])
    found = _row(path, mixture=mixture, seed=seed, step=step)[score_column(target)]
    parts = [scores.steps[step][benchmark] for benchmark in of]
    total = sum(part.n for part in parts)
    mean = sum(part.n * part.score for part in parts) / total
    link.checks.append(("the score file's number", abs(found - mean) < 1e-12))
    if len(of) > 1:
        shares = " + ".join(
            f"{part.n}/{total} × {b} {part.score:.4f}" for b, part in zip(of, parts, strict=True)
        )
        link.facts.append(f"= {shares}")
    return link


def _score(path: Path, folder: Path, scores: RunScores, step: int, of: list[str]) -> Link:
    link = Link("scores", path)
    for benchmark in of:
        part = scores.steps[step][benchmark]
        link.facts.append(
            f"{benchmark}: {part.metric} version {part.version}, {part.n} questions, {part.unparsed} without an answer"
        )
    link.facts += _made(described_at(path))
    link.checks += _inputs(described_at(path))
    return link


def _prediction(folder: Path, mixture: str, seed: int, step: int, benchmark: str, scores: RunScores) -> Link:
    home = folder / f"predictions/{mixture}/{seed}"
    listed = read_json(home / "predictions.json", "settings", "predictions")
    entry = listed["predictions"][str(step)][benchmark]
    path = home / entry["path"]
    link = Link("predictions", path, [f"settings {canonical(listed['settings'])}"])
    about = home / "run.json"
    if about.exists():
        for part in read_json(about)["parts"]:
            if f"{step}/{benchmark}" in part["answered"]:
                link.facts += _made_by(part)
    link.checks.append((f"as listed, sha256 {entry['sha256'][:12]}", _digest(path) == entry["sha256"]))
    questions = folder / f"examples/{benchmark}.jsonl"
    key = [
        RECIPE,
        _step_text(listed["settings"], benchmark),
        _weights(folder, mixture, seed, step),
        _digest(questions),
    ]
    link.checks.append(
        ("answers of these weights to these questions by these settings", digest(key) == entry["key"])
    )
    return link


def _step_text(settings: dict[str, Any], benchmark: str) -> str:
    """The settings that decided the answers to one benchmark."""
    return PredictSettings.model_validate(settings).for_benchmark(benchmark).text()


def _weights(folder: Path, mixture: str, seed: int, step: int) -> str:
    if mixture == BASE:
        return read_json(folder / "base.json")["weights"]
    return read_json(folder / f"runs/{mixture}/{seed}/run.json")["checkpoints"][str(step)]["weights"]


def _checkpoint(folder: Path, mixture: str, seed: int, step: int) -> Link:
    home = folder / f"runs/{mixture}/{seed}"
    kept = read_json(home / "run.json")["checkpoints"][str(step)]
    link = Link("checkpoint", home / kept["path"], [f"step {kept['step']}"])
    if link.path.exists() and not weights_removed(link.path):
        held = weights_digest(link.path) == kept["weights"]
        link.checks.append((f"weights as recorded, sha256 {kept['weights'][:12]}", held))
    else:
        link.facts.append(
            f"its weights were let go once scored (training.keep_weights): they had sha256 {kept['weights'][:12]}"
        )
    return link


def _training(folder: Path, mixture: str, seed: int) -> Link:
    path = folder / f"runs/{mixture}/{seed}/run.json"
    run = read_json(path, "seed", "settings", "base", "rows")
    facts = [f"seed {run['seed']}, settings {canonical(run['settings'])}", *_made_by(run)]
    link = Link("training", path, facts)
    base = read_json(folder / "base.json")["weights"]
    link.checks.append((f"from this base, sha256 {base[:12]}", run["base"] == base))
    link.checks.append(
        ("on the rows of this stream and these examples", run["rows"] == _rows(folder, mixture, seed))
    )
    return link


def _rows(folder: Path, mixture: str, seed: int) -> str | None:
    """The digest that a training records of its rows, made anew from stream and examples."""
    known: dict[str, dict[str, Any]] = {}
    rows = []
    for _, draw in read_jsonl(folder / f"streams/{mixture}/{seed}.jsonl"):
        domain = draw["domain"]
        if domain not in known:
            path = folder / f"examples/{domain}.jsonl"
            known[domain] = {row.id: row.model_dump(mode="json") for row in read_examples(path)}
        if draw["id"] not in known[domain]:
            return None
        rows.append(known[domain][draw["id"]])
    return digest(rows)


def _stream(folder: Path, mixture: str, seed: int) -> Link:
    path = folder / f"streams/{mixture}/{seed}.jsonl"
    drawn = read_json(path.with_suffix(".summary.json"))
    shares = ", ".join(f"{domain} {share:.3f}" for domain, share in drawn["realised"].items() if share)
    link = Link(
        "stream",
        path,
        [f"{drawn['prompts']} prompts, {drawn['steps']} steps: {shares}", *_made(described_at(path))],
    )
    weights = read_mixture(folder / f"mixtures/{mixture}.json").weights
    link.checks.append(("drawn by this mixture", drawn["requested"] == weights))
    return link


def _mixture(folder: Path, name: str) -> Link:
    path = folder / f"mixtures/{name}.json"
    mixture = read_mixture(path)
    weights = ", ".join(f"{domain} {weight:g}" for domain, weight in mixture.weights.items() if weight)
    facts = [f"strategy {mixture.strategy}, round {mixture.round}: {weights}"]
    if mixture.observed is not None:
        facts.append(f"proposed from the records with digest {mixture.observed}")
    return Link("mixture", path, [*facts, *_made(described_at(path))], _inputs(described_at(path)))


def _base(folder: Path, mixture: str, seed: int) -> Link:
    path = folder / "base.json"
    base = read_json(path)
    link = Link("base model", folder / "base", _made_by(base))
    held = weights_digest(link.path) == base["weights"]
    link.checks.append((f"weights as recorded, sha256 {base['weights'][:12]}", held))
    return link


def _examples(folder: Path, dataset: str) -> Link:
    path = folder / f"examples/{dataset}.jsonl"
    count = sum(1 for _ in read_jsonl(path))
    facts = [f"{count} rows, sha256 {file_digest(path)[:12]}", *_made(described_at(path))]
    return Link("examples", path, facts, _inputs(described_at(path)))


def _made(path: Path) -> list[str]:
    return (
        _made_by(read_json(path))
        if path.exists()
        else ["by an earlier version, which kept no run.json beside it"]
    )


def _made_by(about: dict[str, Any]) -> list[str]:
    """Commit, versions, machine and time, as far as they were recorded."""
    hardware = about.get("hardware", {})
    seconds = about.get("seconds")
    if isinstance(seconds, dict):
        seconds = sum(seconds.values())
    parts = [
        f"by commit {about.get('commit') or 'unknown'}",
        f"code {about['code']}" if "code" in about else "",
    ]
    parts.append(f"on {hardware.get('host', hardware.get('machine', 'unknown'))}")
    parts += [", ".join(hardware["gpus"])] if hardware.get("gpus") else []
    parts += [f"in {seconds:.1f} s"] if seconds is not None else []
    parts += [about["finished"]] if "finished" in about else []
    versions = ", ".join(
        f"{name} {version}" for name, version in about.get("versions", {}).items() if version
    )
    return [", ".join(filter(None, parts)), VERSIONS + versions]


def _inputs(path: Path) -> list[tuple[str, bool]]:
    """Whether the inputs of a result are those it was made from."""
    if not path.exists():
        return []
    inputs = read_json(path)["inputs"]
    changed = [name for name, recorded in inputs.items() if _digest(Path(name)) != recorded]
    if not inputs:
        return []
    return [
        (
            f"inputs changed: {', '.join(changed)}" if changed else f"made from these {len(inputs)} files",
            not changed,
        )
    ]


def _digest(path: Path) -> str | None:
    return file_digest(path) if path.is_file() else None
