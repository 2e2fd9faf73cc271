"""A table's rows → raw examples, each by itself, once it is settled how the table is read (`settling`)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from modomodo.data.examples import AnswerType, Filtered, RawExample, Rejected
from modomodo.data.images import ImageLike, InvalidRow
from modomodo.data.letters import letter, lettered
from modomodo.data.table import cells
from modomodo.data.table.cells import BoxFormat, Counting
from modomodo.data.table.conversations import answer_in, is_conversation, question_in
from modomodo.data.table.files import Source
from modomodo.data.table.image_cells import ImagePlace, images_of_cell
from modomodo.data.table.sources import sliced
from modomodo.data.table.spellings import Columns, Row, cell
from modomodo.errors import told

Role = Literal["question", "answer", "image", "choices", "box", "id"]


@dataclass(frozen=True)
class Options:
    """A study's options of `loader: table`."""

    path: str = ""  # empty: the files that `source` names
    name: str | None = None
    split: str | None = None
    slice: str | None = None
    columns: Mapping[Role, Any] | None = None
    template: str = ""
    filter: str = ""
    answer_pattern: str | None = None
    answer_type: AnswerType | None = None
    box_format: str | None = None
    image_folder: Path | None = None


def options_of(given: Mapping[str, Any]) -> Options:
    """The options as a study writes them."""
    folder = given.get("image_folder")
    return Options(**{**given, "image_folder": Path(folder) if folder else None})


@dataclass(frozen=True)
class Reading:
    """A table's options with everything settled that they leave open, and what was found, to be said."""

    columns: Columns
    place: ImagePlace
    template: Callable[[Row], str] | None
    stays: Callable[[Row], bool] | None
    listed: bool = False  # an answer is a text that lists accepted ones
    patterns: tuple[Callable[[str], str | None], ...] = ()
    answer_type: AnswerType = "text"  # of rows without options
    chooses: bool = False  # rows with options ask for a letter
    counting: Counting = 0
    box_format: BoxFormat | None = None
    said: tuple[str, ...] = ()


def answer_cell(reading: Reading, row: Row) -> Any:
    """The cell of the answer, or what answers in a conversation; of several columns a list, all of them accepted."""
    given = [cell(row, column) for column in reading.columns.answer]
    value = given[0] if len(given) == 1 else [one for one in given if not cells.is_empty(one)] or None
    if is_conversation(value):
        try:
            return answer_in(value, "answer")
        except InvalidRow:
            return None
    if reading.listed and isinstance(value, str):
        return cells.listed_texts(value) or value
    return value


def extracted(reading: Reading, text: str) -> str:
    """What the patterns find in an answer, one after the other. Raises InvalidRow where one finds nothing."""
    for pattern in reading.patterns:
        found = pattern(text)
        if found is None:
            raise InvalidRow(f"answer: the pattern fits nothing in '{shortened(text)}'")
        text = found
    return text


def shortened(text: str, longest: int = 80) -> str:
    """The end of a text on one line: an answer stands there."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"… {line[-longest:]}"


def example_of(reading: Reading, row: Row, id_: str) -> RawExample:
    """One row. Raises InvalidRow for what it lacks."""
    if reading.stays is not None and not reading.stays(row):
        return Filtered("filter")
    question, images = question_and_images(reading, row)
    fields: dict[str, Any] = {"id": id_}
    if reading.box_format is not None:
        boxes = [cells.stored_box(box, reading.box_format) for box in boxes_in(reading, row)]
        fields |= {"answer": [list(box) for box in boxes], "answer_type": "box"}
        fields["meta"] = {"boxes": reading.box_format.units}
        return fields | {"question": question}, images
    answers = [extracted(reading, text) for text in cells.texts_of_cell(answer_cell(reading, row), "answer")]
    choices, names = choices_in(reading, row) if reading.chooses else ([], None)
    if choices:
        letters = [cells.letter_of_answer(text, choices, names, reading.counting) for text in answers]
        if len(set(letters)) > 1:
            raise InvalidRow(
                f"answer: {len(set(letters))} options answer, {', '.join(letters)}: a choice has one"
            )
        fields["answer"] = letters[0]
        fields |= {"answer_type": "choice", "choices": choices}
        if reading.template is None and not cells.are_listed(choices, question):
            question = f"{question}\n{lettered(choices)}"
    else:
        fields |= {"answer": answers[0], "answer_type": reading.answer_type}
        if len(answers) > 1:
            fields["meta"] = {"answers": answers}
    return fields | {"question": question}, images


def question_and_images(reading: Reading, row: Row) -> tuple[str, list[ImageLike]]:
    """The question, with a mark for each image that a conversation holds, and its images. Raises InvalidRow."""
    texts: list[str] = []
    inside: list[Any] = []
    for column in reading.columns.question:
        value = cell(row, column)
        if is_conversation(value):
            asked = question_in(value, column)
            texts.append(asked.question)
            inside += asked.images
        elif isinstance(value, str):
            texts.append(value.strip())
        elif not cells.is_empty(value):
            raise InvalidRow(f"question: found {type(value).__name__} in '{column}', expected a text")
    question = reading.template(row) if reading.template else "\n".join(filter(None, texts))
    for name in cell(row, "objects.ref") or () if "<ref-object>" in question else ():
        question = question.replace("<ref-object>", str(name), 1)
    if not question:
        raise InvalidRow("question: empty")
    given = inside or [cell(row, column) for column in reading.columns.image]
    return question, [image for value in given for image in images_of_cell(value, reading.place)]


def choices_in(reading: Reading, row: Row) -> tuple[list[str], list[str] | None]:
    """Texts of the options and their names, if they have any; none for a row without. Raises InvalidRow."""
    columns = reading.columns.choices
    if len(columns) == 1:
        value = cell(row, columns[0])
        return ([], None) if cells.is_empty(value) else cells.options_of_cell(value)
    values = [cell(row, column) for column in columns]
    while values and (
        cells.is_empty(values[-1]) or str(values[-1]).strip() == "nan"
    ):  # as pandas writes a gap
        values.pop()
    # By the letters of their columns: where the second of three is empty, C is the last one's.
    filled = {letter(place): value for place, value in enumerate(values) if not cells.is_empty(value)}
    return cells.options_of_cell(filled) if filled else ([], None)


def boxes_in(reading: Reading, row: Row) -> list[cells.Box]:
    """The boxes that answer, in the table's own form. Raises InvalidRow."""
    value = answer_cell(replace(reading, columns=replace(reading.columns, answer=reading.columns.box)), row)
    if isinstance(value, str):
        value = extracted(reading, value)
    return cells.boxes_of_cell(value)


def read(options: Options, source: Source, reading: Reading) -> Iterator[RawExample]:
    """Every row in order; the id is the row's, or else its number in the table."""
    prefix = options.split or "row"
    for number, where, row in sliced(source, options.slice):
        id_ = f"{prefix}-{number:05d}"
        yield converted(reading, row, id_, where)


def converted(reading: Reading, row: Row | str, id_: str, where: str) -> RawExample:
    """A row, or why it cannot be one, with its place."""
    try:
        if isinstance(row, str):
            raise InvalidRow(row)
        if reading.columns.id:
            id_ = cells.text_of_cell(cell(row, reading.columns.id[0]), "id")
        return example_of(reading, row, id_)
    except InvalidRow as error:
        return Rejected(id_, f"{error} ({where})")
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        return Rejected(id_, f"not read ({told(error)}) ({where})")
