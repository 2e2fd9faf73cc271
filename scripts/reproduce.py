"""An unpacked archive of a study: whether it is whole and up to date; with --again, whether it comes out the same.

Example:
    python scripts/reproduce.py
    python scripts/reproduce.py --again again

Without an option every file is compared with its digest in archive.json, and Snakemake has to find nothing to do.
With --again the study is run anew in that folder, from code and data alone, and its tables, predictions and streams are
compared byte by byte. On another kind of machine the last digits of a number may differ; the largest difference in
Table 2 is told.

Exit status 1 when something differs.
"""

import sys
from pathlib import Path

import pandas as pd

from modomodo import command_line
from modomodo.errors import InputError
from modomodo.files import read_json
from modomodo.study.archive import CONTENTS, check_files, compare, left_to_do, run_again


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="run the study anew in this folder")
    arguments = parser.parse_args()
    clone = Path(__file__).parents[1]
    if not (clone / CONTENTS).is_file():
        raise InputError(f"{CONTENTS}: no such file: this is no unpacked archive (make archive writes one)")
    study = read_json(clone / CONTENTS, "study")["study"]
    changed = check_files(clone)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise InputError(f"not as archived: {', '.join(changed[:3])}{more}: unpack it again")
    if left := left_to_do(clone, study):
        raise InputError(f"{study}: not finished: {left}")
    print(f"{study}: every file is as archived, and Snakemake finds nothing to do")
    if arguments.again:
        report(clone, run_again(clone, arguments.again))


def report(clone: Path, again: Path) -> None:
    """What the second run says of the first."""
    equal, different = compare(clone, again)
    print(f"run again: {len(equal)} files have the same bytes, {len(different)} have not")
    for name in different:
        print(f"differs: {name}")
    tables = [name for name in different if name.endswith("/table2.csv")]
    for name in tables:
        first, second = (pd.read_csv(folder / name).select_dtypes("number") for folder in (clone, again))
        print(f"largest difference in {name}: {(first - second).abs().max().max():.3g}")
    if different:
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
