"""docs/extending.md, done as a new user would: its blocks make a folder outside the clone, whose study runs."""

import csv
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import PIL.Image
import PIL.ImageDraw
import pytest
import test_workflow

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs/extending.md").read_text(encoding="utf-8")
COLOURS = ["red", "green", "blue", "yellow"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def draw_shapes(folder: Path) -> None:
    """20 images and a CSV with the columns that the page names."""
    folder.mkdir(parents=True)
    with open(folder / "shapes.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "question", "answer", "split"])
        for number in range(20):
            colour = COLOURS[number % 4]
            image = PIL.Image.new("RGB", (48, 40), "white")
            PIL.ImageDraw.Draw(image).ellipse((4, 4, 20 + number, 36), fill=colour)
            image.save(folder / f"{number}.png")
            rows.writerow(
                [f"{number}.png", "Which colour is it?", colour, "train" if number < 14 else "test"]
            )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone, with `own/` beside it, in which every command of the page was run."""
    home = tmp_path_factory.mktemp("stranger")
    clone = home / "MoDoMoDo-pipeline"
    clone.mkdir()
    test_workflow.clean_copy(clone)
    draw_shapes(home / "own/shapes")
    (home / "own/own.py").write_text("\n\n".join(blocks("python")), encoding="utf-8")
    (study,) = blocks("yaml")
    (home / "own/study.yaml").write_text(study, encoding="utf-8")
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "snakemake", line
        test_workflow.succeed(test_workflow.snakemake(clone, *arguments))
    return clone


def test_the_own_study_ran_to_its_table(clone: Path) -> None:
    table = pd.read_csv(clone / "results/own/table2.csv")
    assert list(table["mixture"]) == ["base", "single-shapes", "single-science", "favourite", "search-001"]
    assert table[["y_shapes_test", "y_chart"]].notna().all(axis=None)


def test_the_own_functions_did_the_work(clone: Path) -> None:
    results = clone / "results/own"
    assert len((results / "examples/shapes.jsonl").read_text().splitlines()) == 14
    assert len((results / "examples/shapes_test.jsonl").read_text().splitlines()) == 6
    assert "rewards/shapes/brevity" in (results / "runs/single-shapes/42/log.jsonl").read_text()
    assert '"metric": "same_words"' in (results / "scores/search-001/42.json").read_text()
    # Half the best of two singles, half equal weights.
    weights = pd.read_json(results / "mixtures/favourite.json")["weights"]
    assert sorted(weights) == [0.25, 0.75]
    assert "2 runs, nearest: left-out RMSE" in (clone / "logs/own/mixtures/search.log").read_text()


def test_the_package_knows_nothing_of_it(clone: Path) -> None:
    found = subprocess.run(
        ["grep", "-rlE", "brevity|same_words", clone / "modomodo", clone / "scripts"], capture_output=True
    )
    assert found.stdout == b""
