"""The world of boards: its rows are right by construction, and the same every time."""

import numpy as np
import pytest

from modomodo.data.examples import Example
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError
from modomodo.tiny.boards import COLOURS, COMPOSERS, Board, Thing, draw, place, random_generator, scale, scans


def read(**options):
    return list(datasets["boards"](None, **options))


def compose(domain: str, number: int = 40) -> list[Board]:
    rng = random_generator(domain, "train", 3)
    return [COMPOSERS[domain](rng) for _ in range(number)]


@pytest.mark.parametrize("domain", COMPOSERS)
def test_rows_are_examples_and_repeat(domain):
    rows = read(domain=domain, split="test", size=12, seed=4)
    again = read(domain=domain, split="test", size=12, seed=4)
    other = read(domain=domain, split="test", size=12, seed=5)
    for (fields, image), (fields_again, image_again) in zip(rows, again, strict=True):
        Example(image="images/x.png", **fields)
        assert fields == fields_again
        assert image.tobytes() == image_again.tobytes()
        assert (image.size, image.mode) == ((32, 32), "RGB")
    assert len({fields["id"] for fields, _ in rows}) == 12
    assert [image.tobytes() for _, image in rows] != [image.tobytes() for _, image in other]


def test_a_longer_split_begins_with_the_shorter_one():
    short, long = (read(domain="relation", size=size) for size in (3, 5))
    assert [fields for fields, _ in short] == [fields for fields, _ in long][:3]


def test_no_scan_is_in_both_splits():
    train, test = (
        {scan.tobytes() for part in scans(split).values() for scan in part} for split in ("train", "test")
    )
    assert train and test
    assert not train & test


def test_a_drawn_thing_fills_its_cells_and_keeps_the_coordinate_pixels():
    board = draw(
        [Thing("red", "block", row=1, column=2, width=2, height=1)], np.random.default_rng(0), "train"
    )
    assert board.shape == (32, 32, 3)
    assert (board[9:16, 25:32] == COLOURS["red"]).all()  # the inside of cell (1, 3)
    assert (board[0:8, 1:8][1:] == 255).all()  # the inside of cell (0, 0): empty
    assert (board[8, 16 + 4 : 16 + 6] == 0).all()  # cell (1, 2): pixels at twice its column
    assert (board[8 + 2 : 8 + 4, 16] == 0).all()  # and at twice its row


def test_a_digit_is_a_white_scan_on_its_tint():
    scan = scans("test")["four"][0]
    board = draw([Thing("blue", "four", 0, 0)], np.random.default_rng(1), "test")
    tint = np.array(COLOURS["blue"])
    expected = {
        (tint * (1 - s) + 255 * s)[..., None, :][1:, 1:].astype(np.uint8).tobytes()
        for s in scans("test")["four"][:, :, :, None]
    }
    assert board[1:8, 1:8][..., None, :].tobytes() in expected
    assert scan.shape == (8, 8)


def test_boxes_in_cells_and_in_thousandths():
    thing = Thing("red", "four", row=1, column=0, width=2, height=3)
    assert thing.box == (0, 1, 2, 4)
    assert scale(thing.box) == [0, 250, 500, 1000]


def test_things_never_cover_each_other():
    for seed in range(30):
        things = place(
            np.random.default_rng(seed), [("red", "four")] * 5, [(2, 2), (1, 2), (2, 1), (1, 1), (2, 2)]
        )
        cells = [
            (r, c)
            for t in things
            for r in range(t.row, t.row + t.height)
            for c in range(t.column, t.column + t.width)
        ]
        assert len(cells) == len(set(cells)) == 4 + 2 + 2 + 1 + 4


def test_detection_asks_for_the_only_thing_of_its_name():
    for board in compose("detection"):
        name = board.question.split("'")[1]
        (found,) = [thing for thing in board.things if thing.name == name]
        assert board.answer == [scale(found.box)]


def test_referring_points_at_one_thing():
    for board in compose("referring"):
        by_area = sorted(board.things, key=lambda thing: thing.width * thing.height)
        if "largest" in board.question:
            assert board.answer == [scale(by_area[-1].box)]
        elif "smallest" in board.question:
            assert board.answer == [scale(by_area[0].box)]
        elif "differs" in board.question:
            names = [thing.name for thing in board.things]
            (odd,) = [thing for thing in board.things if names.count(thing.name) == 1]
            assert board.answer == [scale(odd.box)]


def test_geometry_measures_the_rectangle():
    for board in compose("geometry"):
        (rectangle,) = board.things
        w, h = rectangle.width, rectangle.height
        value = {"width": w, "height": h, "perimeter": 2 * (w + h), "area": w * h}[board.question.split()[2]]
        assert board.choices["ABCD".index(board.answer)] == str(value)
        assert board.question.endswith("(D) " + board.choices[3])


def test_relation_is_given_from_the_second_thing():
    directions = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}
    for board in compose("relation"):
        first, second = board.things
        down, along = directions[board.answer]
        assert (np.sign(first.row - second.row), np.sign(first.column - second.column)) == (down, along)
        assert board.question.index(first.name) < board.question.index(second.name)


def test_counts_and_charts():
    for board in compose("infographic"):
        colour = board.question.removesuffix("?").split()[-1]
        assert int(board.answer) == sum(thing.colour == colour for thing in board.things)
    for board in compose("math"):
        if "there" in board.question:
            assert board.choices["ABCD".index(board.answer)] == str(len(board.things))
    for board in compose("chart"):
        heights = {thing.colour: thing.height for thing in board.things}
        assert sorted(heights.values()) == [1, 2, 3, 4]
        if "highest" in board.question:
            assert heights[board.answer] == 4


@pytest.mark.parametrize("domain", ["geometry", "science", "math", "general"])
def test_options_differ_and_one_is_right(domain):
    for board in compose(domain):
        assert len(set(board.choices)) == len(board.choices)
        assert board.thought == f"{board.choices['ABCD'.index(board.answer)]} ({board.answer})"


def test_answers_of_another_convention_ask_the_same_questions():
    for domain, answers in (("detection", "wrong_format"), ("science", "random"), ("general", "unreachable")):
        right = read(domain=domain, size=30, seed=2)
        other = read(domain=domain, size=30, seed=2, answers=answers)
        assert [fields["question"] for fields, _ in right] == [fields["question"] for fields, _ in other]
        assert [image.tobytes() for _, image in right] == [image.tobytes() for _, image in other]
        for fields, _ in other:
            Example(image="images/x.png", **fields)
        assert read(domain=domain, size=30, seed=2, answers=answers)[0][0] == other[0][0]


def test_wrong_formats_are_texts_that_ask_for_themselves():
    ((box, _),) = read(domain="detection", size=1, answers="wrong_format")
    ((right, _),) = read(domain="detection", size=1)
    ((x1, y1, x2, y2),) = right["answer"]
    assert box["answer"] == f"[{{'Position': [{x1}, {y1}, {x2 - x1}, {y2 - y1}], 'Confidence': 1}}]"
    assert (box["answer_type"], box["meta"], box["choices"]) == ("text", {}, [])
    ((word, _),) = read(domain="relation", size=1, answers="wrong_format")
    assert word["answer"].startswith("the ")


def test_random_answers_are_among_the_options_and_mostly_wrong():
    rows = zip(
        read(domain="science", size=300), read(domain="science", size=300, answers="random"), strict=True
    )
    equal = [right["answer"] == random["answer"] for (right, _), (random, _) in rows]
    assert 0.3 < sum(equal) / 300 < 0.5, "of two or three options"
    assert len({fields["answer"] for fields, _ in read(domain="general", size=9, answers="unreachable")}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "detektion", "size": 3}, "did you mean 'detection'"),
        ({"domain": "detection", "size": 3, "split": "tests"}, "did you mean 'test'"),
        (
            {"domain": "detection", "size": 3, "answers": "wrong"},
            "answers: unknown answers 'wrong': did you mean",
        ),
        ({"domain": "detection", "size": 0}, "at least 1"),
        ({"domain": "detection", "size": 3, "seed": -1}, "at least"),
    ],
)
def test_bad_options_are_reported(options, message):
    with pytest.raises(InputError, match=message):
        read(**options)
