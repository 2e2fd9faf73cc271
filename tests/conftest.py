"""Small things that several test modules need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml

from modomodo import environment
from modomodo.config.schema import Study
from modomodo.study.checks import study_from

environment.prepare()  # as every script does: tests import torch


@pytest.fixture
def study_data() -> dict[str, Any]:
    """The plain data of a small study with every section: change it, then read it."""
    return {
        "name": "small",
        "plugins": ["modomodo.tiny"],
        "model": {"builder": "tiny_qwen2vl", "options": {"seed": 0}},
        "domains": {
            "boxes": {
                "loader": "boards",
                "options": {"domain": "detection", "size": 40},
                "rewards": ["iou", "format"],
            },
            "science": {"loader": "boards", "options": {"domain": "science", "size": 30}},
            "relation": {"loader": "boards", "options": {"domain": "relation", "size": 20}},
        },
        "benchmarks": {
            "science_test": {
                "loader": "boards",
                "options": {"domain": "science", "size": 10},
                "metric": "exact_match",
                "group": "in",
            },
            "chart": {
                "loader": "boards",
                "options": {"domain": "chart", "size": 10},
                "metric": "exact_match",
                "group": "out",
            },
        },
        "training": {"steps": 9, "scored_steps": [2, 7, 9]},
        "strategies": {
            "single": {"propose": "single", "group": "seed", "label": "Single"},
            "all": {"propose": "all", "group": "seed"},
            "alpha": {"propose": "alpha", "group": "heuristic", "learns_from": ["seed"]},
            "surface": {
                "propose": "quadratic_surface",
                "group": "model",
                "count": 2,
                "learns_from": ["seed", "alpha"],
            },
        },
    }


@pytest.fixture
def small_study(study_data: dict[str, Any]) -> Study:
    return study_from(study_data, "study.yaml")


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(data: dict[str, Any]) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def drawn_image() -> Callable[..., PIL.Image.Image]:
    """An image of one colour; another shade, another image."""

    def make(shade: int = 0, size: int = 8) -> PIL.Image.Image:
        return PIL.Image.new("RGB", (size, size), (shade, 100, 200))

    return make


@pytest.fixture
def example_fields() -> Callable[..., dict[str, Any]]:
    """The fields of a valid number example but its image, some of them changed."""

    def make(**changes: Any) -> dict[str, Any]:
        fields = {
            "id": "1",
            "dataset": "science",
            "question": "How many?",
            "answer": "3",
            "answer_type": "number",
        }
        return {**fields, **changes}

    return make


@pytest.fixture(scope="session")
def tiny_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a family's tiny model, made once."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        from tiny_families import make_model  # here: it imports transformers

        if family not in made:
            made[family] = make_model(family, tmp_path_factory.mktemp("family") / family)
        return made[family]

    return make
