"""models → docs/config.md, which describes every key of a study, and the JSON schema for editors.

Example:
    python scripts/reference.py --output docs/config.md --schema config/study.schema.json
"""

from pathlib import Path

from modomodo import command_line
from modomodo.files import write_whole
from modomodo.reference import page, schema


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the page, Markdown")
    parser.add_argument("--schema", type=Path, required=True, help="the JSON schema")
    arguments = parser.parse_args()
    for path, text in ((arguments.output, page()), (arguments.schema, schema())):
        with write_whole(path) as file:
            file.write(text)


if __name__ == "__main__":
    command_line.run(main)
