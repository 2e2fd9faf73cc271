"""Functions that a study calls by name."""

import sys

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
    with pytest.raises(
        InputError, match="unknown reward 'zzzzz': known: format, iou; .* plugins .*extending"
    ):
        registry["zzzzz"]


def test_two_functions_of_one_name_are_refused_and_the_first_stays():
    registry = Registry("metric")
    registry.register("answer")(answer)

    def other():
        return 43

    with pytest.raises(InputError, match="metric 'answer' is registered twice.*rename one"):
        registry.register("answer")(other)
    assert registry["answer"] is answer


def test_one_function_may_be_registered_twice_but_no_second_one_of_the_same_module_and_name():
    registry = Registry("metric")
    first, second = {"__name__": "plugin"}, {"__name__": "plugin"}
    for namespace in (first, second):
        exec("def own(): ...", namespace)
    registry.register("own")(first["own"])
    registry.register("own")(first["own"])
    with pytest.raises(InputError, match="metric 'own' is registered twice, by plugin and plugin"):
        registry.register("own")(second["own"])
    assert registry["own"] is first["own"]


@pytest.fixture
def members(tmp_path, monkeypatch):
    """A registry that knows the names of a module which nobody has imported yet."""
    registry = Registry("metric", {"lazy_metrics": ["lazy"]})
    (tmp_path / "lazy_metrics.py").write_text(
        "from builtins import registry\n\n@registry.register('lazy')\ndef lazy(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.registry", registry, raising=False)
    yield registry
    sys.modules.pop("lazy_metrics", None)


def test_a_members_module_is_imported_when_it_is_asked_for(members):
    assert list(members) == ["lazy"] and "lazy" in members
    with pytest.raises(InputError, match="did you mean 'lazy'"):
        members["lazzy"]
    assert "lazy_metrics" not in sys.modules
    assert members["lazy"].__module__ == "lazy_metrics"


def test_a_members_name_is_taken_before_its_module_is_imported(members):
    with pytest.raises(InputError, match="'lazy' is registered twice, by lazy_metrics and test_registry"):
        members.register("lazy")(answer)
    assert members["lazy"].__module__ == "lazy_metrics"


def test_registries_do_not_share_names():
    one, other = Registry("metric"), Registry("reward")
    one.register("answer")(answer)
    assert "answer" not in other
