"""Regressions: benchmarks that an expert answers worse than the base, which its merges may not be trusted on.

An expert merged with nothing, and the base, answer every benchmark. Both answer the same questions, so the loss of
score is the mean of the differences, question by question, and its standard error theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modomodo.standard_errors import paired_error

STANDARD_ERRORS = 3.0  # from which on a loss is reported; chance alone gives one in 740 comparisons


@dataclass(frozen=True)
class Regression:
    """An expert that answers a benchmark worse than the base."""

    domain: str
    benchmark: str
    before: float  # the base's score
    after: float  # the expert's
    standard_errors: float  # of the difference

    def __str__(self) -> str:
        return (
            f"the expert of '{self.domain}' forgot: {self.benchmark} {self.after:.3f}, the base {self.before:.3f} "
            f"({self.standard_errors:.1f} standard errors): its merges may mislead (docs/merging.md)"
        )


def find_regressions(
    base: Mapping[str, Sequence[float]], experts: Mapping[str, Mapping[str, Sequence[float]]]
) -> list[Regression]:
    """Losses of more than STANDARD_ERRORS, by domain and benchmark.

    Values are [0, 1] of each question of a benchmark, in one order: `base`: benchmark → values, `experts`: domain →
    the same.
    """
    found = []
    for domain, values in sorted(experts.items()):
        for benchmark, before in sorted(base.items()):
            loss = float(np.mean(before) - np.mean(values[benchmark]))
            errors = loss / paired_error(values[benchmark], before)
            if errors > STANDARD_ERRORS:
                after = float(np.mean(values[benchmark]))
                found.append(Regression(domain, benchmark, float(np.mean(before)), after, errors))
    return found


def format_regressions(found: Sequence[Regression]) -> str:
    """All in one cell of a table: `domain: benchmark, benchmark; domain: …`, empty when none."""
    by_domain: dict[str, list[str]] = {}
    for regression in found:
        by_domain.setdefault(regression.domain, []).append(regression.benchmark)
    return "; ".join(f"{domain}: {', '.join(names)}" for domain, names in by_domain.items())
