"""The cells of a CSV file as text, without pandas, which the plan of a study has no time for."""

import csv
from pathlib import Path

from modomodo.errors import InputError

DELIMITERS = {";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"}  # of files that are named .csv, too


def read_cells(path: str | Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows, their shape checked; row i is line i + 2 of the file.

    Raises InputError naming file and line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table: {error}: save it as CSV in UTF-8") from None
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise InputError(f"{path}: empty: expected a header and rows")
    if len(lines[0]) == 1 and (mark := next((mark for mark in DELIMITERS if mark in lines[0][0]), None)):
        raise InputError(f"{path}:1: cells are separated by {DELIMITERS[mark]}: separate them by commas")
    header = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(lines[0])]
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"{path}:1: column '{name}' appears twice: give it another name")
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(header):
            raise InputError(f"{path}:{number}: {len(cells)} cells, expected {len(header)}")
    return header, lines[1:]
