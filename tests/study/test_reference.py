"""The config reference and the editors' schema are those of the models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from modomodo.config.schema import Study
from modomodo.errors import InputError
from modomodo.replay.config import ReplayConfig
from modomodo.study.reference import _model_in, with_graph

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "config/study.schema.json"
REPLAY_SCHEMA = ROOT / "config/replay.schema.json"


def test_page_and_schema_are_in_step_with_the_models(tmp_path):
    """In a process of its own: other tests register functions of theirs."""
    subprocess.run(
        [
            sys.executable,
            "scripts/reference.py",
            "--output",
            tmp_path / "config.md",
            "--schema",
            tmp_path / "schema.json",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    for made, kept in (
        ("config.md", ROOT / "docs/config.md"),
        ("schema.json", SCHEMA),
        (REPLAY_SCHEMA.name, REPLAY_SCHEMA),
    ):
        assert (tmp_path / made).read_text() == kept.read_text(), (
            f"{kept.name} is out of step: make reference"
        )


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_the_studies_and_editors_find_it(path):
    text = path.read_text()
    study = yaml.safe_load(text)
    schema = REPLAY_SCHEMA if "records" in study else SCHEMA
    assert text.startswith(f"# yaml-language-server: $schema={schema.name}\n")
    jsonschema.validate(study, json.loads(schema.read_text()))


def test_the_schema_refuses_a_misspelt_key():
    study = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    study["training"]["stpes"] = 9
    with pytest.raises(jsonschema.ValidationError, match="stpes"):
        jsonschema.validate(study, json.loads(SCHEMA.read_text()))


def models(model: type[BaseModel]):
    yield model
    for field in model.model_fields.values():
        inner, _ = _model_in(field.annotation)
        if inner is not None:
            yield from models(inner)


@pytest.mark.parametrize("model", [*models(Study), *models(ReplayConfig)], ids=lambda model: model.__name__)
def test_every_key_is_described(model):
    assert model.__doc__
    for name, field in model.model_fields.items():
        inner, _ = _model_in(field.annotation)
        assert field.description or inner, f"{model.__name__}.{name}"


def test_the_rule_graph_replaces_the_pages_own_and_an_empty_one_does_not():
    page_before = "Before.\n```mermaid\nflowchart TB\n    old --> all\n```\nAfter.\n"
    printed = "---\ntitle: DAG\n---\nflowchart TB\n\tid0[all]\n\tid1[train]\n\tid1 --> id0\n"
    assert with_graph(page_before, printed) == page_before.replace("old", "train")
    with pytest.raises(InputError, match="no graph on standard input"):
        with_graph(page_before, "")
    with pytest.raises(InputError, match="no mermaid block"):
        with_graph("Before.\n", printed)
