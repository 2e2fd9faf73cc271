"""The example row: what is valid, what is rejected, and what stops the run."""

import io
import json
import math
import os

import numpy as np
import PIL.Image
import pytest
from pydantic import ValidationError

from modomodo.config.loading import explain
from modomodo.config.schema import Dataset, Templates
from modomodo.data.examples import (
    Example,
    check_image,
    image_cluster,
    image_paths,
    read_examples,
    read_ids,
    rejected_path,
    write_examples,
)
from modomodo.errors import InputError
from modomodo.files import read_jsonl, write_jsonl

BOX = {"answer_type": "box", "answer": [[0, 0, 500, 1000]], "meta": {"boxes": "0-1000"}}


def settings(**keys) -> Dataset:
    """A dataset's settings as a study gives them; its rows are handed over here."""
    return Dataset(loader="handed_over", **keys)


def rejected_rows(path):
    return [row for _, row in read_jsonl(rejected_path(path))]


# --- the row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"answer": "-3.5e2"},
        {"answer_type": "text", "answer": "a dog"},
        {"answer_type": "choice", "answer": "B", "choices": ["one", "two"]},
        BOX,
        {**BOX, "answer": [[0, 0, 0.5, 1], [10, 20, 30, 40]]},
        {"meta": {"anything": [1, {"else": None}]}},
    ],
)
def test_valid_rows(example_fields, changes):
    row = Example.model_validate(example_fields(image="a.png", **changes))
    assert Example.model_validate(row.model_dump(mode="json")) == row


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": ""}, "id: "),
        ({"id": 1}, "id: "),
        ({"question": ""}, "question: "),
        ({"image": 1}, "image: "),
        ({"image": "", "meta": {"images": ["b.png"]}}, "image: the first one is missing"),
        ({**BOX, "image": ""}, "image: a box answer needs one"),
        ({"dataset": ""}, "dataset: "),
        ({"answer_type": "words"}, "answer_type: "),
        ({"extra": 1}, "extra: "),
        ({"answer": ""}, "answer: a number answer is a non-empty text"),
        ({"answer": "  \n"}, "answer: a number answer is a non-empty text"),
        ({"answer_type": "text", "answer": " "}, "answer: a text answer is a non-empty text"),
        ({"answer": [[0, 0, 1, 1]]}, "answer: a number answer is a non-empty text"),
        ({"answer": 3}, "answer"),
        (
            {"answer_type": "choice", "answer": "C", "choices": ["one", "two"]},
            "'C' is not the letter of one of 2 ",
        ),
        (
            {"answer_type": "choice", "answer": "b", "choices": ["one", "two"]},
            "'b' is not the letter of one of 2 ",
        ),
        ({"answer_type": "choice", "answer": "A"}, "'A' is not the letter of one of 0 choices"),
        ({**BOX, "answer": "[0, 0, 1, 1]"}, "answer: a box answer is a list of [x1, y1, x2, y2]"),
        ({**BOX, "answer": []}, "answer: no box"),
        ({**BOX, "answer": [[0, 0, 1]]}, "answer"),
        ({**BOX, "answer": [0, 0, 1, 1]}, "answer"),
        ({**BOX, "answer": [[5, 0, 5, 1]]}, "box [5, 0, 5, 1] has no area"),
        ({**BOX, "answer": [[0, 3, 5, 1]]}, "box [0, 3, 5, 1] has no area"),
        ({**BOX, "answer": [[0, 0, 5, 5], [9, 0, 5, 1]]}, "box [9, 0, 5, 1] has no area"),
        ({**BOX, "answer": [[0, 0, math.nan, 1]]}, "answer"),
        (
            {**BOX, "answer": [[0, 0, math.inf, 1]]},
            "answer",
        ),
        ({**BOX, "meta": {"boxes": "0-100"}}, "meta: boxes: unknown convention '0-100': known: 0-1, 0-999"),
        ({**BOX, "meta": {"boxes": "0-1"}}, "box [0, 0, 500, 1000] lies outside the image"),
        ({**BOX, "meta": {}}, "meta: 'boxes' must name the coordinate convention"),
    ],
)
def test_invalid_rows_name_the_field(example_fields, changes, problem):
    with pytest.raises(ValidationError) as error:
        Example.model_validate({**example_fields(image="a.png"), **changes})
    assert problem in explain(error.value, Example)


@pytest.mark.parametrize("field", ["id", "dataset", "image", "question", "answer", "answer_type"])
def test_missing_fields(example_fields, field):
    fields = example_fields(image="a.png")
    del fields[field]
    with pytest.raises(ValidationError) as error:
        Example.model_validate(fields)
    assert explain(error.value, Example).startswith(f"{field}: ")


# --- writing ------------------------------------------------------------------------------------------------


def test_examples_are_written_and_read_back(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    rows = [
        (example_fields(id="1", meta={"level": 2}), drawn_image(1)),
        (example_fields(id="2", **BOX), drawn_image(2)),
    ]
    assert write_examples("science", rows, path, dataset=settings()) == {"kept": 2, "rejected": 0}
    one, two = read_examples(path)
    assert (one.id, one.dataset, one.answer, one.meta) == ("1", "science", "3", {"level": 2})
    assert two.answer == [(0, 0, 500, 1000)]
    with PIL.Image.open(tmp_path / one.image) as image:
        assert image.tobytes() == drawn_image(1).tobytes()
    assert path.with_name("science.rejected.jsonl").read_text() == ""


def test_the_dataset_is_named_by_the_study(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science_test.jsonl"
    write_examples(
        "science_test", [(example_fields(dataset="elsewhere"), drawn_image())], path, dataset=settings()
    )
    assert next(read_examples(path)).dataset == "science_test"


def test_equal_images_are_kept_once_under_their_digest(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    rows = [(example_fields(id=str(i)), drawn_image(shade)) for i, shade in enumerate([1, 2, 1, 1])]
    write_examples("science", rows, path, dataset=settings())
    images = [example.image for example in read_examples(path)]
    assert images[0] == images[2] == images[3] != images[1]
    assert sorted(os.listdir(tmp_path / "images" / "science")) == sorted(
        {image.rpartition("/")[2] for image in images}
    )
    assert all(image.startswith("images/science/") and image.endswith(".png") for image in images)


def test_the_same_rows_twice_give_the_same_bytes(tmp_path, example_fields, drawn_image):
    def bytes_of(folder):
        rows = [(example_fields(id=str(i), answer=str(i % 4)), drawn_image(i)) for i in range(5)]
        rows.append((example_fields(id="0"), drawn_image()))
        write_examples("science", rows, folder / "science.jsonl", dataset=settings(max_rejected=1))
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    first = bytes_of(tmp_path / "first")
    assert len(first) == 7  # examples, rejected rows and five images
    assert bytes_of(tmp_path / "second") == first
    assert bytes_of(tmp_path / "first") == first, "written over itself"


def test_rows_that_fail_are_rejected_with_line_and_reason(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    rows = [
        (example_fields(id="1"), drawn_image(1)),
        (example_fields(id="2", answer=" "), drawn_image(2)),
        (example_fields(id="3", **{**BOX, "answer": [[5, 0, 5, 1]]}), drawn_image(3)),
        (example_fields(id="4"), drawn_image(4)),
    ]
    assert write_examples("science", rows, path, dataset=settings(max_rejected=0.5)) == {
        "kept": 2,
        "rejected": 2,
    }
    assert [example.id for example in read_examples(path)] == ["1", "4"]
    assert rejected_rows(path) == [
        {"line": 2, "reason": "answer: a number answer is a non-empty text", "id": "2"},
        {"line": 3, "reason": "answer: box [5, 0, 5, 1] has no area", "id": "3"},
    ]
    assert len(os.listdir(tmp_path / "images" / "science")) == 2, "no image of a row that fails"


def test_a_second_row_of_one_id_is_rejected(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    rows = [(example_fields(id="1", answer=answer), drawn_image()) for answer in "123"]
    write_examples("science", rows, path, dataset=settings(max_rejected=1))
    assert [example.answer for example in read_examples(path)] == ["1"]
    assert [(row["line"], row["reason"]) for row in rejected_rows(path)] == [
        (2, "id: '1' is used by an earlier row"),
        (3, "id: '1' is used by an earlier row"),
    ]


def test_a_row_without_an_id_is_rejected(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    nameless = example_fields()
    del nameless["id"]
    write_examples(
        "science",
        [(example_fields(), drawn_image()), (nameless, drawn_image())],
        path,
        dataset=settings(max_rejected=1),
    )
    assert rejected_rows(path)[0]["reason"].startswith("id: ")


def damaged_png(drawn_image) -> bytes:
    """An image of several data chunks, the second of which has no valid name."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    first = data.index(b"IDAT")
    second = data.index(b"IDAT", first + 4)
    data[second : second + 4] = b"\x00\x01\x02\x03"
    return bytes(data)


def truncated_png(drawn_image) -> bytes:
    buffer = io.BytesIO()
    drawn_image(7, size=64).save(buffer, "PNG")
    return buffer.getvalue()[:-40]


@pytest.mark.parametrize(
    "damage",
    [
        truncated_png,
        damaged_png,
    ],
)
def test_a_image_that_cannot_be_decoded_is_rejected(tmp_path, example_fields, drawn_image, damage):
    path = tmp_path / "science.jsonl"
    # Opened but not yet decoded, as a dataset's module hands it out.
    broken = PIL.Image.open(io.BytesIO(damage(drawn_image)))
    rows = [(example_fields(id="1"), drawn_image()), (example_fields(id="2"), broken)]
    assert write_examples("science", rows, path, dataset=settings(max_rejected=1)) == {
        "kept": 1,
        "rejected": 1,
    }
    assert rejected_rows(path)[0]["id"] == "2"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "2"}, "found dict, expected (fields, image)"),
        (None, "found NoneType, expected (fields, image)"),
        (({"id": "2"}, "a.png", "b.png"), "found tuple, expected (fields, image)"),
    ],
)
def test_what_is_no_row_is_rejected(tmp_path, example_fields, drawn_image, row, reason):
    path = tmp_path / "science.jsonl"
    rows = [(example_fields(id="1"), drawn_image()), row]
    write_examples("science", rows, path, dataset=settings(max_rejected=1))
    (rejected,) = rejected_rows(path)
    assert (rejected["line"], rejected["id"]) == (2, "row 2") and reason in rejected["reason"]


@pytest.mark.parametrize("value", [np.int64(3), b"\xff"], ids=["numpy", "bytes"])
def test_a_row_that_json_cannot_hold_is_rejected(tmp_path, example_fields, drawn_image, value):
    # Tables read with pandas hold such values.
    path = tmp_path / "science.jsonl"
    rows = [
        (example_fields(id="1"), drawn_image()),
        (example_fields(id="2", meta={"hint": value}), drawn_image()),
    ]
    assert write_examples("science", rows, path, dataset=settings(max_rejected=1)) == {
        "kept": 1,
        "rejected": 1,
    }
    assert rejected_rows(path)[0]["line"] == 2


def test_an_unknown_number_of_a_table_is_null(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    write_examples(
        "science", [(example_fields(meta={"hint": math.nan}), drawn_image())], path, dataset=settings()
    )
    assert next(read_examples(path)).meta == {"hint": None}


def test_the_share_that_may_fail_is_kept_to(tmp_path, example_fields, drawn_image):
    def rows(bad):
        return [(example_fields(id=str(i), answer=" " if i < bad else "3"), drawn_image()) for i in range(10)]

    path = tmp_path / "science.jsonl"
    assert write_examples("science", rows(2), path, dataset=settings(max_rejected=0.2)) == {
        "kept": 8,
        "rejected": 2,
    }
    with pytest.raises(InputError) as error:
        write_examples("science", rows(3), path, dataset=settings(max_rejected=0.2))
    text = str(error.value)
    assert "3 of 10 rows of 'science' failed (answer: a number answer is a non-empty text)" in text
    assert "max_rejected allows (20.0%)" in text
    assert str(rejected_path(path)) in text
    assert len(rejected_rows(path)) == 3, "the rows are there to look at"


@pytest.mark.parametrize("bad", [0, 2])
def test_a_dataset_without_a_valid_row_is_reported(tmp_path, example_fields, drawn_image, bad):
    rows = [(example_fields(id=str(i), answer=" "), drawn_image()) for i in range(bad)]
    with pytest.raises(InputError, match=rf"'science' has no valid row \({bad} rejected"):
        write_examples("science", rows, tmp_path / "science.jsonl", dataset=settings(max_rejected=1))


def test_of_many_rejected_rows_the_commonest_reason_is_named(tmp_path, example_fields, drawn_image):
    rows = [(example_fields(id="0", answer=" "), drawn_image())]
    for number, letter in enumerate("DBC", 1):
        rows.append(
            (
                example_fields(id=str(number), answer_type="choice", answer=letter, choices=["x"]),
                drawn_image(),
            )
        )
    with pytest.raises(InputError) as error:
        write_examples("science", rows, tmp_path / "science.jsonl", dataset=settings())
    assert (
        "no valid row (4 rejected, 3 of them: answer: 'D' is not the letter of one of 1 choices, see"
        in str(error.value)
    )


# --- image placeholders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "images", "asked"),
    [
        ("<image>\nHow many?", 1, "How many?"),
        ("<image>How many?", 1, "How many?"),
        ("How many?\n<image>", 1, "How many?"),
        ("<image><image>\nWhich is older?", 2, "Which is older?"),
        ("<image>\n<image>\nWhich is older?", 2, "Which is older?"),
        ("<image 1> What is it?", 1, "<image 1> What is it?"),  # MMMU's
        ("Is |a|<|b|>|c|?", 1, "Is |a|<|b|>|c|?"),
        (
            "In <image>, how many?",
            1,
            "In <image>, how many?",
        ),  # a mark inside the wording is the image's place
        ("Is <image> older than <image>?", 2, "Is <image> older than <image>?"),
    ],
)
def test_marks_of_where_the_images_go_are_taken_out(
    tmp_path, example_fields, drawn_image, question, images, asked
):
    path = tmp_path / "science.jsonl"
    drawn = [drawn_image(shade) for shade in range(images)]
    write_examples("science", [(example_fields(question=question), drawn)], path, dataset=settings())
    assert next(read_examples(path)).question == asked


@pytest.mark.parametrize(
    ("question", "placeholder"),
    [
        ("<|vision_start|><|image_pad|><|vision_end|>How many?", "<|vision_start|>"),
        ("How many?<|im_end|>", "<|im_end|>"),
        ("<|image_1|>How many?", "<|image_1|>"),
        ("<image>\n<image>\nHow many?", "<image>"),  # two of one image
        ("<image>\nHow many?\n<image>", "<image>"),
        ("<video>\nHow many?", "<video>"),
        ("[IMG]How many?", "[IMG]"),
        ("<IMG_CONTEXT>How many?", "<IMG_CONTEXT>"),
        ("<start_of_image>How many?", "<start_of_image>"),
    ],
)
def test_a_placeholder_in_a_question_is_rejected(
    tmp_path, example_fields, drawn_image, question, placeholder
):
    path = tmp_path / "science.jsonl"
    rows = [
        (example_fields(id="1"), drawn_image()),
        (example_fields(id="2", question=question), drawn_image()),
    ]
    write_examples("science", rows, path, dataset=settings(max_rejected=1))
    (rejected,) = rejected_rows(path)
    assert rejected["id"] == "2" and rejected["reason"].startswith(f"question: '{placeholder}' is a model's")


def test_a_placeholder_in_finished_examples_is_reported_with_its_line(tmp_path, example_fields):
    path = tmp_path / "science.jsonl"
    write_jsonl(path, [example_fields(image="a.png", question="<|image_pad|> How many?")])
    with pytest.raises(InputError, match=r"science.jsonl:1: question: '<\|image_pad\|>' is a model's"):
        list(read_examples(path))


def test_a_placeholder_in_a_template_is_refused():
    with pytest.raises(ValidationError, match="<image>"):
        Templates(text="<image> Answer.")


def test_a_reader_that_fails_leaves_the_old_examples(tmp_path, example_fields, drawn_image):
    path = tmp_path / "science.jsonl"
    write_examples("science", [(example_fields(), drawn_image())], path, dataset=settings())
    before = path.read_bytes()

    def rows():
        yield example_fields(id="2"), drawn_image()
        raise InputError("raw.zip: damaged")

    with pytest.raises(InputError, match="damaged"):
        write_examples("science", rows(), path, dataset=settings())
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["images", "science.jsonl", "science.rejected.jsonl"]


def test_rejected_rows_of_a_name_with_dots(tmp_path):
    assert rejected_path(tmp_path / "mmmu_v1.5.jsonl").name == "mmmu_v1.5.rejected.jsonl"


# --- reading ------------------------------------------------------------------------------------------------


def test_ids_are_those_of_the_examples(tmp_path, example_fields):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [example_fields(id=name, image="a.png") for name in ("b", "a", "10")])
    assert read_ids(path) == [example.id for example in read_examples(path)] == ["b", "a", "10"]


@pytest.mark.parametrize(("row", "message"), [({"id": "1"}, "'1' is already in line 1"), ({}, "missing")])
def test_a_row_that_cannot_be_drawn_is_reported_with_its_line(tmp_path, row, message):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"id": "1"}, row])
    with pytest.raises(InputError, match=rf"a\.jsonl:2: id: {message}"):
        read_ids(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": " "}, ":2: answer: a number answer is a non-empty text"),
        ({"answer_type": "words"}, ":2: answer_type: "),
        ({"id": "1"}, ":2: id: '1' is already in line 1"),
        ({"colour": "red"}, ":2: colour: "),
    ],
)
def test_a_damaged_example_is_reported_with_file_line_and_field(tmp_path, example_fields, changes, message):
    path = tmp_path / "science.jsonl"
    row = example_fields(image="a.png")
    write_jsonl(path, [row, {**row, "id": "2", **changes}])
    with pytest.raises(InputError) as error:
        list(read_examples(path))
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_a_cut_line_is_reported(tmp_path, example_fields):
    path = tmp_path / "science.jsonl"
    text = json.dumps(example_fields(image="a.png"))
    path.write_text(text + "\n" + text[:50])
    with pytest.raises(InputError, match=r"science\.jsonl:2: not valid JSON"):
        list(read_examples(path))


# --- images -------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path, example_fields, drawn_image):
    """A file of one example, and the example."""
    path = tmp_path / "science.jsonl"
    write_examples(
        "science", [(example_fields(id="seven"), drawn_image(7, size=64))], path, dataset=settings()
    )
    return path, next(read_examples(path))


def test_a_whole_image_passes(written):
    path, example = written
    check_image(example, path.parent)


def test_an_image_that_max_pixels_let_through_passes(written, monkeypatch):
    """Pillow refuses more than twice a number of its own."""
    path, example = written
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 64 * 64 // 2 - 1)
    check_image(example, path.parent)
    with pytest.raises(PIL.Image.DecompressionBombError):
        PIL.Image.open(path.parent / example.image)


@pytest.mark.parametrize("kept", [0, 4, 8, 20, 33, 45, 0.5, -40])
def test_a_truncated_image_is_reported(written, kept):
    path, example = written
    image = path.parent / example.image
    data = image.read_bytes()
    image.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError) as error:
        check_image(example, path.parent)
    text = str(error.value)
    assert text.startswith(f"{path}: id 'seven': image: {image} cannot be read")
    assert f"delete {path} to rebuild it" in text


@pytest.mark.parametrize(
    "damage", [damaged_png, lambda drawn_image: b"no image at all"], ids=["chunk", "text"]
)
def test_a_damaged_image_is_reported(written, drawn_image, damage):
    path, example = written
    (path.parent / example.image).write_bytes(damage(drawn_image))
    with pytest.raises(InputError, match="id 'seven': image: .* cannot be read"):
        check_image(example, path.parent)


def test_a_missing_image_is_reported(written):
    path, example = written
    (path.parent / example.image).unlink()
    with pytest.raises(InputError, match="id 'seven': image: .* cannot be read"):
        check_image(example, path.parent)


# --- text alone -------------------------------------------------------------------------------------------------


def test_rows_with_an_empty_list_of_images_are_text_alone(tmp_path, example_fields, drawn_image):
    given = [[], drawn_image(1), [drawn_image(2), drawn_image(3)], None, []]
    rows = [(example_fields(id=str(i)), shown) for i, shown in enumerate(given)]
    rows.append((example_fields(id="5", **BOX), []))
    rows.append((example_fields(id="6", question="What is in <image>?"), []))
    path = tmp_path / "science.jsonl"
    counts = write_examples("science", rows, path, dataset=settings(max_rejected=0.9))
    assert counts == {"kept": 4, "rejected": 3, "without_image": 2}
    assert [len(image_paths(example)) for example in read_examples(path)] == [0, 1, 2, 0]
    reasons = [row["reason"] for row in rejected_rows(path)]
    for word, reason in zip(("there is none", "a box answer needs one", "<image>"), reasons, strict=True):
        assert word in reason


def test_questions_without_an_image_are_no_cluster():
    shown = [("a.png", "1"), ("a.png", "2"), ("", "3"), ("", "4")]
    assert [image_cluster(*each) for each in shown] == ["a.png", "a.png", "#3", "#4"]
