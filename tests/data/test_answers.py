"""Extraction of answers and boxes, and that nothing a model writes can break it."""

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modomodo.data.answers import extract_answer, is_exact_match, parse_boxes
from modomodo.data.boxes import ScoredBox, by_confidence, iou, matched_iou, without_duplicates


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        # The paper's own examples, Figs. 2 and 8.
        ("<think> In this food chain … </think> <answer> B </answer>", "B"),
        ("<think> ... </think> <answer>['Position': [4, 7, 5, 9]]</answer>", "['Position': [4, 7, 5, 9]]"),
        ("<think></think><answer></answer>", ""),
        ("\n <think>a\nb</think>\n\n<answer>two\nlines</answer> \n", "two\nlines"),
        # Several answers: the last one counts.
        ("<think>a</think><answer>B</answer><answer>C</answer>", "C"),
        ("<think>a</think><answer>B</answer> no, <think>b</think> <answer>C</answer>", "C"),
        # Nested: the innermost of the last one.
        ("<think>a</think><answer><answer>B</answer></answer>", "B"),
        # Tags inside the thinking do not matter.
        ("<think><think>a</think></think><answer>B</answer>", "B"),
        ("<think>it goes between <answer> and </answer></think><answer>B</answer>", "B"),
        ("<think>a</think>b</think><answer>B</answer>", "B"),
    ],
)
def test_answers_are_extracted(completion, answer):
    assert extract_answer(completion) == answer


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "B",
        "<answer>B</answer>",
        "<think>a</think> B",
        "<think>a</think><answer>B",  # cut off by the token limit
        "<think>a<answer>B</answer>",  # thinking not closed
        "a</think><answer>B</answer>",  # thinking not opened
        "<think>a</think>so<answer>B</answer>",
        "<think>a</think><answer>B</answer> as I said",
        "Sure! <think>a</think><answer>B</answer>",
        "<answer>B</answer><think>a</think>",
        "<THINK>a</THINK><ANSWER>B</ANSWER>",
        "<think></answer>",
        "<think>a</think><answer></think>",
        "<think>a</answer></think><answer>",
    ],
)
def test_broken_formats_have_no_answer(completion):
    assert extract_answer(completion) is None


PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "a", "<", "/answer>"]),
    max_size=12,
).map("".join)


@settings(max_examples=1500, deadline=None)
@given(PIECES)
def test_the_format_is_the_regular_expression_of_related_projects(text):
    # Theirs can take quadratic time; on short texts it says what ours must.
    theirs = re.fullmatch(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", text, re.DOTALL)
    assert (extract_answer(text) is not None) == (theirs is not None)


def test_exact_match_minds_all_but_the_white_space_around():
    assert is_exact_match(" B\n", "B")
    assert not is_exact_match("b", "B")
    assert not is_exact_match("B.", "B")
    assert not is_exact_match("to the  left", "to the left")


BOX = (1.0, 366.0, 344.0, 657.0)
OTHER = (0.5, 0.0, 2.5, 10.0)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("[{'Position': [1, 366, 344, 657], 'Confidence': 1}]", [ScoredBox(BOX, 1)]),
        ('[{"Position": [1, 366, 344, 657], "Confidence": 0.85}]', [ScoredBox(BOX, 0.85)]),
        (
            "[{'Position': [1,366,344,657], 'Confidence': .9},\n {'Position': [0.5, 0, 2.5, 1e1]}]",
            [ScoredBox(BOX, 0.9), ScoredBox(OTHER)],
        ),
        ("{'Confidence': 0.5, 'Position': (1, 366, 344, 657)}", [ScoredBox(BOX, 0.5)]),
        # Fig. 8 as printed, without its braces.
        ("['Position': [1, 366, 344, 657], 'Confidence': 1]", [ScoredBox(BOX)]),
        (
            "['Position': [1, 366, 344, 657], 'Confidence': 0.2, 'Position': [0.5, 0, 2.5, 10]]",
            [ScoredBox(BOX, 0.2), ScoredBox(OTHER)],
        ),
        ("[1, 366, 344, 657]", [ScoredBox(BOX)]),
        ("[[1, 366, 344, 657], [0.5, 0, 2.5, 10]]", [ScoredBox(BOX), ScoredBox(OTHER)]),
        ("(1,366),(344,657)", [ScoredBox(BOX)]),
        ("(1, 366), (344, 657), (0.5, 0), (2.5, 10)", [ScoredBox(BOX), ScoredBox(OTHER)]),
        ("[9, 9, 3, 3]", [ScoredBox((9, 9, 3, 3))]),
        # What Qwen2.5-VL and Qwen3-VL write by themselves.
        ('{"bbox_2d": [1, 366, 344, 657]}', [ScoredBox(BOX)]),
        ('[{"bbox_2d": [1, 366, 344, 657], "label": "a \\"cup\\", [red]"}]', [ScoredBox(BOX)]),
        (
            """```json
[
\t{"bbox_2d": [1, 366, 344, 657], "label": "cup"},
\t{"label": "it's", "bbox_2d": [0.5, 0, 2.5, 10], "confidence": 0.5}
]
```""",
            [ScoredBox(BOX), ScoredBox(OTHER, 0.5)],
        ),
        ("{'bbox_2d': [1, 366, 344, 657], 'label': 'cup', 'Confidence': 0.2}", [ScoredBox(BOX, 0.2)]),
        ("No Objects", []),
        (" 'no  objects'. ", []),
        ("[]", []),
    ],
)
def test_boxes_are_read(text, boxes):
    assert parse_boxes(text) == boxes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "B",
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        "1, 2, 3, 4",
        "[1 2, 3, 4, 5]",
        "(1,2),(3,4),(5,6)",
        "[1, 2, 3, x]",
        "[{'Position': [1, 2, 3, 4], 'Confidence': 1}",  # never closed
        "[{'Position': [1, 2, 3, 4], 'Confidence': 1}, …]",
        "[{'Confidence': 1}]",
        "[{'Box': [1, 2, 3, 4]}]",
        '[{"box_2d": [1, 2, 3, 4], "label": "cup"}]',  # Gemini's, y first
        '[{"bbox_2d": [1, 2, 3, 4], "label": "cup"}',
        '[{"bbox_2d": [1, 2, 3], "label": "cup"}]',
        'I see ```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```',
        "The box is [1, 2, 3, 4]",
        "[1, 2, 3, 1e999]",
        "[1, 2, 3, 1000001]",  # larger than any image
        "[nan, 2, 3, 4]",
        "[__import__('os'), 2, 3, 4]",
        "[1+1, 2, 3, 4]",
        "no objects, but [1, 2, 3, 4]",
    ],
)
def test_other_texts_are_no_boxes(text):
    assert parse_boxes(text) is None


FRAGMENTS = ["<think>", "</think>", "<answer>", "</answer>", "No", "Objects", "Position", "Confidence", "\\"]
FRAGMENTS += [
    "[{'Position':[1,2,3,4],'Confidence':1}]",
    "(1,2),(3,4)",
    "1",
    "-2.5",
    "1e9",
    "\n",
    "\ud800",
    "١",
]
FRAGMENTS += list("[]{}(),:'\".e-+ é\x00")


@settings(max_examples=2000, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join), st.text(max_size=40)))
def test_no_text_breaks_the_parsers(text):
    survives(text)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_a_hundred_thousand_texts_break_nothing(seed):
    generator = random.Random(seed)
    for _ in range(100):
        survives("".join(generator.choices(FRAGMENTS, k=generator.randrange(20))))


def survives(text):
    answer = extract_answer(text)
    assert answer is None or (answer == answer.strip() and answer in text)
    boxes = parse_boxes(text)
    assert boxes is None or all(len(box) == 4 and all(map(is_number, (*box, sure))) for box, sure in boxes)


def is_number(value):
    return isinstance(value, float) and abs(value) <= 1e6


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + "</think>" * 30_000 + "</answer>",
        "<think>" + "</think><answer>" * 15_000 + "x",
        "<think></think>" + " " * 200_000 + "</answer>",
        "[" * 200_000,
        "9" * 200_000,
        ".1" * 100_000,
        "[1,2,3,4]," * 20_000 + "(",
        "[" + "'Position':[1,2,3,4],'Confidence':1," * 5_000 + "}",
        "{'Confidence':1," * 10_000,
        "no " * 60_000,
        "bbox_2d" + '"label": \'' * 20_000,
        '{"bbox_2d": [1, 2, 3, 4], "label": "x"},' * 5_000,
        "bbox_2d" + ", \n" * 60_000,
    ],
)
def test_long_texts_take_linear_time(text):
    # A quadratic parser takes minutes for these; the linear one a fraction of a second.
    start = time.process_time()
    extract_answer(text)
    parse_boxes(text)
    assert time.process_time() - start < 5


def test_iou_by_hand():
    square = (0, 0, 10, 10)
    assert iou(square, square) == 1
    assert iou(square, (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert iou(square, (2, 2, 4, 7)) == pytest.approx(10 / 100)
    assert iou(square, (10, 0, 20, 10)) == 0  # touching is no overlap
    assert iou(square, (11, 11, 12, 12)) == 0
    assert iou(square, (10, 10, 0, 0)) == 0  # corners swapped
    assert iou((3, 3, 3, 9), (3, 3, 3, 9)) == 0  # no area
    assert iou((0, 0, 1e-200, 1e-200), (0, 0, 1e-200, 1e-200)) == 0  # an area below the smallest float


COORDINATE = st.one_of(st.integers(0, 1000).map(float), st.floats(-1e6, 1e6))
BOXES = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)


@settings(max_examples=1000, deadline=None)
@given(BOXES, BOXES)
def test_iou_is_symmetric_and_a_share(a, b):
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == iou(b, a)


LEFT, RIGHT = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)
NEAR_LEFT = (0.0, 0.0, 10.0, 8.0)  # IoU 0.8 with LEFT
HALF_LEFT = (0.0, 0.0, 10.0, 5.0)  # IoU exactly 0.5 with LEFT


def test_several_boxes_by_hand():
    assert matched_iou([LEFT, RIGHT], [ScoredBox(RIGHT), ScoredBox(LEFT)]) == 1
    assert matched_iou([LEFT, RIGHT], [ScoredBox(NEAR_LEFT)]) == pytest.approx(0.8 / 2)
    assert matched_iou([LEFT], [ScoredBox(NEAR_LEFT), ScoredBox(RIGHT)]) == pytest.approx(0.8 / 2)
    # The more confident takes the only true box, though the other overlaps it more.
    sure_but_worse = [ScoredBox(LEFT, 0.3), ScoredBox(NEAR_LEFT, 0.9)]
    assert matched_iou([LEFT], sure_but_worse) == pytest.approx(0.8 / 2)
    # Each true box is taken once.
    assert matched_iou([LEFT], [ScoredBox(LEFT), ScoredBox(LEFT)]) == pytest.approx(1 / 2)
    # A half counts in the plain form; under a threshold only what lies above it does.
    assert matched_iou([LEFT], [ScoredBox(HALF_LEFT)]) == 0.5
    assert matched_iou([LEFT], [ScoredBox(HALF_LEFT)], threshold=0.5) == 0
    assert matched_iou([LEFT], [ScoredBox(NEAR_LEFT)], threshold=0.5) == pytest.approx(0.8)
    assert matched_iou([LEFT], []) == 0
    assert matched_iou([], [ScoredBox(LEFT)]) == 0
    assert matched_iou([], []) == 1


def test_orders_of_boxes():
    first, second, third = ScoredBox(LEFT, 0.5), ScoredBox(RIGHT, 0.9), ScoredBox(LEFT, 0.9)
    assert by_confidence([first, second, third]) == [second, third, first]
    assert without_duplicates([first, second, third]) == [first, second]
