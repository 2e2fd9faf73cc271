"""The reasoning templates and the messages made of them."""

import pytest
from pydantic import ValidationError

from modomodo.config.schema import Templates
from modomodo.data.examples import Example, image_paths
from modomodo.data.prompts import messages, prompt_text
from modomodo.errors import InputError


def example(answer_type="text", answer: object = "red", **fields):
    meta = {"boxes": "0-1000"} if answer_type == "box" else {}
    row = {"id": "1", "dataset": "d", "image": "images/a.png", "question": "Which colour?"}
    return Example.model_validate(row | {"answer": answer, "answer_type": answer_type, "meta": meta} | fields)


def test_the_papers_texts():
    # Fig. 8 (with its braces) and Fig. 2 of the paper, letter by letter.
    assert prompt_text(example("box", [[1, 2, 3, 4]]), Templates()) == (
        "Which colour?\nOutput the thinking process in <think> </think> and final answer in <answer> "
        "</answer> tags. The output answer format should be as follows: <think> ... </think> <answer>"
        "[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer> "
        "Please strictly follow the format."
    )
    assert prompt_text(example("choice", "A", choices=["red", "blue"]), Templates()) == (
        "Which colour?\nOutput the thinking process in <think> </think> and final answer (option) in "
        "<answer> </answer> tags."
    )
    for answer_type in ("text", "number"):
        assert prompt_text(example(answer_type, "3"), Templates()) == (
            "Which colour?\nOutput the thinking process in <think> </think> and final answer in "
            "<answer> </answer> tags."
        )


def test_templates_are_settings():
    templates = Templates(text="Be brief.", number="", separator="  ")
    assert prompt_text(example(), templates) == "Which colour?  Be brief."
    assert prompt_text(example("number", "3"), templates) == "Which colour?"
    with pytest.raises(ValidationError, match="extra"):
        Templates.model_validate({"boxes": "x"})
    assert all(field.description for field in Templates.model_fields.values())


def test_messages_hold_the_image_and_the_text():
    assert messages(example(), Templates(text="Think.")) == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour?\nThink."}]}
    ]


def test_a_question_about_several_images():
    several = example(meta={"images": ["images/b.png", "images/c.png"]}, question="<image 1> or <image 3>?")
    assert image_paths(several) == ["images/a.png", "images/b.png", "images/c.png"]
    content = messages(several, Templates(text=""))[0]["content"]
    assert [part["type"] for part in content] == ["image", "image", "image", "text"]
    assert content[-1]["text"] == "<image 1> or <image 3>?"
    with pytest.raises(InputError, match=r"example '1' of d: meta.images"):
        image_paths(example(meta={"images": "images/b.png"}))


def test_a_mark_in_the_question_is_the_place_of_its_image():
    two = example(meta={"images": ["images/b.png"]}, question="Is <image> older than <image>?")
    (turn,) = messages(two, Templates(text="Think."))
    assert turn["content"] == [
        {"type": "text", "text": "Is "},
        {"type": "image"},
        {"type": "text", "text": " older than "},
        {"type": "image"},
        {"type": "text", "text": "?\nThink."},
    ]
    for image, meta in (("images/a.png", {}), ("", {})):
        with pytest.raises(ValidationError, match=r"'<image>' is a model's placeholder.*: 2 of them, but"):
            example(image=image, meta=meta, question="Is <image> older than <image>?")
