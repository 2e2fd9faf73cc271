"""Standard errors of mean scores in [0, 1]: of questions that share an image, and of differences between two models.

Questions are a sample of those that could have been asked. All models answer the same ones, so a difference has the
error of its differences question by question (paired); questions about one image are answered alike and count as one
cluster (Miller 2024, Adding Error Bars to Evals, arXiv 2411.00640, sections 2.2 and 4.2).
"""

import math
from collections.abc import Hashable, Sequence


def standard_error(
    values: Sequence[float], images: Sequence[Hashable] | None = None, width: float = 1.0
) -> float:
    """Of the mean of values that lie in a range of this width; `images` says which questions share one.

    √(Σ (Σ of a cluster (v - mean))² · G / (G - 1)) / n over G clusters; where no two questions share an image this
    is the sample standard deviation over √n. Never below `least_error`. One image alone tells nothing of the
    spread: the largest that such values can have is taken.
    """
    count = len(values)
    mean = math.fsum(values) / count
    sums: dict[Hashable, list[float]] = {}
    for image, value in zip(images or range(count), values, strict=True):
        sums.setdefault(image, []).append(value - mean)
    clusters = len(sums)
    if clusters == 1:
        return width / 2
    spread = math.fsum(math.fsum(each) ** 2 for each in sums.values())
    error = math.sqrt(spread / (count * count * (clusters - 1) / clusters))
    return max(error, least_error(clusters))


def paired_error(
    ones: Sequence[float], others: Sequence[float], images: Sequence[Hashable] | None = None
) -> float:
    """Of the mean difference between two models' values in [0, 1] for the same questions."""
    return standard_error([one - other for one, other in zip(ones, others, strict=True)], images, 2.0)


def least_error(count: int) -> float:
    """What `count` questions that were all answered alike leave open: about 0.7 / count.

    The deviation of Jeffreys' posterior after 0 of n right, Beta(½, n + ½) (Brown, Cai and DasGupta 2001, Interval
    Estimation for a Binomial Proportion). One question answered otherwise already gives 1 / n, so no other score of
    right-or-wrong answers is touched.
    """
    return math.sqrt((count + 0.5) / 2 / (count + 2)) / (count + 1)
