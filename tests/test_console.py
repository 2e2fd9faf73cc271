"""Text for people: numbers with as many digits as their errors allow."""

import math

import pytest

from modomodo.console import decimal, digits, with_error


@pytest.mark.parametrize(
    ("errors", "decimals"),
    [
        ([0.0451], 3),
        ([0.0045], 4),
        ([0.13], 2),
        ([2.4], 1),
        ([250.0], 0),
        ([0.02, 0.03, 0.0001, math.nan], 3),
        ([], 3),
        ([0.0], 3),
        ([1e-12], 6),
    ],
)
def test_two_digits_of_the_error_are_shown(errors, decimals) -> None:
    assert digits(errors) == decimals


@pytest.mark.parametrize(
    ("value", "error", "sign", "text"),
    [
        (0.65221, 0.0224, "", "0.652 ± 0.022"),
        (0.65221, 0.00224, "", "0.6522 ± 0.0022"),
        (-0.0204, 0.021, "+", "−0.020 ± 0.021"),
        (0.0204, 0.021, "+", "+0.020 ± 0.021"),
        (0.65221, math.nan, "", "0.652"),
        (12.25, 3.1, "", "12.2 ± 3.1"),
    ],
)
def test_a_number_has_the_digits_of_its_error(value, error, sign, text) -> None:
    assert with_error(value, error, sign=sign) == text


def test_what_is_zero_to_so_many_decimals_is_not_negative():
    assert [decimal(-0.001, 2, "+"), decimal(-0.1, 2, "+"), decimal(-0.001, 2)] == ["+0.00", "−0.10", "0.00"]
