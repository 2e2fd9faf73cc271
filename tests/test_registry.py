"""Functions that a study calls by name."""

import pytest

from modomodo.errors import InputError
from modomodo.registry import Registry


def answer():
    return 42


def test_a_registered_function_is_found_by_its_name():
    registry = Registry("metric")
    assert registry.register("answer")(answer) is answer
    assert registry["answer"] is answer
    assert "answer" in registry
    assert "other" not in registry


def test_names_come_sorted():
    registry = Registry("metric")
    registry.register("b")(answer)
    registry.register("a")(answer)
    assert list(registry) == ["a", "b"]


def test_an_unknown_name_suggests_the_nearest():
    registry = Registry("metric")
    registry.register("exact_match")(answer)
    with pytest.raises(InputError, match="unknown metric 'exact_mach': did you mean 'exact_match'?"):
        registry["exact_mach"]


def test_an_unknown_name_that_is_near_none_lists_all():
    registry = Registry("reward")
    for name in ("iou", "format"):
        registry.register(name)(answer)
    with pytest.raises(InputError, match="unknown reward 'zzzzz': known: format, iou"):
        registry["zzzzz"]


def test_two_functions_of_one_name_are_refused_and_the_first_stays():
    registry = Registry("metric")
    registry.register("answer")(answer)

    def other():
        return 43

    with pytest.raises(InputError, match="metric 'answer' is registered twice.*rename one"):
        registry.register("answer")(other)
    assert registry["answer"] is answer


def test_a_module_that_is_loaded_again_replaces_its_own_function():
    registry = Registry("metric")
    code = "def own():\n    return {}\n"
    for value in (1, 2):
        namespace = {"__name__": "plugin"}
        exec(code.format(value), namespace)
        registry.register("own")(namespace["own"])
    assert registry["own"]() == 2


def test_registries_do_not_share_names():
    one, other = Registry("metric"), Registry("reward")
    one.register("answer")(answer)
    assert "answer" not in other
