"""Records of a made-up study, for the tests of figures, report and explorer."""

import numpy as np
import pandas as pd

from modomodo.mixtures.records import Records, from_rows
from modomodo.reporting.results import Results, results_of

DOMAINS = ["boxes", "maths", "science"]
BENCHMARKS = ["boxes_test", "science_test", "chart", "puzzle"]
SIDES = {"boxes_test": "in", "science_test": "in", "chart": "out", "puzzle": "out"}
SIZES = {"in_score": {"boxes_test": 100, "science_test": 300}, "out_score": {"chart": 200, "puzzle": 200}}


def rows_of(weights, scores, domains, benchmarks, step: int = 10) -> list[dict]:
    """Rows for `from_rows`: a mixture m0, m1, … for each row of weights and of scores."""
    return [
        {
            "mixture": f"m{number}",
            "seed": 42,
            "step": step,
            "weights": dict(zip(domains, map(float, row), strict=True)),
            "scores": dict(zip(benchmarks, map(float, values), strict=True)),
        }
        for number, (row, values) in enumerate(zip(weights, scores, strict=True))
    ]


def scores_of(weights: np.ndarray) -> np.ndarray:
    """Smooth in the weights, different for each benchmark."""
    root = np.sqrt(weights)
    boxes, maths, science = root
    return np.array(
        [
            0.2 + 0.4 * boxes,
            0.1 + 0.5 * science,
            0.3 + 0.2 * maths + 0.1 * boxes * science,
            0.25 + 0.3 * maths * science,
        ]
    )


def mixtures() -> dict[str, list[float]]:
    """The seeds of three domains, and four others."""
    named = {f"single-{name}": np.eye(3)[i].tolist() for i, name in enumerate(DOMAINS)}
    named |= {f"exclude-{name}": ((1 - np.eye(3)[i]) / 2).tolist() for i, name in enumerate(DOMAINS)}
    named["all"] = [1 / 3, 1 / 3, 1 / 3]
    for number, weights in enumerate(
        ([0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.7, 0.2], [0.45, 0.1, 0.45]), 1
    ):
        named[f"other-{number}"] = weights
    return named


def records() -> Records:
    """Base, eleven mixtures at two steps, and `all` with two more seeds."""
    random = np.random.default_rng(7)
    rows = [{"mixture": "base", "seed": 0, "step": 0, "strategy": "base", "scores": np.full(4, 0.15)}]
    runs = [(name, 42) for name in mixtures()] + [("all", 43), ("all", 44)]
    for name, seed in runs:
        for step, share in ((5, 0.5), (10, 1.0)):
            scores = share * scores_of(np.array(mixtures()[name])) + 0.005 * random.standard_normal(4)
            rows.append(
                {
                    "mixture": name,
                    "seed": seed,
                    "step": step,
                    "strategy": name.split("-")[0],
                    "weights": dict(zip(DOMAINS, mixtures()[name], strict=True)),
                    "scores": scores,
                }
            )
    for row in rows:
        values = row["scores"]
        row["scores"] = dict(zip(BENCHMARKS, map(float, values), strict=True))
        row["standard_errors"] = dict.fromkeys(BENCHMARKS, 0.02)
    return from_rows(rows, DOMAINS, BENCHMARKS, SIZES)


def example_results() -> Results:
    return results_of(records())


def without_base(found: Results) -> Results:
    frame = found.records.frame
    kept = Records(frame[frame["mixture"] != "base"].reset_index(drop=True), DOMAINS, BENCHMARKS)
    return results_of(kept)


def bare(frame: pd.DataFrame) -> pd.DataFrame:
    """Only weights and scores, as a stranger's table has them."""
    return frame[[name for name in frame if name.startswith(("w_", "y_"))]]
