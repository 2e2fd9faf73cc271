"""Tables as others publish them: read as they mean it, or refused or doubted in a line; nothing goes wrong silently."""

import base64
import codecs
import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest

from modomodo.data.examples import Rejected
from modomodo.data.letters import lettered
from modomodo.data.readers import datasets
from modomodo.data.table.doubts import _ANNOUNCED
from modomodo.errors import InputError


def png(colour: str = "red", size: int = 40) -> bytes:
    file = io.BytesIO()
    PIL.Image.effect_noise((size, size), 50).convert("RGB").save(file, "PNG") if colour == "noise" else (
        PIL.Image.new("RGB", (size, 30), colour).save(file, "PNG")
    )
    return file.getvalue()


def table(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Any:
    """Rows as a parquet file, which keeps bytes and types; they are repeated, as a table has many."""
    path = folder / "t.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return datasets["table"](None, path=str(path), **options)


def found(folder: Path, row: dict[str, Any], **options: Any) -> tuple[dict[str, Any], list[Any]]:
    ((fields, images),) = table(folder, [row], **options)
    return fields, images


ASKED = {"question": "How many?", "answer": "3"}


# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "count"),
    [
        ({"picture": {"bytes": png(), "path": None}}, 1),
        ({"jpg": png()}, 1),
        ({"Figure_path": "1.PNG"}, 1),
        ({"image_list": [png(), png("blue")]}, 2),
        ({"scan": base64.b64encode(png("noise", 100)).decode()}, 1),
        ({"image_1": png(), "image_2": png("blue"), "image_10": png("green")}, 3),
        ({"image": png(), "image_2": png("blue")}, 2),
        ({"image": "images/1.jpg", "decoded_image": {"bytes": png(), "path": None}}, 1),
        ({"image": png(), "mask": png("white")}, 1),  # a known name goes before
        ({"note": "see 1.png for more"}, 0),
        ({"audio": {"bytes": b"RIFF\0\0\0\0WAVE", "path": "1.wav"}}, 0),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_columns_that_hold_images_are_images(tmp_path, cells, count) -> None:
    (tmp_path / "1.PNG").write_bytes(png())
    _, images = found(tmp_path, ASKED | cells)
    assert len(images) == count
    if "decoded_image" in cells:
        assert images == [png()]


def test_numbered_images_may_come_later(tmp_path) -> None:
    first, later = {"image_1": png(), "image_2": None}, {"image_1": png(), "image_2": png("blue")}
    rows = [ASKED | first] * 200 + [ASKED | later]
    assert [len(images) for _, images in table(tmp_path, rows)] == [1] * 200 + [2]


def test_images_of_several_names_have_to_be_named(tmp_path) -> None:
    row = ASKED | {"before": png(), "after": png("blue")}
    with pytest.raises(
        InputError, match=r"columns.image: before, after hold images: name those .* null for none"
    ):
        table(tmp_path, [row])
    assert len(found(tmp_path, row, columns={"image": ["before", "after"]})[1]) == 2
    assert found(tmp_path, row, columns={"image": None})[1] == []


def test_several_images_in_a_text_cell(tmp_path) -> None:
    image = base64.b64encode(png("noise", 100)).decode()  # VLMEvalKit's TSV
    assert len(found(tmp_path, ASKED | {"image": str([image, image])})[1]) == 2


def test_an_image_of_another_row(tmp_path) -> None:
    image = base64.b64encode(png("noise", 100)).decode()
    (tmp_path / "t.tsv").write_text(f"index\tquestion\tanswer\timage\n1\t?\t3\t{image}\n2\t?\t4\t1\n")
    _, rejected = datasets["table"](None, path=str(tmp_path / "t.tsv"))
    assert "'1' is no file; if it is the index of a row (VLMEvalKit), repeat" in rejected.reason


def test_a_missing_folder_of_recognised_images_may_be_text_alone(tmp_path) -> None:
    with pytest.raises(InputError, match=r"image_folder: none of the 1 images .* columns: \{image: null\}"):
        table(tmp_path, [ASKED | {"logo": "1.png"}])


# --- answers ------------------------------------------------------------------------------------------------


def reason(folder: Path, row: dict[str, Any], **options: Any) -> str:
    """Why a row is rejected, beside one that is not."""
    good = {"question": "?", "answer": "yes"}
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in (good, row)))
    _, rejected = datasets["table"](None, path=str(path), **options)
    assert isinstance(rejected, Rejected)
    return rejected.reason


CHOICE = {"question": "Which?", "choices": ["red", "blue", "green"]}


def test_more_options_than_letters(tmp_path) -> None:
    row = {"question": "Which?", "choices": [f"o{number}" for number in range(27)], "answer": "o3"}
    assert "choices: 27, more than there are letters" in reason(tmp_path, row)
    assert found(tmp_path, row, columns={"choices": None})[0]["answer"] == "o3"


def test_a_column_deep_in_a_cell(tmp_path) -> None:
    row = {"prompt": "Who?", "reward_model": {"ground_truth": {"target": ["A. B.", "Ada B."]}}}  # Search-R1
    fields, _ = found(tmp_path, row, columns={"answer": "reward_model.ground_truth.target"})
    assert fields["meta"]["answers"] == ["A. B.", "Ada B."]


@pytest.mark.parametrize("answer", [["A", "C"], ["red", "green"]])
def test_a_choice_of_several_options_is_no_choice_of_the_first(tmp_path, answer) -> None:
    assert "2 options answer, A, C: a choice has one" in reason(tmp_path, CHOICE | {"answer": answer})


@pytest.mark.parametrize(
    ("question", "choices", "listed"),
    [
        ("A triangle of 3, 4 and 5: which side is longest?", ["3", "4", "5"], False),
        ("Is there no cat, yes?", ["yes", "no"], False),
        ("Which?\n(A) red\n(B) blue", ["red", "blue"], True),
        ("Which? a: red, b: blue", ["red", "blue"], True),
        ("Which?\n**A.** Red\n**B.** Blue", ["red", "blue"], True),
        ("Which?\nA\uff0ered\nB\uff0eblue", ["red", "blue"], True),
    ],
)
def test_options_that_a_question_does_not_list_are_listed(tmp_path, question, choices, listed) -> None:
    fields, _ = found(tmp_path, {"question": question, "choices": choices, "answer": "A"})
    assert fields["question"] == (question if listed else f"{question}\n{lettered(choices)}")


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("option1", "option2", "option3"), "B"),
        (("opa", "opb", "opc"), "B"),
        (("Choice A", "Choice B", "Choice C"), "B"),
        (("sol1", "sol2"), "blue"),
    ],
)
def test_columns_of_options_of_any_name(tmp_path, names, answer) -> None:
    options = dict(zip(names, ["red", "blue", "green"], strict=False))
    fields, _ = found(tmp_path, {"question": "Which?"} | options | {"answer": answer})
    assert (fields["answer"], fields["choices"]) == ("B", list(options.values()))


@pytest.mark.parametrize(
    ("question", "doubted"),
    [("Which is red?", True), ("Which? (A) red (B) blue", False), ("Which?\nB: 3", False)],
)
def test_letters_without_options_are_a_doubt(tmp_path, question, doubted) -> None:
    warnings = "".join(table(tmp_path, [{"question": question, "answer": "(B)"}]).warnings)
    assert ("nor a column give the options" in warnings) == doubted


def test_positions_that_may_count_from_either_are_a_doubt(tmp_path) -> None:
    row = {"question": "Which?", "choices": ["a", "b", "c"]}
    said = "neither 0 nor the last position is among the first"
    assert said in "".join(table(tmp_path, [row | {"answer": 1}, row | {"answer": 2}]).warnings)
    assert not table(tmp_path, [row | {"answer": 0}, row | {"answer": 2}]).warnings


def test_several_spellings_of_one_option_are_one(tmp_path) -> None:
    assert found(tmp_path, CHOICE | {"answer": ["B", "blue"]})[0]["answer"] == "B"


@pytest.mark.parametrize(
    ("answer", "text"), [("C", "green"), ("(c)", "green"), ("C. green", "green"), ("A", "red")]
)
def test_an_empty_option_does_not_move_the_others(tmp_path, answer, text) -> None:
    gap = {"question": "Which?", "A": "red", "B": "", "C": "green", "D": "nan", "answer": answer}
    (fields, _), _ = table(tmp_path, [gap, gap | {"B": "blue"}])
    assert fields["choices"] == ["red", "green"]
    assert fields["choices"]["AB".index(fields["answer"])] == text
    assert "nan" not in fields["question"]


def test_the_letter_of_an_empty_option_is_no_answer(tmp_path) -> None:
    gap = {"question": "Which?", "A": "red", "B": "", "C": "green", "answer": "B"}
    rejected, (fields, _) = table(tmp_path, [gap, gap | {"B": "blue"}])
    assert "'B' is none of the 2 options" in rejected.reason
    assert fields["choices"] == ["red", "blue", "green"]


def test_an_option_may_come_later(tmp_path) -> None:
    row = {"question": "Which?", "A": "red", "B": "blue", "C": None, "answer": "B"}
    *_, (fields, _) = table(tmp_path, [row] * 200 + [row | {"C": "green", "answer": "C"}])
    assert (fields["answer"], fields["choices"]) == ("C", ["red", "blue", "green"])


@pytest.mark.parametrize("answer", [[12, 34], [0.5, 0.25, 1.0]])
def test_numbers_that_are_right_together_are_not_right_one_by_one(tmp_path, answer) -> None:
    assert f"a list of {len(answer)} numbers" in reason(tmp_path, {"question": "Where?", "answer": answer})


def test_a_number_that_is_none(tmp_path) -> None:
    assert "inf is no finite number" in reason(tmp_path, {"question": "?", "answer": float("inf")})


@pytest.mark.parametrize(
    ("cell", "column", "answers"),
    [
        ({"text": ["blue", "Blue"], "answer_start": [1, 1]}, "text", ["blue", "Blue"]),  # SQuAD
        (
            [{"answer": "red", "answer_id": 1}, {"answer": "dark red", "answer_id": 2}],
            "answer",
            ["red", "dark red"],
        ),
        ({"value": "Paris", "aliases": ["Paris", "Lutetia"]}, "aliases", ["Paris", "Lutetia"]),  # TriviaQA
    ],
)
def test_answers_inside_of_cells(tmp_path, cell, column, answers) -> None:
    with pytest.raises(
        InputError, match=r"found keys and values \(.*\), .* name one of them, as <column>\.\w+"
    ):
        table(tmp_path, [{"question": "?", "answer": cell}])
    fields, _ = found(tmp_path, {"question": "?", "answer": cell}, columns={"answer": f"answer.{column}"})
    assert fields["meta"]["answers"] == answers


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        (json.dumps([r"\frac{1}{2}"]), [r"\frac{1}{2}"]),  # Skywork-OR1
        ("['body butter', 'body-butter']", ["body butter", "body-butter"]),  # VizWiz in vero-rl
        (json.dumps([r"\boxed{2}", r"\boxed{3}"]), ["2", "3"]),
    ],
)
def test_a_text_that_lists_answers(tmp_path, capsys, cell, answers) -> None:
    row = {"question": "?", "answer": cell}
    fields, _ = found(tmp_path, row)
    assert fields.get("meta", {}).get("answers", [fields["answer"]]) == answers
    assert "are lists of accepted answers" in capsys.readouterr().out
    assert found(tmp_path, row, answer_pattern="")[0]["answer"] == cell
    for other in ("[1]", "['a' 'b']", "[]"):
        assert found(tmp_path, {"question": "?", "answer": other})[0]["answer"] == other


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("['a', 'b']", "50% of the first answers are lists of texts"),
        (
            '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]',
            "1 of the first 2 answers are boxes, the others are not",
        ),
    ],
)
def test_answers_of_several_kinds_are_a_doubt(tmp_path, cell, said) -> None:
    assert said in "".join(table(tmp_path, [ASKED, ASKED | {"answer": cell}]).warnings)


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ([0.1], pyarrow.float32(), "0.1"),
        ([2.0], pyarrow.float32(), "2"),
        ([[0.1]], pyarrow.list_(pyarrow.float32()), "0.1"),
        ([decimal.Decimal("12.50")], pyarrow.decimal128(10, 2), "12.50"),
        ([datetime.date(2024, 1, 2)], pyarrow.date32(), "2024-01-02"),
    ],
)
def test_answers_of_any_type_are_as_they_were_written(tmp_path, values, kind, text) -> None:
    columns = {"question": pyarrow.array(["?"]), "answer": pyarrow.array(values, kind)}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    ((fields, _),) = datasets["table"](None, path=str(tmp_path / "t.parquet"))
    assert fields["answer"] == text


# --- conversations ------------------------------------------------------------------------------------------


def test_an_answer_that_is_a_turn_of_its_own(tmp_path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "1 + 1?"}],
        "completion": [{"role": "assistant", "content": "2"}],
    }  # TRL's conversational prompt and completion
    fields, _ = found(tmp_path, row)
    assert (fields["question"], fields["answer"]) == ("1 + 1?", "2")


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": {"from": ["human", "gpt"], "value": ["1 + 1?", "2"]}},  # of datasets.Sequence
        {"texts": [{"user": "1 + 1?", "assistant": "2", "source": "x"}]},  # The Cauldron
    ],
)
def test_conversations_in_other_forms(tmp_path, row) -> None:
    fields, _ = found(tmp_path, row)
    assert (fields["question"], fields["answer"]) == ("1 + 1?", "2")


def test_a_conversation_of_another_name(tmp_path) -> None:
    (tmp_path / "1.png").write_bytes(png())
    content = [{"type": "image", "image": f"file://{tmp_path}/1.png"}, {"type": "text", "text": "How many?"}]
    row = {"message": json.dumps([{"role": "user", "content": content}]), "answer": "$3$"}  # LMM-R1
    fields, images = found(tmp_path, row)
    assert fields["question"] == "<image>How many?" and images == [tmp_path / "1.png"]


# --- doubts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ASKED | {"context": "Three men."}, "column 'context' is not shown to the model: template"),
        (ASKED | {"Hint": "Count."}, "column 'Hint' is not shown to the model: template"),
        (ASKED | {"videos": ["1.mp4"]}, "column 'videos' names videos or sounds, which are not shown"),
        (ASKED | {"answer": '{"func_name": "words", "N": 3}'}, "JSON with the keys func_name, N"),
        (ASKED | {"answer": "So it is. The answer is: 3"}, "100% of the first answers announce themselves"),
        (ASKED | {"context": ""}, None),
        (ASKED, None),
    ],
)
def test_what_may_be_wrong_is_said(tmp_path, row, said) -> None:
    warnings = "\n".join(table(tmp_path, [row]).warnings)
    assert said in warnings if said else not warnings
    if "context" in row:
        assert not table(tmp_path, [row], template="{{ context }} {{ question }}").warnings


def test_the_proposed_pattern_finds_an_announced_answer(tmp_path) -> None:
    pattern = r"(?i).*answer(?: is)?:? *([^\n]+)"
    for text, answer in (("An answer. The answer is: 3", "3"), ("Answer: B", "B"), ("the answer is 4", "4")):
        assert _ANNOUNCED.search(text)
        assert (
            found(tmp_path, {"question": "?", "answer": text}, answer_pattern=pattern)[0]["answer"] == answer
        )


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", codecs.BOM_UTF16_LE + "question\tanswer\r\nWie spät?\t3\r\n".encode("utf-16-le")),
        ("t.csv", "sep=;\r\nquestion;answer\r\nWie spät?;3\r\n".encode("utf-8-sig")),
        ("t.csv", "question,answer,,\nWie spät?,3,,\n".encode()),
        ("t.csv", "question,answer\rWie spät?,3\r".encode()),
        ("t.jsonl", codecs.BOM_UTF16_BE + '{"question": "Wie spät?", "answer": 3}\n'.encode("utf-16-be")),
    ],
    ids=["UTF-16", "sep=", "unnamed columns", "CR", "UTF-16 JSONL"],
)
def test_files_as_spreadsheets_write_them(tmp_path, name, data) -> None:
    (tmp_path / name).write_bytes(data)
    ((fields, _),) = datasets["table"](None, path=str(tmp_path / name))
    assert (fields["question"], fields["answer"]) == ("Wie spät?", "3")


def test_a_line_below_a_declared_delimiter_is_named(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\nquestion;answer\n1;1\n2;2;2\n")
    _, rejected = datasets["table"](None, path=str(tmp_path / "t.csv"))
    assert "3 cells, but the header has 2" in rejected.reason and "t.csv:4" in rejected.reason


@pytest.mark.parametrize("name", ["t.jsonl.zst", "t.csv.zst"])
def test_zstandard(tmp_path, name) -> None:
    text = "question,answer\nWhat?,3\n" if "csv" in name else '{"question": "What?", "answer": 3}\n'
    with pyarrow.CompressedOutputStream(str(tmp_path / name), "zstd") as file:
        file.write(text.encode())
    ((fields, _),) = datasets["table"](None, path=str(tmp_path / name))
    assert fields["answer"] == "3"
