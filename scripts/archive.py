"""A finished study → one file to hand on: code, locks, the study, its data, records, tables, provenance, digests.

Example:
    python scripts/archive.py --study config/tiny.yaml --output results/tiny.tar.gz --with weights

Unpacked elsewhere, `make reproduce` checks that every file is as it was archived and that Snakemake finds nothing to
do; `make reproduce AGAIN=1` runs the study anew from code and data, and compares. Files that the study names beside
the clone keep their place beside it.

Models (`weights`) and the images of the examples (`images`) are left out unless --with names them. The same files give
the same bytes. The archive is tried before it is done: it is unpacked into an empty folder, where `snakemake -n` has to
find nothing to do.
"""

import sys
import tempfile
from pathlib import Path

from modomodo import command_line, console
from modomodo.errors import InputError
from modomodo.files import file_digest
from modomodo.study.archive import IMAGES, WEIGHTS, contents, left_to_do, unpack, write_archive


def main() -> None:
    parser = command_line.parser(__doc__)
    command_line.add_study(parser)
    parser.add_argument("--output", type=Path, required=True, help="the archive (.tar.gz)")
    parser.add_argument(
        "--with",
        dest="kept",
        nargs="*",
        default=[],
        choices=(WEIGHTS, IMAGES),
        help="what to put in besides: models, the images of the examples",
    )
    arguments = parser.parse_args()
    found = contents(arguments.study, Path(), arguments.kept)
    write_archive(arguments.output, found)
    with tempfile.TemporaryDirectory(dir=arguments.output.parent, prefix=".unpacked.") as folder:
        unpack(arguments.output, Path(folder))
        left = left_to_do(Path(folder) / found.home, found.study)
    if left:
        arguments.output.unlink()
        raise InputError(f"{arguments.study}: unpacked elsewhere it would not be finished: {left}")
    for path in found.elsewhere:
        print(
            f"warning: not in the archive, since the study names it by an absolute path: {path}",
            file=sys.stderr,
        )
    size, digest = arguments.output.stat().st_size, file_digest(arguments.output)
    print(f"archive: {arguments.output}: {console.size(size)}, {len(found.files)} files, sha256 {digest}")


if __name__ == "__main__":
    command_line.run(main)
