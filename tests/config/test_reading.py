"""A YAML file is read as it was written, or refused with its line."""

import pytest

from modomodo.config.reading import read_config, read_yaml
from modomodo.errors import InputError
from modomodo.study.checks import study_from


@pytest.fixture
def read(tmp_path):
    def read(content: str | bytes, name: str = "study.yaml"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_yaml(path)

    return read


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: the key stands twice, first in line 1, and YAML would drop the first"),
        ("x:\n  a: 1\n  a: 1\n", 3, "a: the key stands twice, first in line 2"),
        ("x: [{a: 1}, {b: 1, b: 2}]", 1, "b: the key stands twice, first in line 1"),
        ('a: 1\n"a": 2\n', 2, "a: the key stands twice, first in line 1"),
        ("x:\n  no: 1\n", 2, "YAML reads the key no as a truth value: write 'no' in quotes"),
        ("on: 1", 1, "YAML reads the key on as a truth value: write 'on' in quotes"),
        ("Yes: 1", 1, "YAML reads the key Yes as a truth value: write 'Yes' in quotes"),
        ("x:\n  2_024: 1\n", 2, "YAML reads the key 2_024 as a number: write '2_024' in quotes"),
        ("010: 1", 1, "YAML reads the key 010 as a number: write '010' in quotes"),
        ("1e3: 1", 1, "YAML reads the key 1e3 as a number: write '1e3' in quotes"),
        (".nan: 1", 1, "YAML reads the key .nan as a number: write '.nan' in quotes"),
        ("~: 1", 1, "YAML reads the key ~ as nothing: write '~' in quotes"),
        ("? [a, b]\n: 1", 1, "a key must be a text"),
        (
            "a: 1\nb: 010",
            2,
            "YAML reads 010 as 8, an octal number: write '010' in quotes for a text, or the number",
        ),
        ("a: [1, 007]", 1, "YAML reads 007 as 7, an octal number"),
        ("a: 1:30", 1, "YAML reads 1:30 as 90, in base 60: write '1:30' in quotes for a text, or the number"),
        ("a: 1:30:00.5", 1, "YAML reads 1:30:00.5 as 5400.5, in base 60"),
        ("a: 1\nb: .nan", 2, "YAML reads .nan as nan: a number must be finite"),
        ("a: [-.inf]", 1, "YAML reads -.inf as -inf: a number must be finite"),
        ("a: 1e400", 1, "YAML reads 1e400 as inf: a number must be finite"),
        ("a: !!binary aGk=", 1, "the tag tag:yaml.org,2002:binary has no meaning in a study: remove it"),
        (
            "a: !!python/object:os.system x",
            1,
            "the tag tag:yaml.org,2002:python/object:os.system has no meaning",
        ),
        ("a: &x [*x]", 1, "not valid YAML: found unconstructable recursive node"),
        ("---\na: 1\n---\nb: 2\n", 3, "not valid YAML: but found another document"),
    ],
)
def test_what_yaml_would_lose_or_turn_is_refused_with_its_line(read, content, line, message):
    with pytest.raises(InputError) as error:
        read(content)
    assert f"study.yaml:{line}: {message}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (
            "a: 1e-4\nb: 3e1\nc: 1E5\nd: -2e+3\ne: 1.5e-3",
            {"a": 1e-4, "b": 30.0, "c": 1e5, "d": -2e3, "e": 1.5e-3},
        ),
        ("a: e5\nb: 1e\nc: 12e03a", {"a": "e5", "b": "1e", "c": "12e03a"}),
        ("a: 2024-05-01\n2024-05-02: b", {"a": "2024-05-01", "2024-05-02": "b"}),
        ("a: 2024-99-99", {"a": "2024-99-99"}),
        ("a: '010'\n'no': \"1:30\"", {"a": "010", "no": "1:30"}),
        ("a: 0\nb: 10\nc: 1_000\nd: -3\ne: 0.5", {"a": 0, "b": 10, "c": 1000, "d": -3, "e": 0.5}),
        ("a: no\nb: on\nc: true\nd:\n", {"a": False, "b": True, "c": True, "d": None}),
        ("a: =", {"a": "="}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}", {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}}),
        ("x: &x [1]\ny: *x", {"x": [1], "y": [1]}),
        (b"\xef\xbb\xbfa: \xc3\xa4\r\nb: 1\r\n", {"a": "ä", "b": 1}),
        ('{"a": 1,\n\t"b": "\\ud83d\\ude00"}', {"a": 1, "b": "\N{GRINNING FACE}"}),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_what_is_meant_without_doubt_is_read(read, content, value):
    assert read(content) == value


def test_json_is_held_to_the_same(read):
    with pytest.raises(InputError, match=r"study.json: a: the key stands twice"):
        read('{"b": {"a": 1,\n\t"a": 2}}', "study.json")
    with pytest.raises(InputError, match=r"study.json: NaN: a number must be finite"):
        read('{"a": NaN}', "study.json")


@pytest.mark.parametrize("content", [b"a: \xff", "a: ä".encode("utf-16"), "a: ä".encode("latin-1")])
def test_another_encoding_is_told(read, content):
    with pytest.raises(InputError, match=r"study.yaml: not UTF-8: .*: save it as UTF-8"):
        read(content)


def test_a_study_lies_in_one_file(tmp_path):
    with pytest.raises(InputError) as error:
        read_config([tmp_path / "a.yaml", tmp_path / "b.yaml"], "a.yaml + b.yaml")
    assert str(error.value) == (
        "a.yaml + b.yaml: 2 studies after --configfile, which Snakemake would merge into one: give one file"
    )


@pytest.mark.parametrize(
    ("content", "found"), [("", "nothing"), ("# all\n", "nothing"), ("- a", "list"), ("a", "str")]
)
def test_a_file_without_keys_is_told(tmp_path, content, found):
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(InputError, match=f"^study.yaml: expected keys and values, found {found}$"):
        read_config([tmp_path / "study.yaml"], "study.yaml")


@pytest.mark.parametrize("word", [False, True, 2024, 1e3])
@pytest.mark.parametrize("key", ["name", "benchmarks.chart.metric", "strategies.all.label", "prompts.text"])
def test_a_word_that_yaml_reads_as_something_else_is_told_to_stand_in_quotes(study_data, key, word):
    *parents, last = key.split(".")
    home = study_data
    for parent in parents:
        home = home.setdefault(parent, {})
    home[last] = word
    with pytest.raises(
        InputError, match=f"^study.yaml: {key}: .*found {word}: .* unless it stands in quotes$"
    ):
        study_from(study_data, "study.yaml")


@pytest.mark.parametrize("word", [False, True])
@pytest.mark.parametrize(
    "key",
    ["training.seed", "training.gpus", "training.beta", "evaluation.batch_size", "strategies.all.count"],
)
def test_a_truth_value_is_no_number(study_data, key, word):
    """Pydantic reads `gpus: yes` as 1."""
    *parents, last = key.split(".")
    home = study_data
    for parent in parents:
        home = home.setdefault(parent, {})
    home[last] = word
    with pytest.raises(InputError, match=f"^study.yaml: {key}: a truth value, not a number"):
        study_from(study_data, "study.yaml")


def test_a_truth_value_is_no_number_in_a_list(study_data):
    study_data["training"]["scored_steps"] = [True, 9]
    with pytest.raises(InputError, match=r"^study.yaml: training.scored_steps: a truth value, not a number"):
        study_from(study_data, "study.yaml")
