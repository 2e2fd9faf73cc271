"""What a dry run can know of options: names, types, files, from the signatures of the functions."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import pytest
from pydantic import BaseModel, Field

from modomodo.config import options as options_module
from modomodo.config.options import check_files, check_options, local_files
from modomodo.errors import InputError
from modomodo.mixtures.plan import plan
from modomodo.replay.config import replay_from
from modomodo.replay.run import surrogate_in
from modomodo.reporting.settings import ExplorerSettings, VerdictSettings, surrogate_of
from modomodo.study.checks import read_study, study_from
from modomodo.tiny import boards
from modomodo.training.builders import model_builders


def annotated(
    raw,
    path: Path,
    size: int,
    share: Annotated[float, Field(gt=0)] = 0.5,
    split: Literal["train", "test"] = "train",
    names: tuple[str, ...] = (),
    limit: int | None = None,
    shuffle: bool = False,
):
    yield from ()


def bare(raw, file, size=3, scale=1.5, shuffle=False, split="train", key=None):
    yield from ()


def forwarding(raw, size=3, **others):
    yield from ()


def complaint(function, options) -> str:
    with pytest.raises(InputError) as error:
        check_options(function, options, "domains.a.options")
        check_files(function, options, "domains.a.options")
    assert str(error.value).startswith("domains.a.options.")
    return str(error.value).removeprefix("domains.a.options.")


def test_options_that_fit_are_taken(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.touch()
    check_options(annotated, {"path": str(file), "size": 3}, "x")
    more = {"share": 1, "split": "test", "names": ["a"], "limit": None, "shuffle": True}
    check_options(annotated, {"path": str(file), "size": 3, **more}, "x")
    check_options(bare, {"file": str(file), "scale": 2, "key": {"any": [1]}}, "x")
    for given in (str(file), str(tmp_path / "*.jsonl"), "hf://datasets/a/b.parquet", Path(__file__).name):
        check_files(bare, {"file": given, "size": 3}, "x")
    check_options(forwarding, {"anything": 1}, "x")
    check_options(print, {"end": ""}, "x")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("sizes", 3, "sizes: unknown option: did you mean 'size'?"),
        ("raw", "x", "raw: unknown option: known: limit, names, path, share, shuffle, size, split"),
        ("size", "3e1", "size: input should be a valid integer, found '3e1'"),
        ("size", "30", "size: input should be a valid integer, found '30'"),
        ("size", None, "size: input should be a valid integer, found None"),
        (
            "size",
            3.5,
            "size: input should be a valid integer, found 3.5",
        ),
        ("size", True, "size: input should be a valid integer, found True"),
        ("share", 0, "share: input should be greater than 0, found 0"),
        ("share", "1", "share: input should be a valid number, found '1'"),
        ("split", "trian", "split: input should be 'train' or 'test', found 'trian': did you mean 'train'?"),
        ("names", "a", "names: input should be a valid array, found 'a'"),
        ("shuffle", 1, "shuffle: input should be a valid boolean, found 1"),
        ("path", "no/such.jsonl", "path: no/such.jsonl: no such file (paths are relative to where you run)"),
    ],
)
def test_an_option_that_does_not_fit_is_named(tmp_path, option, value, message):
    assert complaint(annotated, {"path": str(tmp_path), "size": 3, option: value}) == message


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("size", "3e1", "size: input should be a valid number, found '3e1'"),
        ("shuffle", "no", "shuffle: input should be a valid boolean, found 'no'"),
        (
            "split",
            2024,
            "split: input should be a valid string, found 2024: YAML reads it so unless it stands in",
        ),
        ("file", "no/such.jsonl", "file: no/such.jsonl: no such file"),
    ],
)
def test_a_signature_without_types_tells_them_by_its_defaults(tmp_path, option, value, message):
    assert complaint(bare, {"file": str(tmp_path), option: value}).startswith(message)


def test_an_option_that_is_needed_is_named():
    assert complaint(annotated, {"size": 3}) == "path: missing: this option is required"


DATASETS = ["domains.science", "benchmarks.chart"]


@pytest.mark.parametrize("key", DATASETS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domian": "science"}, "domian: unknown option: did you mean 'domain'?"),
        ({"domain": "scence"}, "found 'scence': did you mean 'science'?"),
        (
            {"split": "trian"},
            "split: input should be 'train' or 'test', found 'trian': did you mean 'train'?",
        ),
        ({"sed": 1}, "sed: unknown option: did you mean 'seed'?"),
        ({"size": "3e1"}, "size: input should be a valid integer, found '3e1'"),
        ({"size": 0}, "size: input should be greater than or equal to 1, found 0"),
        ({"seed": 2**32}, f"seed: input should be less than or equal to {2**32 - 1}, found {2**32}"),
    ],
)
def test_a_loaders_options_are_told_before_anything_runs(study_data, key, options, message):
    section, name = key.split(".")
    study_data[section][name]["options"] |= options
    with pytest.raises(InputError) as error:
        study_from(study_data, "study.yaml")
    assert str(error.value).startswith(f"study.yaml: {key}.options.")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("loader", "options", "message"),
    [
        ("sat", {"order": "shufled"}, "options.order: unknown 'shufled': did you mean 'shuffled'?"),
        ("sat", {"first": "papers"}, "options.first: papers: expected a number of examples or null"),
        ("geoqav", {"pattern": "("}, "options.pattern: '(' is no regular expression"),
        ("scienceqa", {"layout": "{}"}, "options.layout: '{}': needs {} twice"),
        ("lisa", {"longest": "640"}, "options.longest: input should be a valid integer, found '640'"),
    ],
)
def test_the_options_of_published_datasets_are_told_before_anything_runs(
    study_data, loader, options, message
):
    entry = {"loader": loader, "options": options, "source": {"revision": "main"}}
    study_data["domains"]["science"] = entry
    with pytest.raises(InputError) as error:
        study_from(study_data, "study.yaml")
    assert str(error.value).startswith(f"study.yaml: domains.science.{message}")


def test_the_domains_of_boards_are_those_that_are_drawn():
    assert set(get_args(boards.Domain)) == set(boards.COMPOSERS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vision_step": 3}, "vision_step: unknown key: did you mean 'vision_steps'?"),
        ({"examined": 3}, "examined: renamed: write eval_size"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, found -1"),
        ({"batch_size": True}, "batch_size: a truth value, not a number"),
    ],
)
def test_a_builders_options_are_told_before_anything_runs(study_data, options, message):
    study_data["model"]["options"] = options
    with pytest.raises(InputError) as error:
        study_from(study_data, "study.yaml")
    assert str(error.value).startswith(f"study.yaml: model.options: model builder 'tiny_qwen2vl': {message}")


def test_a_builder_of_ones_own_may_name_a_model_of_its_options(study_data, monkeypatch):
    class Folder(BaseModel):
        path: Path

    def folder(output, options: Folder, templates, threads):
        return {}

    monkeypatch.setitem(model_builders._functions, "own_folder", folder)
    study_data["model"] = {"builder": "own_folder", "options": {}}
    with pytest.raises(InputError, match=r"model builder 'own_folder': path: missing: this key is required$"):
        study_from(study_data, "study.yaml")


@pytest.mark.parametrize(
    "key", ["training.seed", "strategies.surface.seed", "model.options.seed", "domains.science.options.seed"]
)
def test_a_seed_that_no_generator_takes_is_told(study_data, key):
    *parents, last = key.split(".")
    home = study_data
    for parent in parents:
        home = home[parent]
    home[last] = 2**32
    with pytest.raises(InputError, match=f"{last}: input should be less than or equal to {2**32 - 1}"):
        study_from(study_data, "study.yaml")
    home[last] = 2**32 - 1
    study_from(study_data, "study.yaml")


@pytest.mark.parametrize("surrogate", ["quadratic", "gp_sqr"])
def test_a_surrogate_that_the_explorer_cannot_evaluate_is_told(study_data, surrogate):
    study_data["reporting"] = {"surrogate": surrogate}
    with pytest.raises(InputError) as error:
        study_from(study_data, "study.yaml")
    assert str(error.value) == (
        f"study.yaml: reporting.surrogate: the explorer cannot evaluate '{surrogate}': use gp_sqrt or gp_average"
    )


def test_a_surrogate_of_earlier_versions_names_its_successor(study_data):
    study_data["reporting"] = {"surrogate": "gp_lead"}
    with pytest.raises(InputError) as error:
        study_from(study_data, "study.yaml")
    assert (
        str(error.value)
        == "study.yaml: reporting.surrogate: surrogate 'gp_lead' is gone: use 'gp_average' instead"
    )


@pytest.mark.parametrize(
    ("searches", "shown", "others"),
    [
        ([], "gp_sqrt", []),
        ([{"surrogate": "quadratic"}], "gp_sqrt", ["quadratic"]),
        ([{}], "gp_average", []),
        ([{"surrogate": "quadratic"}, {"surrogate": "gp_sqrt"}, {}], "gp_sqrt", ["quadratic", "gp_average"]),
    ],
)
def test_the_pages_show_the_surrogate_that_proposals_are_made_by(study_data, searches, shown, others):
    for number, options in enumerate(searches):
        study_data["strategies"][f"search_{number}"] = {
            "propose": "cma_es",
            "group": "search",
            "learns_from": ["seed"],
            "options": options,
        }
    study = study_from(study_data, "study.yaml")
    settings = ExplorerSettings.of(study, plan(study, "study.yaml"))
    assert (settings.surrogate, settings.proposing) == (shown, others)
    study_data["reporting"] = {"surrogate": "gp_average"}
    assert surrogate_of(study_from(study_data, "study.yaml")) == "gp_average"


@pytest.mark.parametrize("name", ["tiny", "paper", "test"])
def test_the_pages_of_studies_that_search_by_none_keep_theirs(name):
    study = read_study(Path(__file__).parents[2] / "config" / f"{name}.yaml")
    assert '"surrogate"' not in VerdictSettings.of(study, plan(study, name)).text()


def test_recorded_runs_are_shown_by_what_proposes_from_them():
    def shown(**strategy):
        return surrogate_in(
            replay_from(
                {"name": "own", "records": {"path": "x.csv"}, "strategies": {"s": strategy}}, "own.yaml"
            )
        )

    assert shown(propose="acquire") == "gp_average"
    assert shown(propose="cma_es", options={"surrogate": "gp_sqrt"}) == "gp_sqrt"
    assert shown(propose="alpha") == "gp_average", "what replays compare others with"


def test_files_that_options_name_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("own/rows.jsonl", "own/images/1.png", "train/x", "model/weights.safetensors", "a b.csv"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    options = {
        "path": "own/rows.jsonl",
        "images": "own/images",  # a folder by its separator
        "model_folder": "model",  # by its name
        "split": "train",  # a word, though a folder is called so
        "more": [{"table": "a b.csv"}, "own/rows.jsonl", 3, None],
        "url": "https://example.org/x",
        "text": "x" * 5000,
    }
    assert local_files(options) == [
        "own/rows.jsonl",
        "own/images/1.png",
        "model/weights.safetensors",
        "a b.csv",
    ]
    monkeypatch.setattr(options_module, "MOST_FILES", 0)
    assert local_files({"path": "own/images"}) == ["own/images"]
