"""How a table is read: what the study leaves open is settled by the table's first rows, and said."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from modomodo.data.examples import AnswerType, Rejected
from modomodo.data.images import InvalidRow, size_of
from modomodo.data.table import cells
from modomodo.data.table.cells import Counting
from modomodo.data.table.conversations import has_system_turn
from modomodo.data.table.doubts import WARNING, doubts_of_answers, doubts_of_columns
from modomodo.data.table.files import Source, download_source, source_of
from modomodo.data.table.image_cells import ImagePlace
from modomodo.data.table.reading import (
    Options,
    Reading,
    answer_cell,
    boxes_in,
    choices_in,
    converted,
    extracted,
    question_and_images,
    shortened,
)
from modomodo.data.table.sources import slice_bounds, sliced
from modomodo.data.table.spellings import Columns, Row, cell, columns_of, names_of
from modomodo.data.table.templates import check_columns, filter_of, template_of
from modomodo.errors import InputError

FIRST_ROWS, FIRST_BYTES = 200, 32 << 20  # that settle how a table is read, whichever is reached first
LOOKED_AT = 20 * FIRST_ROWS  # rows among which those are sought that a filter lets through
MEASURED = 20  # images whose sizes are compared with their boxes
_APPLIED = 0.95  # share of the first answers that hold a pattern for it to be applied unasked
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?")
_UNITS = {"norm1": "0-1", "real": "pixels", "norm1000": "0-1000"}  # ms-swift's objects.bbox_type

First = list[tuple[int, str, Row]]


def opened(options: Options, raw: Path | None) -> Source | None:
    """Where the rows are: at `path`, or among downloaded files; None before they are downloaded.

    Raises InputError, as the options are judged here that need no row.
    """
    if options.slice:
        slice_bounds(options.slice)
    if options.answer_pattern:
        cells.pattern_named(options.answer_pattern)
    if options.box_format:
        cells.box_format(options.box_format)
    for key, read in (("template", template_of), ("filter", filter_of)):
        if text := getattr(options, key):
            read(text)
    if options.path:
        return source_of(options.path, options.name, options.split)
    return download_source(raw, options.split) if raw is not None else None


def settle(options: Options, source: Source) -> tuple[Reading, First]:
    """How the table is read, by its first rows, and these. Raises InputError for what no row can be read with."""
    stays = filter_of(options.filter) if options.filter else None
    first, looked_at, unreadable = _looked_at(options, source, stays)
    if not looked_at:
        what = f": {unreadable}" if unreadable else ""
        raise InputError(
            f"{source.shown}: no row{' in this slice' if options.slice else ''} can be read{what}"
        )
    names = names_of(looked_at)
    for key in ("template", "filter"):
        if text := getattr(options, key):
            check_columns(text, key, [name for row in looked_at for name in row])
    rows = [row for _, _, row in first] or looked_at[:FIRST_ROWS]
    columns = columns_of(options.columns or {}, rows, bool(options.template))
    folder = options.image_folder or source.folder
    reading = Reading(
        columns=columns,
        place=ImagePlace(folder, inside=not options.path),
        template=template_of(options.template) if options.template else None,
        stays=stays,
        said=tuple(_said_of_columns(columns, names, rows, options)),
    )
    return _with_answers(reading, options, rows), first


def first_rows(options: Options, source: Source) -> First:
    """The first rows of a table, before anything is settled of it."""
    return _looked_at(options, source, None)[0]


def _looked_at(
    options: Options, source: Source, stays: Callable[[Row], bool] | None
) -> tuple[First, list[Row], str]:
    """(first rows that stay, all that were looked at, why the first unreadable one was)."""
    first: First = []
    looked_at: list[Row] = []
    unreadable, size = "", 0
    for number, where, row in sliced(source, options.slice):
        if isinstance(row, str):
            unreadable = unreadable or f"{where}: {row}"
            continue
        looked_at.append(row)
        try:
            if stays is None or stays(row):
                first.append((number, where, row))
        except InvalidRow:
            first.append((number, where, row))
        size += sum(_size(value) for value in row.values())
        if len(first) == FIRST_ROWS or len(looked_at) == LOOKED_AT or size > FIRST_BYTES:
            break
    return first, looked_at, unreadable


def _size(value: object) -> int:
    if isinstance(value, bytes | str):
        return len(value)
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return sum(_size(one) for one in inner)


def _said_of_columns(
    columns: Columns, names: Sequence[str], rows: Sequence[Row], options: Options
) -> Iterator[str]:
    if columns.found:
        pairs = (f"{role}: {' + '.join(columns.of(role))}" for role in columns.found)
        yield f"columns recognised: {', '.join(pairs)}"
    if any(has_system_turn(cell(row, column)) for row in rows for column in columns.question):
        yield "system turns are left out: the study's prompts take their place"
    used = {name for role in ("question", "answer", "image", "choices", "box") for name in columns.of(role)}
    if columns.answer and not columns.box:
        spare = [name for name in ("bbox", "bboxes", "objects.bbox", "bbox_2d") if name in names]
        if spare and not used & set(spare):
            yield f"column '{spare[0]}' is not asked for: columns: {{box: {spare[0]}}} would"
    yield from doubts_of_columns(used, names, rows, bool(options.template))


# --- answers, by the first rows -----------------------------------------------------------------------------


def _with_answers(reading: Reading, options: Options, rows: Sequence[Row]) -> Reading:
    """The reading with pattern, answer type, counting and box format."""
    if reading.columns.box:
        return _with_boxes(reading, options, rows, reading.columns.box)
    given = [answer_cell(reading, row) for row in rows]
    if options.answer_type == "box" or (options.answer_type is None and _are_boxes(given)):
        return _with_boxes(reading, options, rows, reading.columns.answer)
    reading = _with_pattern(reading, options, given)
    answers = list(_texts(reading, given))
    if options.answer_type is None and answers and all(_is_text_of_boxes(text) for text in answers):
        return _with_boxes(reading, options, rows, reading.columns.answer)
    boxes = sum(map(_is_text_of_boxes, answers))
    doubts = doubts_of_answers(".".join(reading.columns.answer), given, answers, boxes)
    reading = replace(reading, said=(*reading.said, *doubts))
    wanted = options.answer_type
    chooses = bool(reading.columns.choices) and wanted in (None, "choice")
    if wanted == "choice" and not chooses:
        raise InputError(
            "options.answer_type: choice needs columns.choices, the texts of the options; without them a letter is "
            "a text"
        )
    kind: AnswerType = "number" if answers and all(map(_NUMBER.fullmatch, answers)) else "text"
    if wanted in ("text", "number"):
        kind = wanted
    counting, said = _counting(reading, rows) if chooses else (0, tuple(_doubts_of_letters(reading, rows)))
    return replace(reading, answer_type=kind, chooses=chooses, counting=counting, said=(*reading.said, *said))


def _doubts_of_letters(reading: Reading, rows: Sequence[Row]) -> Iterator[str]:
    """A warning for letters that answer questions of which neither a column nor the text gives the options."""
    lettered = unlisted = 0
    for row in rows:
        with suppress(InvalidRow):
            text = cells.text_of_cell(answer_cell(reading, row), "answer")
            if re.fullmatch(r"\(?[A-H][.)]?", extracted(reading, text)):
                lettered += 1
                unlisted += not re.search(r"\bB\W", question_and_images(reading, row)[0])
    if unlisted and 2 * unlisted >= lettered and 2 * lettered >= len(rows):
        yield (
            f"{WARNING}{unlisted} of the first {len(rows)} answers are letters, and neither their questions nor a "
            "column give the options: columns: {choices: …} names them, unless the images show them"
        )


def _texts(reading: Reading, given: Sequence[Any]) -> Iterator[str]:
    """The answers that can be read, as texts."""
    for value in given:
        try:
            yield from (extracted(reading, text) for text in cells.texts_of_cell(value, "answer"))
        except InvalidRow:
            continue


def _with_pattern(reading: Reading, options: Options, given: Sequence[Any]) -> Reading:
    """The pattern that the study names, or else the ones that nearly all answers hold, the inner after the outer."""
    texts = [value for value in given if isinstance(value, str) and value.strip()]
    if options.answer_pattern == "" or not texts:
        return reading
    if options.answer_pattern is not None:
        pattern = cells.pattern_named(options.answer_pattern)
        if not any(pattern(text) for text in texts):
            shown = "; ".join(f"'{shortened(text)}'" for text in texts[:3])
            raise InputError(
                f"options.answer_pattern: '{options.answer_pattern}' fits none of the first {len(texts)} answers "
                f"(0%): {shown}"
            )
        return replace(reading, patterns=(pattern,))
    reading, texts = _with_lists(reading, texts)
    said = list(reading.said)
    patterns: list[Callable[[str], str | None]] = []
    for name in ("<answer>", "####", "\\boxed{}"):
        pattern = cells.PATTERNS[name]
        found = [pattern(text) for text in texts]
        share = sum(answer is not None for answer in found) / len(texts)
        if share >= _APPLIED:
            said.append(f"answer_pattern recognised: '{name}', in {share:.0%} of the first answers")
            patterns.append(pattern)
            texts = [answer for answer in found if answer is not None]
        elif share >= 1 - _APPLIED:
            said.append(
                f"{WARNING}{share:.0%} of the first answers hold '{name}', the others do not: whole cells are the "
                "answers; name answer_pattern to reject the others"
            )
    return replace(reading, patterns=tuple(patterns), said=tuple(said))


def _with_lists(reading: Reading, texts: list[str]) -> tuple[Reading, list[str]]:
    """The reading and the texts that answer, of which nearly all may list accepted answers as texts."""
    lists = [found for text in texts if (found := cells.listed_texts(text))]
    if len(lists) >= _APPLIED * len(texts):
        said = 'texts such as ["a", "b"] are lists of accepted answers (answer_pattern: "" takes them whole)'
        return replace(reading, listed=True, said=(*reading.said, said)), list(
            itertools.chain.from_iterable(lists)
        )
    if len(lists) >= (1 - _APPLIED) * len(texts):
        said = (
            f"{WARNING}{len(lists) / len(texts):.0%} of the first answers are lists of texts, the others are not: "
            "each is compared as a whole; filter them into an entry of their own"
        )
        reading = replace(reading, said=(*reading.said, said))
    return reading, texts


def _counting(reading: Reading, rows: Sequence[Row]) -> tuple[Counting, tuple[str, ...]]:
    """What a number means that answers a question with options: the text of one, or its position from 0 or from 1.

    Raises InputError where the first rows fit a text and a position alike.
    """
    read: list[tuple[str, list[str]]] = []
    for row in rows:
        try:
            choices, names = choices_in(reading, row)
            answer = extracted(reading, cells.text_of_cell(answer_cell(reading, row), "answer"))
        except InvalidRow:
            continue
        if choices and re.fullmatch(r"\d+", answer) and not (names and answer in names):
            read.append((answer, choices))
    if not read:
        return 0, ()
    as_text = all(answer in choices for answer, choices in read)
    from_0 = all(int(answer) < len(choices) for answer, choices in read)
    from_1 = all(1 <= int(answer) <= len(choices) for answer, choices in read)
    if as_text and not (from_0 or from_1):
        return "text", ()
    if as_text:
        answer, choices = read[0]
        raise InputError(
            f"options.columns.answer: '{answer}' may be the option '{answer}' or its position among {choices}: write "
            "letters, A for the first"
        )
    if from_1 and not from_0:
        return 1, ("numbers that answer are positions from 1",)
    if from_1 and from_0:
        return 0, (
            f"{WARNING}numbers that answer are taken for positions from 0, though neither 0 nor the last position is "
            "among the first: if they are from 1, write letters",
        )
    return 0, ("numbers that answer are positions from 0",)


# --- boxes, by the first rows -------------------------------------------------------------------------------


def _are_boxes(given: Sequence[Any]) -> bool:
    filled = [value for value in given if not cells.is_empty(value)]
    return bool(filled) and all(not isinstance(value, str) and _holds_boxes(value) for value in filled)


def _holds_boxes(value: Any) -> bool:
    try:
        return bool(cells.boxes_of_cell(value))
    except InvalidRow:
        return False


def _is_text_of_boxes(text: str) -> bool:
    return "[" in text and _holds_boxes(text)


def _with_boxes(reading: Reading, options: Options, rows: Sequence[Row], columns: tuple[str, ...]) -> Reading:
    reading = replace(reading, columns=replace(reading.columns, box=columns), answer_type="box")
    read = []
    for row in rows:
        try:
            read += boxes_in(reading, row)
        except InvalidRow:
            continue
    if not read:
        shown = "; ".join(shortened(str(cell(row, columns[0]))) for row in rows[:3])
        raise InputError(
            f"options.columns.box: '{columns[0]}' holds no box in the first {len(rows)} rows: {shown}"
        )
    largest = max(max(box) for box in read)
    shown = ", ".join(str([round(number, 4) for number in box]) for box in read[:3])
    said = list(reading.said)
    text = options.box_format
    if text is None:
        units = {cell(row, "objects.bbox_type") for row in rows} if columns == ("objects.bbox",) else {None}
        known = _UNITS.get(str(next(iter(units)))) if len(units) == 1 else None
        if known is None:
            raise InputError(
                f"options.box_format: missing: {shown} do not say their units: write {', '.join(cells.UNITS)}, and "
                f"xywh behind it for x, y, width, height{' (these fit 0-1)' if largest <= 1 else ''}"
            )
        text = known
        said.append(f"box_format recognised: {known}, by objects.bbox_type")
    form = cells.box_format(text)
    if largest <= 1 and form.units != "0-1":
        raise InputError(f"options.box_format: {form.units}, but the first boxes fit 0-1: {shown}")
    return replace(reading, box_format=form, said=tuple(said))


# --- what the first rows show ---


def refuse_hopeless(reading: Reading, first: First) -> None:
    """Raises InputError when none of the first rows can be read, or none of the files is there that they name."""
    examples = [converted(reading, row, str(number), where) for number, where, row in first]
    rejected = [example for example in examples if isinstance(example, Rejected)]
    if rejected and len(rejected) == len(examples):
        shown = "; ".join(example.reason for example in rejected[:3])
        raise InputError(f"all of the first {len(rejected)} rows are rejected: {shown}")
    read = [example for example in examples if isinstance(example, tuple)]
    images = [image for _, given in read for image in given]  # type: ignore[union-attr]
    paths = [image for image in images if isinstance(image, Path)]
    if paths and len(paths) == len(images) and not any(path.exists() for path in paths):
        raise InputError(
            f"options.image_folder: none of the {len(paths)} images of the first rows is there, e.g. {paths[0]}: name "
            "the folder that their paths start from, or columns: {image: null} for text alone"
        )
    if reading.box_format is not None and reading.box_format.units == "pixels":
        _refuse_other_pixels(read[:MEASURED])


def _refuse_other_pixels(read: Sequence[tuple[dict[str, Any], Any]]) -> None:
    """Raises InputError when most boxes reach beyond their images: they are of other units, or of resized images."""
    measured, beyond = 0, []
    for fields, images in read:
        with suppress(InvalidRow, IndexError):  # a row without an image is rejected later
            width, height = size_of(images[0])
            measured += 1
            x2, y2 = (max(box[place] for box in fields["answer"]) for place in (2, 3))
            if (
                x2 > 1.02 * width + 2 or y2 > 1.02 * height + 2
            ):  # annotators and rounding reach a little beyond
                beyond.append(f"{fields['answer'][0]} in {width} x {height}")
    if 2 * len(beyond) > measured:
        raise InputError(
            f"options.box_format: pixels, but the boxes of {len(beyond)} of the first {measured} rows reach beyond "
            f"their images, e.g. {beyond[0]}: are they 0-1000, or xywh?"
        )


def named_images(options: Options, most: int) -> list[Path]:
    """The files that the images of the first rows are, and of one more than `most` rows where there are any."""
    source = opened(options, None)
    if source is None:
        return []
    reading, first = settle(options, source)
    if not any(_named_in(reading, row) for _, _, row in first):
        return []
    rows = (row for _, _, row in itertools.islice(sliced(source, options.slice), most + 1))
    return [path for row in rows if not isinstance(row, str) for path in _named_in(reading, row)]


def _named_in(reading: Reading, row: Row) -> list[Path]:
    try:
        _, images = question_and_images(reading, row)
    except (InvalidRow, TypeError, ValueError, LookupError, AttributeError):
        return []
    return [image for image in images if isinstance(image, Path)]
