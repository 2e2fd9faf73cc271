import numpy as np
import pytest

from modomodo.errors import InputError
from modomodo.mixtures.acquisition import farthest, pareto_candidates, pareto_front
from modomodo.mixtures.constraints import Constraints
from modomodo.mixtures.designs import design

DOMAINS = ("a", "b", "c")


def test_farthest_by_hand():
    line = np.array([[0.0], [1.0], [2.0], [5.0], [10.0]])
    # The middle (3.6) is nearest to 5; then the farther end, then the other, then what is left.
    assert farthest(line, 4) == [3, 0, 4, 2]
    assert farthest(line, 2, np.array([[10.0]])) == [0, 3]


def test_a_design_fills_the_simplex_better_than_chance():
    found = design(DOMAINS, Constraints(), 10, 0)
    drawn = np.random.default_rng(0).dirichlet(np.ones(3), 10)

    def hole(points):
        grid = np.random.default_rng(1).dirichlet(np.ones(3), 500)
        return np.sqrt(((np.sqrt(grid)[:, None] - np.sqrt(points)) ** 2).sum(axis=2)).min(axis=1).max()

    assert found.shape == (10, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert hole(found) < hole(drawn)


def test_a_d_optimal_design_for_two_domains_takes_the_ends_and_the_middle():
    # Three coefficients on one line: Scheffé's quadratic is best learnt at (1, 0), (0, 1) and the middle.
    found = design(("a", "b"), Constraints(), 3, 0, "d_optimal")
    np.testing.assert_allclose(sorted(found[:, 0]), [0, 0.5, 1], atol=0.02)


@pytest.mark.parametrize("kind", ["space_filling", "d_optimal"])
def test_designs_keep_to_constraints_and_repeat(kind):
    limits = Constraints(minimum={"a": 0.2}, maximum={"b": 0.3})
    one, two = (design(DOMAINS, limits, 6, 3, kind) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one[:, 0] >= 0.2 - 1e-6).all() and (one[:, 1] <= 0.3 + 1e-6).all()


def test_constraints_that_leave_one_mixture_cannot_give_two():
    fixed = Constraints(fixed={"a": 0.5, "b": 0.5})
    with pytest.raises(InputError, match="leave 1 mixtures to choose from, asked are 2"):
        design(DOMAINS, fixed, 2, 0)


def test_the_front_by_hand():
    values = np.array([[3, 0], [2, 2], [1, 1], [0, 3], [2, 1], [2, 2], [-1, 3]], float)
    assert pareto_front(values).tolist() == [0, 1, 3]
    assert pareto_candidates(values, 2) == [0, 3]
    assert pareto_candidates(values, 1) == [1]
    assert pareto_candidates(values, 9) == [0, 3, 1]
