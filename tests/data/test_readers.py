"""Raw rows → examples: each dataset's own rules and quirks."""

import json
import re
import time
from pathlib import Path

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import raw_fixtures
from raw_fixtures import cell, drawn_image, parquet

from modomodo.config.schema import Dataset
from modomodo.data.examples import Example, Filtered, Rejected, read_examples, rejected_path, write_examples
from modomodo.data.images import InvalidRow
from modomodo.data.readers.coco import without_template
from modomodo.data.readers.geoqav import PATTERNS, answer_letter, compiled, options_in
from modomodo.data.readers.lisa import normalised_box
from modomodo.data.readers.mmmu import literal_list
from modomodo.data.readers.published import catalogue, examples_of
from modomodo.data.readers.registry import datasets
from modomodo.errors import InputError


def settings(**keys) -> Dataset:
    """A dataset's settings as a study gives them; its rows are handed over here."""
    return Dataset(loader="handed_over", **keys)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    raw_fixtures.write_all(folder)
    return folder


def split_of(raw: Path, loader: str, split: str, place: Path) -> Path:
    """The raw folder of one split, as the download leaves it."""
    for pattern in catalogue[loader].files[split]:
        for file in (raw / loader).glob(pattern):
            link = place / file.relative_to(raw / loader)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return place


def read(raw: Path, place: Path, loader: str, **options) -> tuple[list[Example], list[dict], dict[str, int]]:
    """Examples, rejected rows and counts of one dataset."""
    split = catalogue[loader].split(options)
    folder = split_of(raw, loader, split, place / "raw")
    output = place / f"{loader}.jsonl"
    counts = write_examples(
        loader, datasets[loader](folder, **options), output, dataset=settings(max_rejected=1)
    )
    rejected = [json.loads(line) for line in rejected_path(output).read_text().splitlines()]
    return list(read_examples(output)), rejected, counts


def image(example: Example, place: Path) -> PIL.Image.Image:
    return PIL.Image.open(place / example.image)


def test_coco(raw, tmp_path):
    examples, rejected, counts = read(raw, tmp_path, "coco")
    assert (counts["kept"], counts["rejected"]) == (6, 2)
    first = examples[0]
    assert first.question == (
        "Detect all objects belonging to the category 'person' in the image, and provide the bounding boxes "
        "(between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal places).\nIf no "
        "object belonging to the category 'person' in the image, return 'No Objects'."
    )
    assert first.answer == [(1, 366, 344, 657)] and first.meta == {"boxes": "0-1000", "category": "person"}
    assert len(examples[1].answer) == 2
    assert [(row["line"], row["id"]) for row in rejected] == [(3, "train-00002"), (5, "train-00004")]
    assert "no box" in rejected[0]["reason"] and "no area" in rejected[1]["reason"]
    # RGBA on white; the same image twice is one file; a JPEG in RGB keeps its bytes.
    assert image(first, tmp_path).mode == "RGB" and image(first, tmp_path).getpixel((0, 0)) == (255, 255, 255)
    assert first.image == examples[4].image
    published = raw_fixtures.encoded(drawn_image(1), "JPEG")
    assert (tmp_path / examples[1].image).read_bytes() == published and examples[1].image.endswith(".jpg")
    assert image(examples[5], tmp_path).mode == "RGB"


def test_coco_on_black(raw, tmp_path):
    examples, _, _ = read(raw, tmp_path, "coco", background="black")
    assert image(examples[0], tmp_path).getpixel((0, 0)) == (0, 0, 0)


def test_coco_template_of_another_wording_is_refused():
    assert without_template("Detect cats." + raw_fixtures.TEMPLATE) == "Detect cats."
    assert without_template("Detect cats.") == "Detect cats."
    with pytest.raises(InvalidRow, match="unknown wording"):
        without_template("Detect cats. Think in <think> </think>.")


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("<answer>__import__('os').abort()</answer>", "no list of boxes"),
        ("<answer>[[1, 2, 3, 4]]</answer><answer>[[1, 2, 3, 5]]</answer>", "ambiguous"),
        ("<answer>[{'Position': [1, 2, 1001, 4], 'Confidence': 1}]</answer>", "outside the image"),
        ("", "empty"),
    ],
)
def test_coco_solutions_that_are_refused(tmp_path, solution, reason):
    columns = [("image", raw_fixtures.IMAGE), ("problem", pa.string()), ("solution", pa.string())]
    good = {"image": cell(drawn_image()), "problem": "Detect.", "solution": "<answer>[[1, 2, 3, 4]]</answer>"}
    parquet(tmp_path / "train.parquet", columns, [good, good | {"solution": solution}])
    write_examples(
        "coco", datasets["coco"](tmp_path), tmp_path / "out.jsonl", dataset=settings(max_rejected=1)
    )
    (row,) = rejected_path(tmp_path / "out.jsonl").read_text().splitlines()
    assert reason in json.loads(row)["reason"]


def test_lisa_train(raw, tmp_path):
    examples, rejected, _ = read(raw, tmp_path, "lisa", split="train")
    by_id = {example.id: example for example in examples}
    assert len(examples) == 7 and [row["id"] for row in rejected] == ["train-edge-1"]
    large = by_id["train-large-1"]
    assert large.question == (
        "Output the bounding box in the image corresponding to the instruction: who guards the goal?"
    )
    assert large.answer == [(100, 100, 300, 200)]  # 0-1000, so that resizing does not touch it
    assert image(large, tmp_path).size == (640, 480)
    assert image(by_id["train-tall-0"], tmp_path).size == (27, 640)
    assert "«café»’s" in by_id["train-café-0"].question  # cp1252
    assert by_id["train-labels-0"].answer == [
        (100, 100, 300, 400)
    ]  # neither flag nor ignore, the first target
    assert by_id["train-edge-0"].answer == [(500, 0, 1000, 800)]  # cut at the edge
    shuffled = [example.id for example in examples]
    assert shuffled != sorted(shuffled)
    again, _, _ = read(raw, tmp_path / "again", "lisa", split="train")
    assert [example.id for example in again] == shuffled
    other, _, _ = read(raw, tmp_path / "other", "lisa", split="train", seed=1)
    assert [example.id for example in other] != shuffled


@pytest.mark.parametrize(
    ("box", "answer"),
    [
        ("union", (100, 100, 600, 800)),
        ("first_shape", (0, 0, 25, 50)),
        ("first_target", (100, 100, 300, 400)),
    ],
)
def test_lisa_box_rules(raw, tmp_path, box, answer):
    examples, _, _ = read(raw, tmp_path, "lisa", split="train", box=box)
    assert next(example for example in examples if example.id == "train-labels-0").answer == [answer]


def test_lisa_test_rejects_files_without_a_polygon(raw, tmp_path):
    examples, rejected, _ = read(raw, tmp_path, "lisa", split="test")
    assert len(examples) == 4
    assert [(row["id"], row["reason"].split(":")[0]) for row in rejected] == [
        ("test/broken.json", "not valid JSON"),
        ("test/nopolygon.json", "shapes"),
    ]


def test_boxes_are_cut_off_to_integers():
    assert normalised_box([(6.4, 4.8), (32, 24)], (64, 48)) == [100, 99, 500, 500]
    with pytest.raises(InvalidRow):
        normalised_box([(float("nan"), 0), (1, 1)], (10, 10))


def test_geoqav(raw, tmp_path):
    examples, rejected, counts = read(raw, tmp_path, "geoqav")
    assert [(example.id[-1], example.answer) for example in examples] == [
        ("0", "C"),
        ("1", "B"),
        ("3", "D"),
        ("5", "A"),
        ("7", "B"),
    ]
    assert examples[0].choices == ["3", "5", "8", "13"] and examples[0].question.startswith("Determine")
    # The rewritten problem has lost its options: the original question is asked.
    assert examples[3].choices == ["AB", "BC", "CA"] and "A. AB" in examples[3].question
    assert [example.meta for example in examples[2:]] == [{}, {"question": "original_question"}, {}]
    assert examples[4].choices == ["1", "7", "8"]
    assert image(examples[0], tmp_path).size == (640, 179) and image(examples[2], tmp_path).size == (43, 640)
    assert counts["answer is no option's letter by pattern 'solution'"] == 1
    assert counts["answer is a letter, but no options are listed"] == 1
    assert len(rejected) == 1 and "not among the 2 options" in rejected[0]["reason"]


@pytest.mark.parametrize(("pattern", "kept"), [("bare", 3), ("original", 6), (r"answer is \(?([A-D])", 2)])
def test_geoqav_patterns(raw, tmp_path, pattern, kept):
    # One of them is rejected: it fits the pattern, but its letter is no option.
    _, _, counts = read(raw, tmp_path, "geoqav", pattern=pattern)
    assert counts["kept"] + counts["rejected"] == kept


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C", "C"),
        ("(C)", "C"),
        ("C.", "C"),
        ("**C**", "C"),
        ("$\\boxed{C}$", "C"),
        ("The correct answer is C", "C"),
        ("The correct answer is: C", "C"),
        ("Answer: C", "C"),
        ("C\nbecause the sides are equal", "C"),
        ("The correct answer is option C.", "C"),
        ("The correct answer is C. 12 sq km", "C"),
        ("C. 2 units", "C"),
        ("C) 2 units", "C"),
        ("(C) 2 units", "C"),
        ("The answer is C, 10 units.", "C"),
        ("The angle is 40°, which corresponds to option C.", "C"),
        ("The angle is 40°, corresponding to choice (C).", "C"),
        ("The correct answer is C: \\frac{5}{2}", "C"),
        ("The length is 7, so the correct option is (C).", "C"),
        ("Option C is correct.", "C"),
        ("The correct option: C", "C"),
        ("The answer should be $\\mathrm{C}$.", "C"),
        ("The answer is C, not option B", "C"),
        ("The answer is Side $c$ is the hypotenuse", None),
        ("DE/BC = AD/AB = AE/AC", None),
        ("A triangle", None),
        ("The answer is A triangle", None),
        ("The collinear points are A, B and C", None),
        ("A, B and C", None),
        ("The answer is A and B", None),
        ("The answer is A, B", None),
        ("Options A and B", None),
        ("$1.10", None),
        ("42%", None),
        ("", None),
    ],
)
def test_geoqav_letters_in_a_solution(answer, letter):
    row = {"solution": f"<think>So it is B.</think> <answer>{answer}</answer>"}
    assert answer_letter(row, "solution", compiled("solution")) == letter


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("A. x\nChoose:\n(A) 1\n(B) 2\n(D) 4", ["1", "2"]),
        ("Choices:\nA: 40°\nB: 50°", ["40°", "50°"]),
        ("Choices:\n- **A.** 40°\n- **B.** 50°", ["40°", "50°"]),
        ("Choose the correct option: (A) 1, (B) 7, (C) 8, (D) 9.", ["1", "7", "8", "9"]),
        ("How long? (A) 1 (B) 7 or (C) 8", ["1", "7", "8"]),
        ("How long is it? (A) 1.5, (B) 7.5. Give the letter of the option.", ["1.5", "7.5"]),
        (
            "Choose from the choices provided: A. Sine, B. Cosine, and C. Tangent.",
            ["Sine", "Cosine", "Tangent"],
        ),
        ("Choose: (A) \\(f(B)\\), (B) \\(g(A)\\).", ["\\(f(B)\\)", "\\(g(A)\\)"]),
        ("Nothing listed, A. or B.", []),
        ("Give the correct option letter, e.g., A, B, C, D, at the end.", []),
        ("Which option (A, B, C, or D) describes it best?", []),
        ("Is side A longer than side B?", []),
        ("The circle (A) touches the circle (B).", []),
        ("Choose: (A) 1", []),
        ("Which? A. 3\nB. 5\nC. 8", ["3", "5", "8"]),
        ("Choices:\nA. 3   B. 5\nC. 8   D. 13", ["3", "5", "8", "13"]),
        ("How long is it?\tA.3\tB.5", ["3", "5"]),
        ("求∠C。选项：A、30° B、40° C、50°", ["30°", "40°", "50°"]),
        ("In △ABC, AB = 3. A.B. said so.", []),
    ],
)
def test_geoqav_options_in_a_question(question, options):
    assert options_in(question) == options


def test_geoqav_options_and_question(raw, tmp_path):
    examples, _, _ = read(raw, tmp_path, "geoqav", question="original_question")
    assert examples[0].question.startswith("According to the question")
    for bad in ("(", "no group"):
        with pytest.raises(InputError, match="options.pattern"):
            datasets["geoqav"](tmp_path, pattern=bad)


def test_geoqav_without_the_original_questions(raw, tmp_path):
    """A copy may have left that column out; the row that needs it is left out then."""
    path = min((raw / "geoqav").rglob("*.parquet"))
    table = pq.read_table(path).drop_columns(["original_question"])
    pq.write_table(table, tmp_path / "train.parquet")
    found = list(datasets["geoqav"](tmp_path))
    assert [type(row) for row in found] == [
        tuple,
        tuple,
        Filtered,
        tuple,
        Rejected,
        Filtered,
        Filtered,
        tuple,
    ]


def test_sat_train(raw, tmp_path):
    examples, _, counts = read(raw, tmp_path, "sat", split="train")
    assert counts["kept"] == 11 and counts["more than one image"] == 1
    commas = examples[1]
    assert commas.answer == "yes, both" and sorted(commas.choices) == [
        "no, neither",
        "only the chair",
        "yes, both",
    ]
    assert commas.question.endswith(
        f"Choose between the following options: {commas.choices[0]}, {commas.choices[1]} or {commas.choices[2]}"
    )
    assert examples[0].question.startswith(
        "Answer in natural language. Is chair 0 to the left or right of the table?"
    )
    doubled = examples[2]  # the right answer stands twice among its options, and is kept as published
    assert (doubled.answer, sorted(doubled.choices)) == ("2", ["0", "2", "2", "3", "4"])
    orders = {tuple(example.choices) for example in examples if len(example.choices) == 2}
    assert orders == {("left", "right"), ("right", "left")}  # shuffled, by the row's number
    assert all(example.answer_type == "text" for example in examples)


def test_sat_options(raw, tmp_path):
    examples, _, _ = read(
        raw, tmp_path / "a", "sat", split="train", first=3, order="published", layout="plain"
    )
    assert [example.id for example in examples] == ["train-000000", "train-000002", "train-000003"]
    assert examples[0].question == "Is chair 0 to the left or right of the table? Options: left or right."
    assert examples[2].choices == ["2", "0", "4", "2", "3"]
    two, _, _ = read(raw, tmp_path / "b", "sat", split="val", single_image=False)
    assert len(two) == 5 and len(two[1].meta["images"]) == 1


def test_a_rejected_row_of_sat_is_made_up_for(tmp_path):
    """The first 3 are 3 examples, whatever fails before."""
    row = {
        "image_bytes": [cell(drawn_image())],
        "question": "How many?",
        "answers": ["1", "2"],
        "correct_answer": "1",
    }
    rows = [
        row,
        row | {"correct_answer": "3"},
        row | {"image_bytes": [cell(drawn_image())] * 2},
        row,
        row,
        row,
    ]
    parquet(tmp_path / "SAT_train.parquet", raw_fixtures.SAT_COLUMNS, rows)
    found = [type(one) for one in datasets["sat"](tmp_path, first=3)]
    assert found == [tuple, Rejected, Filtered, tuple, tuple]


def test_scienceqa(raw, tmp_path):
    examples, rejected, counts = read(raw, tmp_path / "a", "scienceqa", split="train")
    assert [example.answer for example in examples] == ["A", "C", "D"]
    assert examples[0].question == (
        "Which of these states is farthest north? (0)\n"
        "A. West Virginia\nB. Louisiana\nC. Arizona\nD. Oklahoma"
    )
    assert counts["no image"] == 1 and "7 is not among the 4 options" in rejected[0]["reason"]
    hinted, _, _ = read(raw, tmp_path / "b", "scienceqa", split="train", hint=True, layout="({}) {}")
    assert (
        hinted[1].question.startswith("Context: Look at the map.\nWhich")
        and "(D) Oklahoma" in hinted[1].question
    )
    assert not hinted[0].question.startswith("Context")


def test_infovqa_and_chartqa(raw, tmp_path):
    examples, rejected, _ = read(raw, tmp_path / "a", "infovqa")
    assert [example.id for example in examples] == ["98313", "98314"] and rejected[0]["id"] == "98313"
    assert examples[0].meta == {} and examples[1].meta == {"answers": ["63%", "63 %", "63"]}
    charts, _, _ = read(raw, tmp_path / "b", "chartqa")
    assert [example.answer for example in charts] == ["14", "0", "Chad"]


def test_mathvista(raw, tmp_path):
    examples, _, _ = read(raw, tmp_path / "a", "mathvista")
    kinds = [(example.answer_type, example.answer, example.meta) for example in examples]
    assert kinds == [
        ("number", "1.2", {"answer_type": "float", "precision": 1}),
        ("number", "1000", {"answer_type": "integer"}),
        ("choice", "C", {}),
        ("text", "[0, 8]", {"answer_type": "list"}),
        ("choice", "A", {}),
    ]
    assert examples[0].question.startswith("Hint: ")
    plain, _, _ = read(raw, tmp_path / "b", "mathvista", text="question")
    assert plain[1].question == "What is the total volume? (Unit: g)"
    assert plain[2].question == "求∠C\nChoices:\n(A) 135°\n(B) 140°\n(C) 145°\n(D) 150°"


def test_mmmu(raw, tmp_path):
    examples, rejected, _ = read(raw, tmp_path, "mmmu")
    assert examples[0].question == "<image 1> What is it?\nA. $6\nB. $7\nC. it's $8"
    several = examples[1]
    assert several.choices == ["<image 2>", "<image 3>"] and len(several.meta["images"]) == 2
    assert [PIL.Image.open(tmp_path / path).size for path in several.meta["images"]] == [(31, 20), (32, 20)]
    assert examples[2].meta["answers"] == ["24/7", "3.429"] and examples[2].answer_type == "text"
    assert (examples[3].answer, examples[3].meta) == ("Transformation", {})  # one image of its two
    assert "<image 2>" in rejected[0]["reason"]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("['$6', \"it's $8\"]", ["$6", "it's $8"]),
        ("['a' 'b' 'c']", ["a", "b", "c"]),  # as numpy writes an array
        ("['a'\n \"b's\"]", ["a", "b's"]),
        ("['one']", ["one"]),
        ("[1, 2.5]", ["1", "2.5"]),
        ("['a, b', 'c']", ["a, b", "c"]),
        ("[]", []),
    ],
)
def test_lists_written_as_literals(text, texts):
    assert literal_list(text) == texts


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "{'a': 1}",
        "[" * 5000,
        "['a'",
        "['a' 'b', 'c']",  # a comma is missing, and nobody knows where
        "[['A', 'B']]",
        "['a' ... 'b']",
        "[None]",
    ],
)
def test_what_is_no_list_of_texts_is_refused(text):
    with pytest.raises(InvalidRow):
        literal_list(text)


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("loader", "changes", "reason"),
    [
        ("mathvista", {"precision": NOT_A_NUMBER}, "precision: nan"),
        ("mathvista", {"precision": None}, "precision: None"),
        ("mathvista", {"question_type": "multi_choice", "choices": None}, "not among the 0 options"),
        ("sat", {"image_bytes": None}, "there is none"),
        ("sat", {"image_bytes": [None]}, "there is none"),
        ("sat", {"correct_answer": "above"}, "'above' is not among the 2 options"),
        ("sat", {"answers": [None, "left"]}, "no list of texts"),
        ("scienceqa", {"answer": None}, "None is not among"),
        ("scienceqa", {"choices": ["a", None]}, "no list of texts"),
        ("infovqa", {"answers": None}, "answers: empty"),
        ("infovqa", {"answers": [None, " "]}, "answers: empty"),
        ("chartqa", {"answer": None}, "answer: empty"),
        ("mmmu", {"options": "['a', 'b'"}, "not a list of texts"),
        ("mmmu", {"answer": "x" * 1000}, "x …$"),  # reasons stay short
        (
            "geoqav",
            {"problem": "q" * 20_001 + "\nA. 1\nB. 2\nC. 3"},
            r"200\d\d characters, more than max_question",
        ),
        ("coco", {"image": {"bytes": b"GIF89a", "path": None}}, "image:"),
        ("coco", {"solution": "<answer>[{'Position': [9, 9, 3, 3]}]</answer>"}, "no area"),
        ("coco", {"solution": "<answer>[{'Position': [9, 9, 30, 1001]}]</answer>"}, "outside the image"),
    ],
)
def test_a_row_with_a_bad_cell_is_rejected_and_no_other(raw, tmp_path, loader, changes, reason):
    folder = split_of(raw, loader, next(iter(catalogue[loader].files)), tmp_path / "published")
    path = min(folder.rglob("*.parquet"))
    table = pq.read_table(path)
    row = table.to_pylist()[0]
    made = [{**row, **changes}, row]
    for number, one in enumerate(made):  # datasets that bring ids of their own
        one.update({column: f"id{number}" for column in ("pid", "id", "questionId") if column in one})
    parquet(
        tmp_path / "changed" / path.name, list(zip(table.schema.names, table.schema.types, strict=True)), made
    )
    output = tmp_path / "out.jsonl"
    write_examples(
        loader,
        datasets[loader](tmp_path / "changed"),
        output,
        dataset=settings(max_rejected=1, max_question=20_000),
    )
    rejected = [json.loads(line) for line in rejected_path(output).read_text().splitlines()]
    assert [one["line"] for one in rejected] == [1] and len(list(read_examples(output))) == 1
    assert re.search(reason, rejected[0]["reason"])


def test_a_row_of_another_form_than_published_is_rejected():
    def convert(row, id_):
        return ({"id": id_}, drawn_image()) if row["n"] > 1 else Filtered("small")

    rows = [{"n": 2}, {"n": "two"}, {}, {"n": 1}]
    found = list(examples_of(iter(rows), lambda row, number: str(number), convert))
    assert [type(one) for one in found] == [tuple, Rejected, Rejected, Filtered]
    assert found[1].id == "1"
    assert re.match(r"not of the published form \(.*test_readers\.py:\d+: TypeError: ", found[1].reason)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "\n" * 200_000,
        "A. " + "x " * 100_000 + "\n",
        "is " * 60_000,
        "option " * 30_000,
        ": (A) " * 30_000,
        "(A) x\n" * 30_000,
    ],
)
def test_long_texts_take_linear_time(text):
    started = time.process_time()
    for name in PATTERNS:
        row = {"solution": f"<answer>{text}</answer>", "original_answer": text}
        answer_letter(row, name, compiled(name))
    options_in(text)
    without_template(text)
    assert time.process_time() - started < 5


def test_unknown_options_are_reported(tmp_path):
    for loader, options, word in [
        ("coco", {"background": "pink"}, "background"),
        ("lisa", {"box": "largest"}, "box"),
        ("sat", {"layout": "x"}, "layout"),
        ("sat", {"first": 0}, "first"),
        ("scienceqa", {"layout": "{}"}, "layout"),
        ("mathvista", {"text": "x"}, "text"),
        ("mmmu", {"split": "tset"}, "did you mean 'test'|known"),
    ]:
        with pytest.raises(InputError, match=word):
            list(datasets[loader](tmp_path, **options))


def test_raw_files_that_are_not_what_they_should_be(tmp_path):
    with pytest.raises(InputError, match="no parquet file"):
        list(datasets["coco"](tmp_path))
    columns = [("image", raw_fixtures.IMAGE), ("problem", pa.string()), ("solutions", pa.string())]
    path = parquet(tmp_path / "train.parquet", columns, [])
    with pytest.raises(InputError, match="no column 'solution': did you mean 'solutions'"):
        list(datasets["coco"](tmp_path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read as parquet.*download again"):
        list(datasets["coco"](tmp_path))
    with pytest.raises(InputError, match="drive.google.com"):
        list(datasets["lisa"](tmp_path))


def test_an_image_path_that_leaves_its_folder_is_refused(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(raw_fixtures.encoded(drawn_image()))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "link.png").symlink_to(secret)
    (tmp_path / "raw" / "good.png").write_bytes(secret.read_bytes())
    columns = [("question", pa.string()), ("answer", pa.string()), ("image", raw_fixtures.IMAGE)]
    paths = ["../secret.png", str(secret), "link.png", "..\\secret.png", "good.png"]
    rows = [{"question": "q", "answer": "a", "image": {"bytes": None, "path": path}} for path in paths]
    parquet(tmp_path / "raw" / "test.parquet", columns, [*rows, {"question": "q", "answer": "a"}])
    found = list(datasets["chartqa"](tmp_path / "raw"))
    refused = [row for row in found if isinstance(row, Rejected)]
    assert ["leads out" in row.reason for row in refused] == [True] * 4 + [False]
    assert not any(isinstance(row, Filtered) for row in found) and len(found) == 6
