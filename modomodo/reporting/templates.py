"""Pages of text: the templates of report/, and tables in Markdown."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parents[2] / "report"


def render_template(name: str, **values: Any) -> str:
    """A page from the template `report/<name>.jinja`."""
    return _environment().get_template(f"{name}.jinja").render(**values).rstrip("\n") + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = False) -> str:
    """A table in Markdown, its last line without an end. `numbers`: all columns but the first align right."""
    first, *cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    frame = pd.DataFrame(cells, columns=first)
    if numbers:
        alignment = ("left", *["right"] * (len(head) - 1))
        return frame.to_markdown(index=False, disable_numparse=True, colalign=alignment)
    return frame.to_markdown(index=False, disable_numparse=True, stralign=None)


def escape_rst(text: str) -> str:
    """Text that neither reStructuredText nor Jinja, by which Snakemake reads the page first, takes for markup."""
    return re.sub(r"([\\`*_|])", r"\\\1", not_jinja(text))


def not_jinja(text: str) -> str:
    """Text without what Jinja would fill in."""
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")


def escape_markdown(text: str) -> str:
    """Text that Markdown does not take for markup or HTML."""
    return re.sub(r"([\\`*_|<>\[\]&#~])", r"\\\1", text)


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown and reStructuredText
    )
    environment.filters["rst"] = escape_rst
    environment.filters["literal"] = not_jinja
    environment.filters["md"] = escape_markdown
    environment.globals["markdown_table"] = markdown_table
    return environment
