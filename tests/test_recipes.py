"""config/recipes/: each stands on docs/recipes.md word for word, is read as it is, and runs with a tiny model.

A new recipe needs an entry in RECIPES: what writes data of its form into a folder, and what a quick run changes.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import pytest
import yaml
from running import ROOT, clean_copy, snakemake, succeed

from modomodo.mixtures.plan import plan
from modomodo.study.checks import read_study

COLOURS = ["red", "green", "blue", "yellow"]
# Of every recipe: two steps on the CPU.
QUICK: dict[str, Any] = {
    "plugins": ["modomodo.tiny"],
    "model": {
        "builder": "tiny_qwen2vl",
        "options": {
            "seed": 0,
            "vision_steps": 5,
            "answer_steps": 10,
            "choice_steps": 0,
            "corruption_steps": 5,
        },
    },
    "training": {
        "steps": 2,
        "scored_steps": [2],
        "max_completion_length": 8,
        "bf16": False,
        "gradient_checkpointing": False,
        "gpus": 0,
    },
    "evaluation": {"max_completion_length": 8, "batch_size": 8, "gpus": 0},
}


@dataclass(frozen=True)
class Recipe:
    """How a recipe is tried."""

    write_data: Callable[[Path], None]  # into the folder of the study
    lines: int  # that the file may have
    changes: Mapping[str, Any] = field(default_factory=dict)  # section → keys, further than QUICK's


def own_jsonl(folder: Path) -> None:
    """Sums without images, and coloured images."""
    maths = [
        {"problem": f"What is {n} + {n}?", "solution": f"Twice {n}: $\\boxed{{{2 * n}}}$"} for n in range(40)
    ]
    charts = []
    (folder / "charts").mkdir()
    for n in range(40):
        PIL.Image.new("RGB", (56, 28 + n), COLOURS[n % 4]).save(folder / f"charts/{n}.png")
        answer = f"<answer>{COLOURS[n % 4]}</answer>"
        question = "<image>Which bar is the tallest?" if n % 2 else "In <image>, which bar is the tallest?"
        charts.append({"image": f"charts/{n}.png", "problem": question, "solution": answer})
    for name, rows in (("maths", maths), ("charts", charts)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


ONE_SEARCH = {"strategies": {"search": {"propose": "acquire", "group": "search", "learns_from": ["seed"]}}}


# A tiny model of a family's true architecture.
TINY_FAMILY = f"""
import sys
from modomodo.plugins import model

@model("tiny_family")
def tiny_family(output, options, templates, threads):
    sys.path.insert(0, {str(ROOT / "tests")!r})
    import tiny_families

    tiny_families.make_model(options["family"], output)
    return options
"""


def text_maths(folder: Path) -> None:
    """Sums as GSM8K has them, and programs of a line."""
    maths = [{"question": f"What is {n} + {n}?", "answer": f"Twice {n}. #### {2 * n}"} for n in range(40)]
    code = [{"code": f"print([{n}] * 2)", "output": f"[{n}, {n}]"} for n in range(40)]
    for name, rows in (("maths", maths), ("code", code)):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
    (folder / "tiny_family.py").write_text(TINY_FAMILY, encoding="utf-8")


def charts_and_grounding(folder: Path) -> None:
    """Coloured images, boxes in others, and a plugin that builds a tiny Qwen2.5-VL."""
    own_jsonl(folder)
    (folder / "scenes").mkdir()
    rows = []
    for n in range(40):
        PIL.Image.new("RGB", (64, 56), COLOURS[n % 4]).save(folder / f"scenes/{n}.png")
        box = [n % 20, n % 10, 20 + n % 20, 30 + n % 10]
        rows.append({"image": f"scenes/{n}.png", "problem": "Where is the square?", "solution": box})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "grounding.jsonl").write_text(text, encoding="utf-8")
    (folder / "tiny_family.py").write_text(TINY_FAMILY, encoding="utf-8")


RECIPES: dict[str, Recipe] = {
    "own_jsonl": Recipe(own_jsonl, lines=15, changes=ONE_SEARCH),
    "text_maths": Recipe(
        text_maths,
        lines=35,
        changes=ONE_SEARCH
        | {
            "plugins": ["tiny_family.py"],
            "model": {"builder": "tiny_family", "options": {"family": "qwen3"}},
        },
    ),
    "charts_and_grounding": Recipe(
        charts_and_grounding,
        lines=23,
        changes={
            "plugins": ["tiny_family.py"],
            "model": {"builder": "tiny_family", "options": {"family": "qwen2_5_vl"}},
            "strategies": {
                "screened": {
                    "propose": "merge_screen",
                    "group": "search",
                    "learns_from": ["seed"],
                    "options": {"candidates": 4},
                }
            },
        },
    ),
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    return request.param


def place(name: str, folder: Path) -> Path:
    """The recipe in a folder with data of its form."""
    folder.mkdir(parents=True)
    RECIPES[name].write_data(folder)
    path = folder / f"{name}.yaml"
    path.write_text((ROOT / f"config/recipes/{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def quick(path: Path, changes: Mapping[str, Any]) -> None:
    """The recipe with a tiny model and few steps; sections are merged key by key, but for the model's."""
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, keys in [*QUICK.items(), *changes.items()]:
        merged = isinstance(keys, dict) and section != "model"
        study[section] = {**study.get(section, {}), **keys} if merged else keys
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")


def test_every_recipe_is_tried_and_stands_on_the_page() -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "config/recipes").glob("*.yaml")}
    assert files.keys() == RECIPES.keys()
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert sorted(shown) == sorted(files.values())
    for name, text in files.items():
        assert len(text.splitlines()) <= RECIPES[name].lines, name


def test_a_recipe_is_read_as_it_stands(recipe: str, tmp_path: Path) -> None:
    path = place(recipe, tmp_path / "own")
    study = read_study(path)
    assert study.name == recipe and plan(study, str(path)).by_strategy


def test_the_study_that_opens_extending_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8").partition("## Data without code")[2]
    text = re.findall(r"(?:^    .*\n)+", page, flags=re.MULTILINE)[0]
    own_jsonl(tmp_path)
    pd.read_json(tmp_path / "charts.jsonl", lines=True).to_parquet(tmp_path / "charts.parquet")
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(line[4:] for line in text.splitlines()), encoding="utf-8")
    assert len(text.splitlines()) <= 15 and set(read_study(path).domains) == {"maths", "charts"}


@pytest.mark.slow
def test_a_recipe_runs_to_its_table(recipe: str, tmp_path: Path) -> None:
    clone = clean_copy(tmp_path / "clone")
    path = place(recipe, tmp_path / "own")
    quick(path, RECIPES[recipe].changes)
    succeed(snakemake(clone, "--configfile", str(path)))
    table = pd.read_csv(clone / f"results/{recipe}/table2.csv")
    assert len(table) == 1 + len(list((clone / f"results/{recipe}/mixtures").glob("*.json"))) > 3
    assert table["out_score"].notna().all()
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in (*study["domains"], *study["benchmarks"]):
        assert (clone / f"results/{recipe}/examples/{name}.rejected.jsonl").read_text() == ""
    succeed(snakemake(clone, f"--configfile={path}", f"results/{recipe}/export"))
    exported = clone / f"results/{recipe}/export"
    assert (exported / "model.safetensors").exists() and f"# {recipe}: " in (
        exported / "README.md"
    ).read_text()
    edited = min(path.parent.glob("*.jsonl"))
    edited.write_text(edited.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    planned = succeed(snakemake(clone, "-n", "--configfile", str(path)))
    again = re.findall(
        r"examples/(\w+)\.jsonl\n.*\n.*\n +reason: Updated input files", planned.stdout + planned.stderr
    )
    datasets = study["domains"] | study["benchmarks"]
    of_it = [name for name, data in datasets.items() if Path(data["options"]["path"]).name == edited.name]
    assert sorted(again) == sorted(of_it)
