"""The chain behind a number, on files made by hand."""

from pathlib import Path

import pytest

from modomodo.config.schema import Study
from modomodo.data.examples import Example
from modomodo.errors import InputError
from modomodo.evaluation.predictions import prediction_key
from modomodo.evaluation.settings import PredictSettings
from modomodo.files import digest, file_digest, write_json, write_jsonl
from modomodo.mixtures.plan import plan
from modomodo.mixtures.settings import StreamSettings
from modomodo.study.provenance import describe, provenance
from modomodo.study.trace import Number, Trace, render, trace
from modomodo.training.run_folder import weights_digest

SCORE = {"metric": "exact_match", "version": 1, "n": 10, "unparsed": 2, "standard_error": 0.1}
RUN = "all/42"


def examples_of(dataset: str) -> list[dict]:
    shown = {"image": "images/0.png", "question": "How many?", "answer": "3", "answer_type": "number"}
    return [Example(id=str(i), dataset=dataset, **shown).model_dump(mode="json") for i in range(2)]


def write_model(folder: Path, weights: str) -> str:
    """A directory of weights; returns their digest."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights)
    return weights_digest(folder)


@pytest.fixture
def results(small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results of the mixture All at its last step, 9, as the jobs write them."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/small")
    settings = StreamSettings.of(small_study)

    def described(name: str, inputs: tuple[str, ...] = ()) -> None:
        describe(folder / name, settings, [folder / each for each in inputs])

    domains = {name: f"examples/{name}.jsonl" for name in small_study.domains}
    benchmarks = {name: f"examples/{name}.jsonl" for name in small_study.benchmarks}
    for name, path in {**domains, **benchmarks}.items():
        write_jsonl(folder / path, examples_of(name))
        described(path)
    base = write_model(folder / "base", "base")
    write_json(folder / "base.json", {"weights": base, **provenance()})
    mixture = {"name": "all", "weights": dict.fromkeys(domains, 1 / 3), "strategy": "all", "round": 0}
    write_json(folder / "mixtures/all.json", mixture)
    described("mixtures/all.json")
    draws = [{"domain": name, "id": "1"} for name in domains]
    write_jsonl(folder / f"streams/{RUN}.jsonl", draws)
    shares = {"prompts": 3, "steps": 9, "realised": dict.fromkeys(domains, 1 / 3)}
    write_json(folder / f"streams/{RUN}.summary.json", shares)
    described(f"streams/{RUN}.jsonl", ("mixtures/all.json", *domains.values()))
    weights = write_model(folder / f"runs/{RUN}/checkpoint-9", "trained")
    run = {
        "checkpoints": {"9": {"step": 9, "path": "checkpoint-9", "weights": weights}},
        "settings": {},
        "seed": 42,
        "base": base,
        "rows": digest([examples_of(name)[1] for name in domains]),
        **provenance(),
        "seconds": {"import": 1.0, "train": 2.0},
    }
    write_json(folder / f"runs/{RUN}/run.json", run)
    home = folder / f"predictions/{RUN}"
    predict = PredictSettings.of(small_study)
    entries = {}
    for name, path in benchmarks.items():
        write_jsonl(home / f"9/{name}.jsonl", [{"id": "0"}])
        key = prediction_key(predict, name, weights, file_digest(folder / path))
        entries[name] = {
            "path": f"9/{name}.jsonl",
            "key": key,
            "sha256": file_digest(home / f"9/{name}.jsonl"),
        }
    listed = {"mixture": "all", "seed": 42, "settings": predict.changed(), "predictions": {"9": entries}}
    write_json(home / "predictions.json", listed)
    answered = [f"9/{name}" for name in benchmarks]
    write_json(home / "run.json", {"parts": [{"answered": answered, **provenance(), "seconds": 4.0}]})
    scores = {name: {**SCORE, "score": 0.4} for name in benchmarks}
    write_json(folder / f"scores/{RUN}.json", {"mixture": "all", "seed": 42, "steps": {"9": scores}})
    described(f"scores/{RUN}.json", (f"predictions/{RUN}/predictions.json", *benchmarks.values()))
    names = "y_science_test,se_science_test,y_chart,se_chart,in_score,se_in_score,out_score,se_out_score"
    (folder / "records.csv").write_text(f"mixture,seed,step,{names}\nall,42,9{',0.4,0.1' * 4}\n")
    described("records.csv", (f"scores/{RUN}.json", "mixtures/all.json"))
    return folder


def traced(study: Study, *number: str) -> Trace:
    return trace(study, plan(study), Number(*number))


def test_a_mixture_is_found_by_its_label_too(small_study, results):
    strategies = small_study.strategies
    labelled = strategies["all"].model_copy(update={"label": "Equal weights"})
    study = small_study.model_copy(update={"strategies": {**strategies, "all": labelled}})
    for given in ("all", "Equal weights"):
        title = traced(study, given, "out_score").title
        assert title == "out_score of mixture 'all' (Equal weights), seed 42, step 9: 0.40 ± 0.10"


def test_every_link_of_an_untouched_study_holds(small_study, results):
    found = traced(small_study, "all", "out_score")
    assert found.title == "out_score of mixture 'all', seed 42, step 9: 0.40 ± 0.10"
    assert [link.what for link in found.links] == [
        *("record", "scores", "predictions", "checkpoint", "training", "stream", "mixture"),
        *["examples"] * 3,
        *("base model", "examples"),
    ]
    assert found.intact
    # Each is checked against something but mixtures and examples, which are made from no file here.
    assert all(link.checks for link in found.links if link.what not in ("mixture", "examples"))
    text = render(found)
    assert text.endswith("\nevery link holds\n")
    assert text.count("with python") == 1, "versions that all share are printed once"


@pytest.mark.parametrize(
    ("changed", "link", "check"),
    [
        ("scores/all/42.json", "record", "inputs changed: results/small/scores/all/42.json"),
        ("predictions/all/42/predictions.json", "scores", "inputs changed: "),
        ("predictions/all/42/9/chart.jsonl", "predictions", "as listed, sha256"),
        ("examples/chart.jsonl", "predictions", "answers of these weights to these questions"),
        ("runs/all/42/checkpoint-9/model.safetensors", "checkpoint", "weights as recorded"),
        ("streams/all/42.jsonl", "training", "on the rows of this stream"),
        ("examples/boxes.jsonl", "stream", "inputs changed: results/small/examples/boxes.jsonl"),
        ("mixtures/all.json", "stream", "inputs changed: results/small/mixtures/all.json"),
        ("base/model.safetensors", "base model", "weights as recorded"),
    ],
)
def test_a_file_that_has_changed_since_is_found(small_study, results, changed, link, check):
    path = results / changed
    lines = path.read_text().splitlines(keepends=True)
    if path.parent.name == "examples":
        lines.reverse()
    elif path.parent.parent.name == "streams":
        lines.pop()
    else:
        lines.append(" ")
    path.write_text("".join(lines))
    found = traced(small_study, "all", "chart")
    failed = [(each.what, what) for each in found.links for what, held in each.checks if not held]
    assert any(what == link and text.startswith(check) for what, text in failed), failed
    assert not found.intact and "CHANGED SINCE: " in render(found)


def test_weights_that_were_removed_on_purpose_break_nothing(small_study, results):
    checkpoint = results / f"runs/{RUN}/checkpoint-9"
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "weights-removed.json").write_text("{}")
    found = traced(small_study, "all", "chart")
    assert found.intact and "its weights were removed once scored" in render(found)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (("al", "chart"), "MIXTURE=al: the study has no such mixture: did you mean 'all'?"),
        (("all", "chrat"), "BENCHMARK=chrat: the study has no such benchmark or aggregate"),
        (("all", "chart", 7), "--seed 7: 'all' has 42"),
        (("all", "chart", 42, 2), "--step 2: 'all' was scored at 9"),
        (("single-boxes", "chart"), "scores/single-boxes/42.json: not scored yet: make status"),
    ],
)
def test_a_number_that_there_is_not_is_an_error(small_study, results, number, message):
    with pytest.raises(InputError) as error:
        traced(small_study, *number)
    assert message in str(error.value)
