"""models → docs/config.md, which describes every key of a study, and the JSON schema for editors.

Example:
    python scripts/reference.py --output docs/config.md --schema config/study.schema.json

With `--graph docs/architecture.md` also the graph of the rules there, from `snakemake --rulegraph` on standard input.
"""

import sys
from pathlib import Path

from modomodo import command_line
from modomodo.files import atomic_write
from modomodo.replay.config import ReplayConfig
from modomodo.study.reference import page, schema, with_graph


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the page, Markdown")
    parser.add_argument(
        "--schema",
        type=Path,
        required=True,
        help="study.schema.json; replay.schema.json goes to its folder",
    )
    parser.add_argument(
        "--graph", type=Path, help="a page whose mermaid block becomes the graph on standard input"
    )
    arguments = parser.parse_args()
    recorded = arguments.schema.with_name("replay.schema.json")
    texts = [(arguments.output, page()), (arguments.schema, schema()), (recorded, schema(ReplayConfig))]
    if arguments.graph:
        texts.append(
            (arguments.graph, with_graph(arguments.graph.read_text(encoding="utf-8"), sys.stdin.read()))
        )
    for path, text in texts:
        with atomic_write(path) as file:
            file.write(text)


if __name__ == "__main__":
    command_line.run(main)
