"""`loader: table`: every form of a table, every spelling, and each mistake told in one line before anything runs."""

import base64
import bz2
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml

from modomodo.config.options import check_options
from modomodo.config.schema import Dataset
from modomodo.data.examples import Filtered, Rejected
from modomodo.data.readers import datasets
from modomodo.data.readers.published import watched_files
from modomodo.data.readers.table import _images_named_by
from modomodo.data.table.cells import PATTERNS, pattern_named
from modomodo.errors import InputError
from modomodo.study.checks import study_from

Q = "What is 2 + 2?"
Read = Callable[..., list[Any]]


def png(size: int = 40) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (size, 30), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Rows, or a text, written to a file and read as a table."""

    def read_table(content: Any, file: str = "t.jsonl", **options: Any) -> list[Any]:
        path = tmp_path / file
        if isinstance(content, list):
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        options = {"path": str(path)} | options
        check_options(datasets["table"], options, "options")
        return list(datasets["table"](None, **options))

    return read_table


def fields(rows: list[Any]) -> list[tuple[str, Any, str]]:
    return [(row[0]["question"], row[0]["answer"], row[0]["answer_type"]) for row in rows]


# --- forms of a table ---------------------------------------------------------------------------------------

ROWS = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(4)]
NUMBERS = [(f"{n} + 1?", str(n + 1), "number") for n in range(4)]


def write_table(name: str, folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path, lines = folder / name, "".join(json.dumps(row) + "\n" for row in ROWS)
    table = pyarrow.Table.from_pylist(ROWS)
    if name.endswith(".parquet"):
        pyarrow.parquet.write_table(table, path)
    elif name.endswith(".arrow"):
        with pyarrow.ipc.new_stream(path, table.schema) as file:
            file.write_table(table)
    elif name.endswith(".json"):
        path.write_text(json.dumps({"data": ROWS} if "data" in name else ROWS))
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines.encode()))
    elif name.endswith(".bz2"):
        path.write_bytes(bz2.compress(lines.encode()))
    else:
        sign = "\t" if name.endswith(".tsv") else ";" if "semicolon" in name else ","
        text = "".join(f"{row['question']}{sign}{row['answer']}\n" for row in ROWS)
        path.write_text(f"question{sign}answer\n{text}", encoding="utf-8-sig")


@pytest.mark.parametrize(
    "name",
    [
        "t.parquet",
        "t.arrow",
        "t.json",
        "data.json",
        "t.jsonl.gz",
        "t.jsonl.bz2",
        "t.csv",
        "semicolon.csv",
        "t.tsv",
    ],
)
def test_a_file_of_any_form(read, tmp_path, name) -> None:
    write_table(name, tmp_path)
    rows = read(None, name)
    assert fields(rows) == NUMBERS and [row[0]["id"] for row in rows][:2] == ["row-00000", "row-00001"]


def test_cells_of_a_csv_stay_as_they_are_written(read) -> None:
    rows = read('question,answer\n"Which, then?",None\nHow many?,007\nWhat?,NA\n', "t.csv")
    assert [row[0]["answer"] for row in rows] == ["None", "007", "NA"]


def test_a_pattern_of_files_is_read_in_order(read, tmp_path) -> None:
    for part in ("b", "a"):
        (tmp_path / f"part-{part}.jsonl").write_text(json.dumps({"question": part, "answer": part}))
    assert [row[0]["answer"] for row in read(None, path=str(tmp_path / "part-*.jsonl"))] == ["a", "b"]


def test_a_folder_with_splits_and_configurations(read, tmp_path) -> None:
    for name in ("main/train-0.jsonl", "main/test-0.jsonl", "other/train-0.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"question": Q, "answer": name}))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - {split: train, path: main/train-*}\n"
        "  - {split: test, path: main/test-*}\n- config_name: other\n  data_files: other/*\n---\n"
    )
    rows = read(None, path=str(tmp_path), name="main", split="test")
    assert [(row[0]["answer"], row[0]["id"]) for row in rows] == [("main/test-0.jsonl", "test-00000")]
    for options, message in (
        ({"name": "main"}, "options.split: missing: .* has the splits train, test"),
        ({"name": "main", "split": "tset"}, "options.split: .* has no 'tset': did you mean 'test'?"),
        ({}, r"options.name: .*Please pick one among the available configs: \['main', 'other'\]"),
    ):
        with pytest.raises(InputError, match=message):
            read(None, path=str(tmp_path), **options)


def test_what_save_to_disk_wrote(read, tmp_path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

    features = Features({"text": Value("string"), "image": Image(), "label": ClassLabel(names=["no", "yes"])})
    data = Dataset.from_dict(
        {"text": ["Is it?", "Was it?"], "image": [{"bytes": png()}] * 2, "label": [1, 0]}, features=features
    )
    data.save_to_disk(tmp_path / "one")
    DatasetDict(train=data, test=data.select([1])).save_to_disk(tmp_path / "two")
    options = {"columns": {"question": "text"}}
    rows = read(None, path=str(tmp_path / "one"), **options)
    assert (*rows[0][0].values(), rows[0][1]) == ("row-00000", "yes", "text", "Is it?", [png()])
    assert len(read(None, path=str(tmp_path / "two"), split="test", **options)) == 1
    with pytest.raises(InputError, match="options.split: missing: .* has the splits train, test"):
        read(None, path=str(tmp_path / "two"), **options)


def test_a_folder_of_images_by_the_names_of_its_folders(read, tmp_path) -> None:
    for name in ("train/cat/1.png", "train/dog/2.png", "test/dog/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png())
    rows = read(None, path=str(tmp_path), split="train", template="Which animal?")
    assert fields(rows) == [("Which animal?", "cat", "text"), ("Which animal?", "dog", "text")]
    assert [path.name for _, (path,) in rows] == ["1.png", "2.png"]


def test_a_folder_of_images_with_metadata(read, tmp_path) -> None:
    (tmp_path / "1.png").write_bytes(png())
    (tmp_path / "metadata.csv").write_text("file_name,question,answer\n1.png,Which colour?,red\n")
    rows = read(None, path=str(tmp_path))
    assert fields(rows) == [("Which colour?", "red", "text")]


def test_slices_count_rows_before_the_filter(read) -> None:
    def answers(**options: Any) -> list[str]:
        return [row[0]["answer"] for row in read(ROWS, **options) if isinstance(row, tuple)]

    assert answers(slice=":75%") == ["1", "2", "3"] and answers(slice="75%:") == ["4"]
    assert answers(slice="-1:") == ["4"] and answers(slice="1:3") == ["2", "3"]
    assert answers(slice=":75%", filter="answer | int > 1") == ["2", "3"]
    assert sum(isinstance(row, Filtered) for row in read(ROWS, filter="answer | int > 1")) == 1
    with pytest.raises(InputError, match="options.slice: 'half': expected rows from and to"):
        answers(slice="half")


def test_a_row_that_cannot_be_read_costs_no_other(read) -> None:
    rows = read('{"question": "a", "answer": "b"}\n{"question": \n[1]\n{"question": "c", "answer": "d"}\n')
    assert [isinstance(row, Rejected) for row in rows] == [False, True, True, False]
    assert "not valid JSON" in rows[1].reason and rows[1].reason.endswith("t.jsonl:2)")
    (bad,) = [row for row in read("question,answer\na,b\nc\n", "t.csv") if isinstance(row, Rejected)]
    assert bad.reason.startswith("1 cells, but the header has 2")


# --- spellings ----------------------------------------------------------------------------------------------

TURNS = [
    {"role": "system", "content": "Think."},
    {"role": "user", "content": Q},
    {"role": "assistant", "content": "4"},
]
SPELLINGS: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "open-r1": ({"problem": Q, "solution": "so $\\boxed{\\frac{1}{2}}$."}, (Q, "\\frac{1}{2}", "text")),
    "r1-v": ({"problem": Q, "solution": "<answer> 4 </answer>", "image": None}, (Q, "4", "number")),
    "boxed in tags": ({"problem": Q, "solution": "<think>x</think><answer>\\boxed{4}</answer>"}, (Q, "4", "number")),
    "easy-r1": ({"problem": f"<image>{Q}", "answer": "4", "images": ["a.png"]}, (f"<image>{Q}", "4", "number")),
    "vlm-r1": (
        {"id": 1, "image": "a.png", "conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": "B"}]},
        (Q, "B", "text"),
    ),
    "ms-swift": ({"messages": TURNS, "images": []}, (Q, "4", "number")),
    "ms-swift's solution": ({"messages": TURNS[:2], "solution": "5"}, (Q, "5", "number")),
    "ms-swift's query": ({"query": Q, "response": "four"}, (Q, "four", "text")),
    "ms-swift's sharegpt": ({"conversation": [{"human": Q, "assistant": "four"}]}, (Q, "four", "text")),
    "verl": ({"prompt": TURNS[1:2], "reward_model": {"ground_truth": ["72"]}}, (Q, "72", "number")),
    "a conversation beside the question": ({"problem": Q, "answer": "4", "messages": TURNS * 2}, (Q, "4", "number")),
    "a conversation as JSON": ({"messages": json.dumps(TURNS)}, (Q, "4", "number")),
    "trl": ({"prompt": Q, "solution": "4"}, (Q, "4", "number")),
    "alpaca": ({"instruction": Q, "input": "In words.", "output": "four"}, (f"{Q}\nIn words.", "four", "text")),
    "gsm8k": ({"question": Q, "answer": "Two.\n#### 1,234"}, (Q, "1234", "number")),
    "arc": (
        {"question": Q, "choices": {"text": ["three", "four"], "label": ["1", "2"]}, "answerKey": "2"},
        (f"{Q}\nA. three\nB. four", "B", "choice"),
    ),
    "mmlu": ({"question": Q, "choices": ["three", "four"], "answer": 1}, (f"{Q}\nA. three\nB. four", "B", "choice")),
    "mmbench": ({"question": Q, "A": "3", "B": "4", "C": "", "answer": "B"}, (f"{Q}\nA. 3\nB. 4", "B", "choice")),
    "aqua": ({"question": Q, "options": ["A)3", "B)4"], "answer": "4"}, (f"{Q}\nA. 3\nB. 4", "B", "choice")),
    "blocks": (
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image", "image": "a.png"}]}], "answer": "x"},
        ("See<image>", "x", "text"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_spellings_of_others_are_recognised_and_said(read, tmp_path, capsys, name) -> None:
    (tmp_path / "a.png").write_bytes(png())
    row, expected = SPELLINGS[name]
    rows = read([row])
    assert fields(rows) == [expected]
    said = capsys.readouterr().out
    assert "columns recognised: question: " in said
    assert ("system turns are left out" in said) == (
        "system" in json.dumps(row) and "question: messages" in said
    )
    shown = "a.png" in json.dumps(row)
    assert rows[0][1] == ([tmp_path / "a.png"] if shown else [])


def test_boxes_of_ms_swift_name_their_convention(read) -> None:
    objects = {"ref": ["cat"], "bbox": [[0.1, 0.2, 0.3, 0.4]], "bbox_type": "norm1"}
    turns = [
        {"role": "user", "content": "<image>Find <ref-object>"},
        {"role": "assistant", "content": "<bbox>"},
    ]
    ((found, _),) = read(
        [{"messages": turns, "images": [{"bytes": None, "path": __file__}], "objects": objects}]
    )
    assert (found["question"], found["answer"]) == ("<image>Find cat", [[0.1, 0.2, 0.3, 0.4]])
    assert (found["answer_type"], found["meta"]) == ("box", {"boxes": "0-1"})


@pytest.mark.parametrize(
    ("cell", "form", "expected"),
    [
        ([10, 20, 30, 40], "pixels", [10, 20, 30, 40]),
        ([10, 20, 30, 40], "pixels xywh", [10, 20, 40, 60]),
        ([[0.5, 0.25, 0.5, 0.5]], "xywh 0-1", [0.5, 0.25, 1.0, 0.75]),
        ({"xmin": 1, "ymin": 2, "xmax": 300, "ymax": 400}, "0-1000", [1, 2, 300, 400]),
        ([{"bbox_2d": [1, 2, 3, 4], "label": "cat"}], "0-1000", [1, 2, 3, 4]),
        ("<answer>[{'Position': [1, 2, 3, 4], 'Confidence': 1}]</answer>", "0-1000", [1, 2, 3, 4]),
        ("[1, 2, 3, 4]", "0-1000", [1, 2, 3, 4]),
    ],
)
def test_boxes_are_read_in_their_own_units(read, cell, form, expected) -> None:
    ((found, _),) = read([{"problem": "Where?", "solution": cell}], box_format=form)
    assert found["answer"] == [expected]
    assert found["meta"] == {"boxes": next(unit for unit in ("0-1000", "0-1", "pixels") if unit in form)}


@pytest.mark.parametrize(
    "kind", ["path", "bytes", "bytes in a mapping", "path in a mapping", "base64", "data"]
)
def test_an_image_in_any_form(read, tmp_path, kind) -> None:
    import pyarrow
    import pyarrow.parquet

    data = png(200)
    (tmp_path / "a.png").write_bytes(data)
    cell: Any = {
        "path": "a.png",
        "bytes": data,
        "bytes in a mapping": {"bytes": data, "path": None},
        "path in a mapping": {"bytes": None, "path": "a.png"},
        "base64": base64.b64encode(data).decode(),
        "data": f"data:image/png;base64,{base64.b64encode(data).decode()}",
    }[kind]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"question": Q, "answer": "4", "image": cell}]), tmp_path / "t.parquet"
    )
    (_, (image,)) = read(None, "t.parquet")[0]
    assert (image.read_bytes() if isinstance(image, Path) else image) == data


def test_several_answers_are_kept(read) -> None:
    ((found, _),) = read([{"question": Q, "answers": ["four", "4", "four"]}])
    assert (found["answer"], found["meta"]) == ("four", {"answers": ["four", "4"]})


# --- a study's own words ------------------------------------------------------------------------------------


def test_a_template_a_filter_and_columns_by_name(read) -> None:
    rows = [
        {"Question text": "How many?", "n": 3, "unit": "km"},
        {"Question text": "How far?", "n": 4.0, "unit": ""},
    ]
    template = '{{ row["Question text"] }}{% if unit %} In {{ unit }}.{% endif %}'
    found = read(rows, template=template, columns={"answer": "n"}, filter="n >= 3")
    assert fields(found) == [("How many? In km.", "3", "number"), ("How far?", "4", "number")]


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("#### 42", "so\n#### 42", "42"),
        ("####", "#### 1,000,000", "1000000"),
        ("<answer>B</answer>", "<answer>A</answer> no, <answer> B </answer>", "B"),
        ("\\boxed{}", "\\boxed{x^{\\{2\\}}} and \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{}", "\\boxed{never closed", None),
        ("\boxed{}", "\\boxed{B}", "B"),  # between YAML's double quotes, a backspace
        (r"Answer: (\w)", "Answer: A. Answer: B", "B"),
    ],
)  # fmt: skip
def test_answer_patterns(pattern, text, found) -> None:
    assert pattern_named(pattern)(text) == found


def test_a_whole_cell_is_the_answer_where_the_study_says_so(read) -> None:
    ((found, _),) = read([{"question": Q, "answer": "#### 4"}], answer_pattern="")
    assert found["answer"] == "#### 4" and set(PATTERNS) == {"####", "<answer>", "\\boxed{}"}


def warnings_of(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "\n".join(datasets["table"](None, path=str(path)).warnings)


def test_a_pattern_that_only_some_answers_hold_is_a_warning_and_not_applied(tmp_path) -> None:
    rows = [{"question": Q, "answer": "#### 4"}, {"question": Q, "answer": "five"}]
    assert "t.jsonl: 50% of the first answers hold '####'" in warnings_of(tmp_path / "t.jsonl", rows)


def test_mixed_and_empty_answers_are_warnings(read, tmp_path) -> None:
    given = [{"question": Q, "answer": value} for value in ("four", 4, None, {"a": 1})]
    said = warnings_of(tmp_path / "t.jsonl", given)
    assert "t.jsonl: column 'answer' mixes 1 texts, 1 numbers, 1 mappings" in said
    assert "t.jsonl: 1 of the first 4 rows have no answer" in said
    rows = read(given)
    assert [isinstance(row, Rejected) for row in rows] == [False, False, True, True]


def test_solutions_without_a_pattern_are_a_warning(tmp_path) -> None:
    rows = [{"question": Q, "answer": "First add. " * 40 + "It is 4."}]
    assert "It is 4.': name answer_pattern where" in warnings_of(tmp_path / "t.jsonl", rows)


def test_several_columns_of_answers_are_all_accepted(read) -> None:
    rows = read(
        [{"question": Q, "a": "4", "b": "four"}, {"question": Q, "a": "4", "b": ""}],
        columns={"answer": ["a", "b"]},
    )
    assert [row[0].get("meta") for row in rows] == [{"answers": ["4", "four"]}, None]


def test_numbers_that_answer_are_positions_or_texts(read, capsys) -> None:
    one_based = [{"question": Q, "choices": ["a", "b"], "answer": n} for n in (1, 2)]
    assert [row[0]["answer"] for row in read(one_based)] == ["A", "B"]
    assert "positions from 1" in capsys.readouterr().out
    texts = [{"question": Q, "choices": ["10", "20"], "answer": 20}]
    assert read(texts)[0][0]["answer"] == "B"


# --- mistakes -----------------------------------------------------------------------------------------------

PLAIN = [{"question": Q, "answer": "four", "image": ""}]
MISTAKES: list[tuple[list[dict[str, Any]] | str, dict[str, Any], str]] = [
    (PLAIN, {"columns": {"question": "qestion"}}, "options.columns.question: no column 'qestion': did you mean 'question'?"),
    (PLAIN, {"columns": {"qestion": "question"}}, "options.columns: input should be .*, found 'qestion': did you mean 'question'?"),
    (PLAIN, {"columns": {"id": ["question", "answer"]}}, "options.columns.id: 2 columns, one expected"),
    (PLAIN, {"columns": {"answer": "image"}}, "options.columns.answer: column 'image' is empty in the first 1 rows"),
    ([{"question": Q, "answer": ""}], {}, "options.columns.answer: column 'answer' is empty in the first 1 rows"),
    ([{"text": Q, "label": "x"}], {}, "options.columns.question: missing: none of the columns text, label is known as one"),
    ([{"question": Q, "x": "y"}], {}, "options.columns.answer: missing: none of the columns question, x is known as one"),
    (PLAIN, {"answer_pattern": "####"}, r"options.answer_pattern: '####' fits none of the first 1 answers \(0%\): 'four'"),
    (PLAIN, {"answer_pattern": "(a)(b)"}, "options.answer_pattern: .* needs one group"),
    (PLAIN, {"answer_pattern": "(a"}, "options.answer_pattern: '\\(a' is no regular expression"),
    (PLAIN, {"template": "{{ qestion }}"}, "options.template: no column 'qestion': did you mean 'question'?"),
    (PLAIN, {"template": "{{ question"}, "options.template: line 1: unexpected end of template"),
    (PLAIN, {"template": "{{ question / 2 }}"}, "all of the first 1 rows are rejected: template: unsupported operand"),
    (PLAIN, {"template": "{{ question.__class__.__mro__ }}"}, "template: access to attribute '__class__'"),
    (PLAIN, {"filter": "lenght > 3"}, "options.filter: no column 'lenght'"),
    (PLAIN, {"filter": "answer >"}, "options.filter: line 1: "),
    (PLAIN, {"box_format": "pixel"}, r"options.box_format: unknown 'pixel': did you mean 'pixels'\?"),
    (PLAIN, {"answer_type": "choice"}, "options.answer_type: choice needs columns.choices"),
    (PLAIN, {"split": "train"}, "options.split: .* is one file without splits"),
    ([{"question": Q, "answer": "x", "choices": ["a", "b"]}], {}, "all of the first 1 rows are rejected: answer: 'x' is none of the 2 options"),
    ([{"question": Q, "answer": 1, "choices": ["1", "2"]}], {}, "options.columns.answer: '1' may be the option '1' or its position"),
    ([{"question": Q, "bbox": [1, 2, 3, 4]}], {}, r"options.box_format: missing: \[1.0, 2.0, 3.0, 4.0\] do not say their units"),
    ([{"question": Q, "bbox": [0.1, 0.2, 0.3, 0.4]}], {}, "these fit 0-1"),
    ([{"question": Q, "bbox": [0.1, 0.2, 0.3, 0.4]}], {"box_format": "pixels"}, "options.box_format: pixels, but the first boxes fit 0-1"),
    ([{"question": Q, "answer": "x"}], {"columns": {"box": "answer"}, "box_format": "0-1"}, "options.columns.box: 'answer' holds no box in the first 1 rows: x"),
    ([{"question": Q, "answer": "x", "image": "gone.png"}], {}, "options.image_folder: none of the 1 images of the first rows is there, e.g. .*gone.png"),
    ([{"question": Q, "answer": "x", "image": "https://a.b/c.png"}], {}, "image: https://a.b/c.png is an address"),
    ([{"messages": [*TURNS, *TURNS]}], {}, "messages: 2 turns of the user, one expected"),
    ("", {}, "no row can be read"),
    ("{'question': 1}\n", {}, "no row can be read: .*t.jsonl:1: not valid JSON"),
    ("question,question\n1,2\n", {"path": "t.csv"}, "two columns 'question'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "options", "message"), MISTAKES, ids=[message[:60] for *_, message in MISTAKES]
)
def test_a_mistake_is_told_when_the_table_is_called(
    read, tmp_path, monkeypatch, content, options, message
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        read(
            content,
            options.get("path", "t.jsonl"),
            **{key: value for key, value in options.items() if key != "path"},
        )
    assert "\n" not in str(raised.value)


# --- in a study ---------------------------------------------------------------------------------------------


def test_a_study_reads_the_table_beside_it_and_says_what_is_wrong(study_data, tmp_path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/t.jsonl").write_text(json.dumps(ROWS[0]))
    where = str(tmp_path / "own/study.yaml")
    Path(where).touch()
    study_data["domains"]["science"] = {"loader": "table", "options": {"path": "t.jsonl"}}
    study = study_from(study_data, where)
    assert Path(study.domains["science"].options["path"]).resolve() == tmp_path / "own/t.jsonl"
    for entry, message in (
        ({"options": {"path": "t.jsonl", "columns": {"answer": "anser"}}}, "domains.science.options.columns.answer: no column 'anser'"),
        ({"options": {"path": "u.jsonl"}}, "domains.science.options.path: .*u.jsonl: no such file or folder"),
        ({"options": {"path": "openai/gsm8k"}}, "no such file or folder .* source: {repo: owner/name, revision: …}"),
        ({"options": {}}, "domains.science.options.path: missing: a file or folder of yours; or name a repository"),
        ({"options": {"path": "t.jsonl"}, "source": {"repo": "a/b", "revision": "main"}}, "domains.science.options.path: the rows are those of domains.science.source"),
        ({"source": {"revision": "main"}}, "domains.science.source.repo: missing"),
        ({"source": {"repo": "https://huggingface.co/datasets/openai/gsm8k/viewer", "revision": "main"}}, "source.repo: an address: write its name alone, openai/gsm8k"),
        ({"source": {"repo": "a/b", "revision": "refs/convert/parquet"}}, "source.revision: 'refs/convert/parquet' is made anew by the hub"),
    ):  # fmt: skip
        study_data["domains"]["science"] = {"loader": "table", **entry}
        with pytest.raises(InputError, match=message):
            study_from(study_data, where)


def test_what_a_table_is_made_from_is_watched(read, tmp_path) -> None:
    """The table itself, files that a pattern fits, and the images that rows name: an edit makes the examples again."""
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png())
        row = {"question": Q, "answer": "x", "image": f"{number}.png"}
        (tmp_path / f"part-{number}.jsonl").write_text(json.dumps(row))
    (tmp_path / "unused.png").write_bytes(png())
    dataset = Dataset(loader="table", options={"path": str(tmp_path / "part-*.jsonl")})
    names = [Path(path).name for path in watched_files(dataset)]
    assert names == [*(f"part-{n}.jsonl" for n in range(3)), *(f"{n}.png" for n in range(3))]
    _images_named_by.cache_clear()
    (tmp_path / "1.png").unlink()  # whose row will be rejected: no reason for the job not to start
    assert "1.png" not in [Path(path).name for path in watched_files(dataset)]
    broken = Dataset(loader="table", options={"path": str(tmp_path / "part-0.jsonl"), "filter": "no ("})
    assert [Path(path).name for path in watched_files(broken)] == ["part-0.jsonl"]


# --- peek ---------------------------------------------------------------------------------------------------


@pytest.fixture
def peek(monkeypatch, capsys) -> Callable[..., str]:
    """scripts/peek.py in this process: what it prints."""
    import runpy
    import sys

    script = runpy.run_path(str(Path(__file__).parents[2] / "scripts/peek.py"))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["peek.py", *arguments])
        script["main"]()
        return capsys.readouterr().out

    return run


def test_peek_proposes_an_entry_that_reads_the_table(peek, tmp_path, study_data) -> None:
    (tmp_path / "a.png").write_bytes(png())
    rows = [
        {"problem": f"<image>Which colour, {n}?", "solution": answer, "image": image}
        for n, (answer, image) in enumerate(
            [("<answer>red</answer>", "a.png")] * 30
            + [("", "a.png")]
            + [("<answer>red</answer>", "gone.png")] * 2
        )
    ]
    path = tmp_path / "own colours.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = peek(str(path))
    entry = yaml.safe_load(out.partition("under domains of a study:")[2].partition("---")[0])
    assert list(entry) == ["own_colours"]
    assert entry["own_colours"]["options"]["columns"] == {
        "question": "problem",
        "answer": "solution",
        "image": "image",
    }
    study_data["domains"] |= entry
    assert "own_colours" in study_from(study_data, "study.yaml").domains
    assert (
        "--- row-00000, text: red\n[image 40 x 30]\nWhich colour, 0?\nOutput the thinking process in <think>"
        in out
    )
    assert out.count("--- row-") == 3
    assert "of the first 33 rows 30 are kept, 0 filtered, rejected:\n  2 x image: " in out
    assert "  1 x answer: empty" in out


def test_peek_shows_the_columns_of_a_table_that_it_cannot_read_yet(peek, tmp_path, capsys) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"what": Q, "then": 4, "picture": {"bytes": None, "path": "a.png"}}))
    with pytest.raises(InputError, match="options.columns.question: missing: none of the columns what, then"):
        peek(str(path))
    assert (
        "columns:\n  what: str What is 2 + 2?\n  then: int 4\n  picture: dict {'bytes': None"
        in capsys.readouterr().out
    )
    assert "number: 4" in peek(
        str(path), "--options", "{columns: {question: what, answer: then, image: null}}"
    )
    with pytest.raises(InputError, match=r"--options.colums: unknown option: did you mean 'columns'\?"):
        peek(str(path), "--options", "{colums: {}}")


@pytest.mark.parametrize(
    ("row", "rewards"),
    [
        ({"question": Q, "answer": 4}, ["number", "format"]),
        ({"problem": Q, "solution": "\\boxed{\\frac{1}{2}}"}, ["math", "format"]),
        ({"question": Q, "choices": ["a", "b"], "answer": "B"}, ["choice", "format"]),
        ({"question": Q, "answer": "blue"}, ["exact_match_normalised", "format"]),
    ],
)
def test_peek_proposes_rewards_that_fit_the_answers(peek, tmp_path, study_data, row, rewards) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row))
    entry = yaml.safe_load(peek(str(path)).partition("under domains of a study:")[2].partition("---")[0])
    assert entry["t"]["rewards"] == rewards
    study_data["domains"] |= entry
    assert study_from(study_data, "study.yaml").domains["t"].rewards
