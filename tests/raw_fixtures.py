"""Small raw files of the exact shape in which the paper's datasets are published, every known quirk included.

`write_all(folder)` lays out a folder as `data.raw_from` expects it: <loader>/<the file's path in its
repository>. Each dataset's function says in its docstring which rows are meant to fail or to be left out.
"""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

TEMPLATE = (
    "\nOutput the thinking process in <think> </think> and final answer in <answer> </answer> tags."
    "The output answer format should be as follows:\n<think> ... </think> <answer>[{'Position': [x1, y1, "
    "x2, y2], 'Confidence': number}, ...]</answer>\nPlease strictly follow the format."
)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
TEXT, TEXTS = pa.string(), pa.list_(pa.string())


def drawn_image(seed: int = 0, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> PIL.Image.Image:
    """Noise on a gradient, so that equal seeds give equal images and others differ."""
    width, height = size
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] + random.integers(0, 50, (height, width, 3))
    image = PIL.Image.fromarray(ramp.astype(np.uint8))
    if mode == "RGBA":
        image.putalpha(PIL.Image.new("L", size, 255))
        image.putpixel((0, 0), (10, 20, 30, 0))  # transparent: shows the background
        return image
    return image.convert(mode)


def encoded(image: PIL.Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def cell(image: PIL.Image.Image | bytes, form: str = "PNG") -> dict[str, Any]:
    """An image as the hub's parquet files hold it."""
    return {"bytes": image if isinstance(image, bytes) else encoded(image, form), "path": None}


def truncated(form: str = "JPEG") -> bytes:
    data = encoded(drawn_image(9, (200, 150)), form)
    return data[: len(data) // 2]


def bomb() -> bytes:
    """A PNG of a few bytes whose header promises 40,000 x 40,000 pixels."""
    data = bytearray(encoded(drawn_image(1, (8, 8))))
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


FAULT = {"_fault": True}  # marks a row that is meant to fail a check


def without_faults(rows: Sequence[dict], faults: bool) -> list[dict]:
    return [row for row in rows if faults or "_fault" not in row]


def parquet(
    path: Path, columns: Sequence[tuple[str, pa.DataType]], rows: Sequence[dict], **options: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(
        [{name: None for name, _ in columns} | row for row in rows], pa.schema(columns)
    )
    pq.write_table(table, path, **options)
    return path


def coco(folder: Path, faults: bool = True) -> int:
    """ViRFT_COCO in two shards; 6 good rows of 8.

    RGBA images; a JPEG that is kept; two boxes; "No Objects"; a box of no area; solutions are Python
    literals.
    """

    def row(seed: int, category: str, boxes: str, image: dict) -> dict:
        detect = (
            f"Detect all objects belonging to the category '{category}' in the image, and provide the "
            "bounding boxes (between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal "
            f"places).\nIf no object belonging to the category '{category}' in the image, return 'No Objects'."
        )
        return {"image": image, "problem": detect + TEMPLATE, "solution": f"<answer>{boxes}</answer>"}

    one = "[{'Position': [1, 366, 344, 657], 'Confidence': 1}]"
    two = one[:-1].replace("1, 366, 344, 657", "0, 0, 500, 1000")
    two += ", {'Position': [501, 2, 1000, 990], 'Confidence': 1}]"
    rows = [
        row(0, "person", one, cell(drawn_image(0, mode="RGBA"))),
        row(1, "dining table", two, cell(drawn_image(1), "JPEG")),
        row(2, "dog", "No Objects", cell(drawn_image(2, mode="RGBA"))) | FAULT,
        row(3, "cat", one, cell(drawn_image(3, mode="RGBA"))),
        row(4, "bird", "[{'Position': [5, 5, 5, 90], 'Confidence': 1}]", cell(drawn_image(4))) | FAULT,
        row(5, "kite", one, cell(drawn_image(5, mode="RGBA"))),
        row(6, "sheep", two, cell(drawn_image(0, mode="RGBA"))),  # the first one's image again
        row(7, "boat", one, cell(drawn_image(7, mode="L"), "JPEG")),
    ]
    columns = [("image", IMAGE), ("problem", TEXT), ("solution", TEXT)]
    parquet(folder / "data/train-00000-of-00002.parquet", columns, without_faults(rows[:5], faults))
    parquet(folder / "data/train-00001-of-00002.parquet", columns, without_faults(rows[5:], faults))
    return 6


def reasonseg(folder: Path, faults: bool = True) -> tuple[int, int]:
    """ReasonSeg's train and test: 7 and 4 good instructions.

    Train: several instructions, longer than 640 pixels, a JSON in cp1252, labels ignore and flag, a polygon
    over the edge, an empty instruction (rejected). Test: a JSON without polygons and one that is cut off
    (both rejected).
    """

    def pair(
        split: str, name: str, size: tuple[int, int], texts: object, shapes: list, encoding: str = "utf-8"
    ) -> None:
        place = folder / split
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.jpg").write_bytes(encoded(drawn_image(len(name), size), "JPEG"))
        annotation = {"text": texts, "is_sentence": True, "shapes": shapes}
        text = json.dumps(annotation, ensure_ascii=False)
        (place / f"{name}.json").write_bytes(text.encode(encoding))

    def shape(label: str, *points: tuple[float, float]) -> dict:
        return {
            "label": label,
            "points": [list(point) for point in points],
            "shape_type": "polygon",
            "flags": {},
        }

    target = shape("target", (80, 60), (240, 60), (240.5, 120.25))
    pair("train", "large", (800, 600), ["the goalkeeper", "who guards the goal?", "the third one"], [target])
    pair("train", "café", (100, 50), ["the «café»’s sign"], [shape("target", (10, 20), (30, 45))], "cp1252")
    pair(
        "train",
        "labels",
        (200, 100),
        ["two targets"],
        [
            shape("flag", (0, 0), (5, 5)),
            shape("ignore", (150, 50), (199, 99)),
            shape("target", (20, 10), (60, 40)),
            shape("target", (100, 50), (120, 80)),
        ],
    )
    pair(
        "train",
        "edge",
        (100, 100),
        ["over the edge", *(["  "] if faults else [])],
        [shape("target", (50, 50), (130.5, 80), (60, -3))],
    )
    pair("train", "tall", (30, 700), ["tall"], [shape("target", (3, 70), (15, 140))])
    pair("test", "good", (64, 48), ["a", "b", "c", "d"], [shape("target", (6.4, 4.8), (32, 24))])
    if not faults:
        return 7, 4
    pair("test", "nopolygon", (64, 48), ["nothing is marked"], [])
    pair("test", "broken", (64, 48), ["cut off"], [target])
    broken = folder / "test/broken.json"
    broken.write_bytes(broken.read_bytes()[:40])
    return 7, 4


def geoqav(folder: Path, faults: bool = True) -> int:
    """multimodal-open-r1-8k-verified: 5 good rows of 8.

    A free-form row is left out, and one whose letter is no option's; of one the rewritten problem has lost the
    options. A letter that is none of the listed options is rejected.
    """

    def row(seed: int, problem: str, answer: str, image: dict, original: str | None = None) -> dict:
        letter = re.findall("[A-Z]", answer)[-1] if re.search("[A-Z]", answer) else answer
        return {
            "image": image,
            "problem": problem,
            "solution": f"<think>The sides are\nadded.</think>\n\n<answer>{answer}</answer>",
            "original_question": "According to the question shown in the image, please first perform "
            "reasoning, then finally select the right answer from the choices, e.g., Answer: xxx.\n"
            f"Question: {original or problem}",
            "original_answer": f"Adding them. So the answer is {letter}\nAnswer: {letter}",
        }

    choices = "\n\nChoices:\nA. 3\nB. 5\nC. 8\nD. 13"
    rows = [
        row(
            0,
            f"Determine the constant term.{choices}",
            "The correct answer is C",
            cell(drawn_image(10, (716, 200), "RGBA")),
        ),
        row(1, f"What is x?{choices}", "B", cell(drawn_image(11))),
        row(2, "What share is red on the map?", "42%", cell(drawn_image(12))),  # left out
        row(3, f"How wide is it?{choices}", "The answer is (D).", cell(drawn_image(13, (60, 900)))),
        row(4, "Which one?\nA) left\nB) right", "D", cell(drawn_image(14))) | FAULT,
        row(
            5,
            "Which side is longest, AB, BC or CA?",
            "A",
            cell(drawn_image(15), "JPEG"),
            "Which side is longest?\nChoices:\nA. AB\nB. BC\nC. CA",
        ),
        row(
            6, "Which point is the centre of the circle?", "The centre is O", cell(drawn_image(16))
        ),  # left out
        row(
            7,
            "How long is YZ? Choose the correct option: (A) 1, (B) 7, (C) 8.",
            "It is 7, which corresponds to option B.",
            cell(drawn_image(17)),
        ),
    ]
    names = ["problem", "solution", "original_question", "original_answer"]
    parquet(
        folder / "data/train-00000-of-00001.parquet",
        [("image", IMAGE), *((n, TEXT) for n in names)],
        without_faults(rows, faults),
    )
    return 5


SAT_COLUMNS = [
    ("image_bytes", pa.list_(IMAGE)),
    ("question", TEXT),
    ("answers", TEXTS),
    ("question_type", TEXT),
    ("correct_answer", TEXT),
]


def sat(folder: Path, faults: bool = True) -> tuple[int, int]:
    """SAT: 12 rows of train and 6 of val. Each has a row of two images (left out), train one whose right answer stands twice
    among its options, val one whose answer is no option.
    """
    cells = [cell(drawn_image(seed, (20, 20)), "JPEG") for seed in range(6)]

    def row(number: int, images: int = 1, answers: Sequence[str] = ("left", "right"), right: int = 0) -> dict:
        return {
            "image_bytes": cells[number % 5 : number % 5 + images],
            "question": f"Is chair {number} to the left or right of the table?",
            "answers": list(answers),
            "question_type": "obj_movement",
            "correct_answer": answers[right],
        }

    commas = ("no, neither", "yes, both", "only the chair")
    doubled = ("2", "0", "4", "2", "3")  # as SAT's generator makes some questions on counts
    rows = [row(0), row(1, images=2), row(2, answers=commas, right=1), row(3, answers=doubled)]
    rows += [row(i) for i in range(4, 12)]
    parquet(folder / "SAT_train.parquet", SAT_COLUMNS, rows)
    val = [row(100), row(101, images=2), row(102, answers=commas), row(103), row(104, images=2)]
    val.append(row(105) | {"correct_answer": "above"} | FAULT)
    parquet(folder / "SAT_val.parquet", SAT_COLUMNS, without_faults(val, faults))
    return 11, 3


def scienceqa(folder: Path, faults: bool = True) -> tuple[int, int]:
    """ScienceQA-IMG: 3 good rows of 5 in train (no image: left out; answer 7: rejected), 2 of 2 in test."""

    def row(number: int, image: dict | None, answer: int = 0, hint: str = "") -> dict:
        return {
            "image": image,
            "question": f"Which of these states is farthest north? ({number})",
            "choices": ["West Virginia", "Louisiana", "Arizona", "Oklahoma"],
            "answer": answer,
            "hint": hint,
            "task": "closed choice",
        }

    columns = [
        ("image", IMAGE),
        ("question", TEXT),
        ("choices", TEXTS),
        ("answer", pa.int8()),
        ("hint", TEXT),
    ]
    columns += [("task", TEXT)]
    train = [
        row(0, cell(drawn_image(20))),
        row(1, None),
        row(2, cell(drawn_image(21, mode="P")), 2, "Look at the map."),
        row(3, cell(drawn_image(22)), 7) | FAULT,
        row(4, cell(drawn_image(23, mode="RGBA")), 3),
    ]
    parquet(folder / "ScienceQA-IMG/train-00000-of-00001.parquet", columns, without_faults(train, faults))
    test = [row(5, cell(drawn_image(24)), 1), row(6, cell(drawn_image(25)), 0, "Hint.")]
    parquet(folder / "ScienceQA-IMG/test-00000-of-00001.parquet", columns, test)
    return 3, 2


def chartqa(folder: Path) -> int:
    """ChartQA test: 3 good rows of 3, a true 0 and a number among the answers."""
    rows = [
        {
            "type": "human_test",
            "question": "How many food items?",
            "answer": "14",
            "image": cell(drawn_image(30)),
        },
        {"type": "human_test", "question": "Which colour?", "answer": "0", "image": cell(drawn_image(31))},
        {
            "type": "augmented_test",
            "question": "Which country?",
            "answer": "Chad",
            "image": cell(drawn_image(32)),
        },
    ]
    columns = [("type", TEXT), ("question", TEXT), ("answer", TEXT), ("image", IMAGE)]
    parquet(folder / "data/test-00000-of-00001.parquet", columns, rows)
    return 3


INFOVQA_COLUMNS = [
    ("questionId", TEXT),
    ("question", TEXT),
    ("answers", TEXTS),
    ("answer_type", TEXTS),
    ("image", IMAGE),
    ("image_url", TEXT),
    ("operation/reasoning", TEXTS),
    ("ocr", TEXT),
    ("data_split", TEXT),
]


def infovqa(folder: Path, faults: bool = True) -> int:
    """InfographicVQA validation: 2 good rows of 3, one with several answers; one id stands twice."""
    rows = [
        {
            "questionId": "98313",
            "question": "Which site?",
            "answers": ["pinterest"],
            "image": cell(drawn_image(40), "JPEG"),
        },
        {
            "questionId": "98314",
            "question": "What share?",
            "answers": ["63%", "63 %", "63"],
            "image": cell(drawn_image(41, (60, 200)), "JPEG"),
            "ocr": "[]",
        },
        {
            "questionId": "98313",
            "question": "Again?",
            "answers": ["no"],
            "image": cell(drawn_image(42)),
            **FAULT,
        },
    ]
    path = folder / "InfographicVQA/validation-00000-of-00001.parquet"
    parquet(path, INFOVQA_COLUMNS, without_faults(rows, faults))
    return 2


def mathvista(folder: Path) -> int:
    """MathVista testmini: 5 good rows of 5: text answers of choices, an integer, a float, a list, Chinese."""

    def row(
        pid: str, kind: str, answer: str, answer_type: str, precision: float | None = None, **more: Any
    ) -> dict:
        question = more.pop("question", "What is the value?")
        return {
            "pid": pid,
            "question": question,
            "image": f"images/{pid}.jpg",
            "decoded_image": cell(drawn_image(50 + int(pid)), "JPEG"),
            "question_type": kind,
            "answer": answer,
            "answer_type": answer_type,
            "precision": precision,
            "query": "Hint: Please answer the question and provide the final value at the end.\n"
            f"Question: {question}",
            **more,
        }

    rows = [
        row("1", "free_form", "1.2", "float", 1.0),
        row("2", "free_form", "1000", "integer", unit="g", question="What is the total volume?"),
        row("3", "multi_choice", "145°", "text", choices=["135°", "140°", "145°", "150°"], question="求∠C"),
        row("4", "free_form", "[0, 8]", "list"),
        row("5", "multi_choice", "Yes", "text", choices=["Yes", "No"]),
    ]
    names = ["pid", "question", "image", "unit", "answer", "question_type", "answer_type", "query"]
    columns = [*((name, TEXT) for name in names), ("decoded_image", IMAGE), ("choices", TEXTS)]
    parquet(
        folder / "data/testmini-00000-of-00001-725687bf7a18d64b.parquet",
        [*columns, ("precision", pa.float64())],
        rows,
    )
    return 5


def mmmu(folder: Path, faults: bool = True) -> int:
    """MMMU validation: 4 good rows of 5: options as text, images in question, options and explanation, an open
    answer of two.
    """

    def row(id_: str, question: str, options: str, answer: str, *images: dict) -> dict:
        kind = "multiple-choice" if options != "[]" else "open"
        numbered = {f"image_{number}": image for number, image in enumerate(images, 1)}
        return {
            "id": id_,
            "question": question,
            "options": options,
            "answer": answer,
            "question_type": kind,
        } | numbered

    a, b, c = (cell(drawn_image(60 + i, (30 + i, 20), "RGBA" if i == 1 else "RGB")) for i in range(3))
    rows = [
        row("validation_Accounting_1", "<image 1> What is it?", "['$6', '$7', \"it's $8\"]", "B", a),
        row("validation_Art_2", "Which fits <image 1>?", "['<image 2>', '<image 3>']", "A", a, b, c),
        row("validation_Math_3", "How long is it? <image 1>", "[]", "['24/7', '3.429']", c),
        # The second image belongs to the explanation and must not be shown.
        row("validation_Music_4", "Which tune is <image 1>?", "[]", "Transformation", b, c)
        | {"explanation": "<image 2> gives it away."},
        row("validation_Physics_5", "See <image 1> and <image 2>.", "['yes', 'no']", "A", a) | FAULT,
    ]
    names = ["id", "question", "options", "explanation", "answer", "question_type", "subfield"]
    columns = [*((name, TEXT) for name in names), *((f"image_{number}", IMAGE) for number in range(1, 8))]
    parquet(folder / "data/validation-00000-of-00001.parquet", columns, without_faults(rows, faults))
    return 4


def write_all(folder: Path, faults: bool = True) -> dict[str, int]:
    """All twelve, under the names of config/paper.yaml; returns how many examples each gives.

    `faults` says whether rows that fail a check are among them.
    """
    lisa_train, lisa_test = reasonseg(folder / "lisa", faults)
    sat_rows, sat_val = sat(folder / "sat", faults)
    science_train, science_test = scienceqa(folder / "scienceqa", faults)
    return {
        "COCO": coco(folder / "coco", faults),
        "LISA": lisa_train,
        "GeoQAV": geoqav(folder / "geoqav", faults),
        "SAT": sat_rows,
        "ScienceQA": science_train,
        "LISA-test": lisa_test,
        "SAT-test": sat_val,
        "ScienceQA-test": science_test,
        "ChartQA": chartqa(folder / "chartqa"),
        "InfoVQA": infovqa(folder / "infovqa", faults),
        "MathVista": mathvista(folder / "mathvista"),
        "MMMU": mmmu(folder / "mmmu", faults),
    }
