"""Pipelines replayed on a world's table, and what their picks cost in full runs; rivals.py shows them beside others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from modomodo.mixtures.acquisition import Acquisition, acquire
from modomodo.mixtures.halving import go_on
from modomodo.mixtures.records import Records, last_step, target_values, trained, weights_matrix
from modomodo.mixtures.records_csv import read_records
from modomodo.mixtures.strategies.base import Request, propose, read_options
from modomodo.mixtures.surrogates.base import objective, observe, surrogates
from modomodo.mixtures.surrogates.baselines import best_split, quadratic_features
from modomodo.mixtures.surrogates.calibration import DEFAULT

TRAINING, ANSWERING = (
    5.8,
    6.7,
)  # seconds of a full run and of its three checkpoints: benchmarks/tables/README.md
BATCH = 8  # mixtures that a pipeline trains in full after the seed mixtures
RACE = (13, 10, 3)  # runs that get to each step with halving, in the time of BATCH
HEURISTICS = (("alpha", 1.0), ("alpha", 0.0), ("alpha", 0.5), ("collinearity", None), ("leave_one_out", None))
TARGET = "out_score"


@dataclass(frozen=True)
class Recorded:
    """A world's runs under one seed, and how the other seed judges a mixture."""

    records: Records
    steps: tuple[int, ...]
    seeds: tuple[str, ...]  # seed mixtures
    others: tuple[str, ...]
    judged: pd.Series  # [mixture]
    seed: int

    def until(self, reached: dict[str, int]) -> Records:
        """The scores of some mixtures, each up to a step."""
        frame = self.records.frame
        known = frame["step"] <= frame["mixture"].map(reached).fillna(-1)
        return replace(self.records, frame=frame[known].reset_index(drop=True))

    def full(self, mixtures: Sequence[str]) -> Records:
        """All scores of some mixtures."""
        return self.until(dict.fromkeys(mixtures, self.steps[-1]))

    def weights(self, mixtures: Sequence[str]) -> np.ndarray:
        """Of mixtures, [n, domains], domains by name."""
        first = self.records.frame.drop_duplicates("mixture").set_index("mixture").loc[list(mixtures)]
        return weights_matrix(replace(self.records, frame=first.reset_index()), sorted(self.records.domains))


def read_world(path: Path) -> Iterator[Recorded]:
    """The world under each of its two seeds."""
    records = trained(read_records(path))
    frame = records.frame
    last = last_step(records)
    scores = pd.Series(target_values(last, TARGET), [last.frame["mixture"], last.frame["seed"]]).unstack()
    kind = frame.drop_duplicates("mixture").set_index("mixture")["strategy"].sort_index()
    seed_mixtures = tuple(kind.index[kind.isin(["single", "exclude", "all"])])
    others = tuple(kind.index.difference(seed_mixtures))
    for seed, judge in (scores.columns, scores.columns[::-1]):
        own = replace(records, frame=frame[frame["seed"] == seed].reset_index(drop=True))
        yield Recorded(
            own, tuple(sorted(set(frame["step"]))), seed_mixtures, others, scores[judge], int(seed)
        )


def replayed(world: Recorded, repeat: int) -> Iterator[dict]:
    """What each pipeline would use after the seed mixtures, and at the end; `repeat` draws what it may propose.

    By the best score, as the verdict says it, and by what the default surrogate expects of the mixtures.
    """
    random = np.random.default_rng(repeat)
    pool = sorted(random.permutation(world.others)[: len(world.others) // 2])
    start, batch = float(len(world.seeds)), _batch(world, pool, RACE[0], repeat)
    ends = {
        "the paper's": ([*world.seeds, *_papers(world, pool, repeat)], start + BATCH),
        "ours": ([*world.seeds, *batch[:BATCH]], start + BATCH),
        "ours with halving": (_raced(world, batch, True), start + race_time(world.steps)),
        "ours with ASHA": (_raced(world, batch, False), start + race_time(world.steps)),
    }
    for arm, (finished, runs) in ends.items():
        for place, (known, time) in enumerate([(list(world.seeds), start), (finished, runs)]):
            about = {"arm": arm, "seed": world.seed, "repeat": repeat, "place": place, "runs": time}
            for rule, choose in (("score", _best_score), ("expected", _expected_best)):
                pick = choose(world, known)
                yield about | {"pick": rule, "mixture": pick, "out_score": float(world.judged[pick])}


def race_time(steps: Sequence[int]) -> float:
    """Of a race, in full runs."""
    spent, before = 0.0, 0
    for step, count in zip(steps, RACE, strict=True):
        spent += count * (TRAINING * (step - before) / steps[-1] + ANSWERING / len(steps))
        before = step
    return round(spent / (TRAINING + ANSWERING), 2)


def _best_score(world: Recorded, mixtures: Sequence[str]) -> str:
    last = last_step(world.full(mixtures))
    return str(last.frame["mixture"].iloc[int(np.argmax(target_values(last, TARGET)))])


def _expected_best(world: Recorded, mixtures: Sequence[str]) -> str:
    known = last_step(world.full(mixtures))
    aim = objective(known, TARGET)
    fitted = surrogates[DEFAULT](observe(known, aim), 0)
    return mixtures[int(np.argmax(fitted.mean(world.weights(mixtures)) @ aim.shares))]


def _papers(world: Recorded, pool: Sequence[str], repeat: int) -> list[str]:
    """Recorded mixtures: the nearest to each heuristic's, and the best of the quadratic surface through these."""
    domains, left, chosen = sorted(world.records.domains), list(pool), []
    known = last_step(world.full(world.seeds))
    for name, alpha in HEURISTICS:
        options = read_options(name, {} if alpha is None else {"alpha": alpha}, name)
        proposal = propose(name, Request(known, domains, options=options))[0]
        wanted = np.array([proposal.weights[domain] for domain in domains])
        chosen.append(left.pop(int(np.abs(world.weights(left) - wanted).sum(axis=1).argmin())))
    known = last_step(world.full([*world.seeds, *chosen]))
    weights = weights_matrix(known, domains)
    surface, _ = best_split(weights, target_values(known, TARGET), repeat, 5)
    expected = quadratic_features(world.weights(left)) @ surface
    return chosen + [left[i] for i in np.argsort(-expected, kind="stable")[: BATCH - len(chosen)]]


def _batch(world: Recorded, pool: Sequence[str], count: int, repeat: int) -> list[str]:
    """By expected improvement on the default surrogate, the best first."""
    known = last_step(world.full(world.seeds))
    aim = objective(known, TARGET)
    fitted = surrogates[DEFAULT](observe(known, aim), repeat)
    wanted = Acquisition("expected_improvement", count)
    weights = world.weights(pool)
    found = acquire(fitted, aim, weights, wanted, np.random.default_rng(repeat))
    return [pool[int(np.abs(weights - one.weights).sum(axis=1).argmin())] for one in found]


def _raced(world: Recorded, batch: Sequence[str], by_expectation: bool) -> list[str]:
    """The seed mixtures, and those of the batch that get to the end."""
    reached = dict.fromkeys(world.seeds, world.steps[-1])
    going = list(batch)
    for rung, count in enumerate(RACE):
        if rung and by_expectation:
            going = list(go_on(world.until(reached), sorted(going), count, world.steps[-1], TARGET).chosen)
        elif rung:
            scored = last_step(world.until({mixture: world.steps[rung - 1] for mixture in going}))
            order = np.argsort(-target_values(scored, TARGET), kind="stable")
            going = [str(scored.frame["mixture"].iloc[i]) for i in order[:count]]
        reached |= dict.fromkeys(going, world.steps[rung])
    return [*world.seeds, *going]
