"""A brace in a text of a study is text: Snakemake would take `{word}` for a wildcard."""

import json

import pytest
import yaml
from running import ROOT, snakemake
from snakemake.io import get_wildcard_names

from modomodo.config.schema import Settings
from modomodo.tiny.examples import sft_examples
from modomodo.tiny.qwen2vl import make_tokenizer

BRACES = r'Write \boxed{answer}, {}, {{two}}, {wildcards.mixture} or "{x}\"'


class Texts(Settings):
    words: str
    inner: dict[str, list[str]]


def test_settings_hold_no_wildcard_and_read_back_the_same():
    settings = Texts(words=BRACES, inner={"{key}": [BRACES, "{"]})
    assert get_wildcard_names(settings.text()) == set()
    assert json.loads(settings.text()) == settings.model_dump()


def test_settings_without_a_brace_in_a_text_are_as_before():
    assert Texts(words="a", inner={"b": []}).text() == '{"inner":{"b":[]},"words":"a"}'


def test_the_tiny_model_knows_a_template_with_braces():
    template = "{question} Write \\boxed{answer} in {}, {question}."
    (example,) = sft_examples("relation", 1, 0, [template])
    assert example.question.endswith(" Write \\boxed{answer} in {}, {question}.")
    tokenizer = make_tokenizer([template])
    known = tokenizer.decode(tokenizer(example.question)["input_ids"])
    assert known.endswith(" Write \\boxed{answer} in {}, {question}.")


@pytest.mark.slow
def test_a_dry_run_takes_braces_anywhere(tmp_path):
    folder = tmp_path / "{folder}"
    folder.mkdir()
    (folder / "own{x}.py").write_text("")
    study = yaml.safe_load((ROOT / "config/test.yaml").read_text(encoding="utf-8"))
    study["plugins"].append(str(folder / "own{x}.py"))
    study["prompts"] = dict.fromkeys(["box", "choice", "text", "number", "separator"], BRACES)
    study["domains"]["science"]["prompts"] = {"text": BRACES}
    study["data"] = {"raw_from": "/raw/{folder}"}
    study["judge"] = {"model": BRACES, "request": {"{key}": BRACES}}
    study["reporting"] = {"notes": BRACES}
    study["strategies"]["single"] |= {"label": BRACES, "group": "{seed}"}
    study["strategies"]["collinearity"]["learns_from"] = ["single"]
    (folder / "{study}.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    run = snakemake(
        tmp_path, "-n", "--snakefile", ROOT / "Snakefile", f"--configfile={folder}/{{study}}.yaml"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "results/test/runs/collinearity/42/run.json" in run.stdout + run.stderr


@pytest.mark.slow
def test_a_recorded_table_may_lie_in_a_folder_with_braces(tmp_path):
    folder = tmp_path / "{folder}"
    folder.mkdir()
    table = folder / "{runs}.csv"
    table.write_bytes((ROOT / "config/replay/modomodo_seeds.csv").read_bytes())
    study = yaml.safe_load((ROOT / "config/replay.yaml").read_text(encoding="utf-8"))
    study["records"]["path"] = str(table)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    run = snakemake(tmp_path, "-n", "--snakefile", ROOT / "Snakefile", f"--configfile={folder}/study.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "replay_explorer" in run.stdout + run.stderr
