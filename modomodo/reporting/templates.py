"""Pages of text: the templates of report/, and tables in Markdown."""

import base64
import functools
import gzip
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from modomodo.console import decimal

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


def escape_markdown(text: str) -> str:
    """Text that Markdown does not take for markup or HTML."""
    return re.sub(r"([\\`*_|<>\[\]&#~])", r"\\\1", text)


LONGEST = 1000  # characters of a model's text that a page shows
_UNSEEN = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {0x7F: "\u2421"}
_TURNING = dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\u25c7")


def shown(text: str, longest: int = LONGEST) -> str:
    """Anything that a model or a dataset may hold as text to look at: not too long, and nothing in it unseen.

    Control characters become their pictures, marks that would turn the direction of what follows a ◇.
    """
    if len(text) > longest:
        head, tail = round(0.65 * longest), round(0.3 * longest)
        text = f"{text[:head]}\n… {len(text) - head - tail:,} characters left out …\n{text[-tail:]}"
    return text.encode("utf-8", "replace").decode().translate(_UNSEEN | _TURNING)


def packed(text: str) -> str:
    """A text as gzip in base64, which a page unpacks when it is wanted: the same bytes for the same text."""
    return base64.b64encode(gzip.compress(str(text).encode(), mtime=0)).decode()


def script_digest(name: str) -> str:
    """What a page's content security policy calls a script of report/, the only one that it may run."""
    digest = hashlib.sha256((FOLDER / name).read_bytes()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=lambda name: str(name).endswith(".html.jinja"),  # the others: Markdown
    )
    environment.filters["md"] = escape_markdown
    environment.filters["shown"] = shown
    environment.filters["packed"] = packed
    environment.filters["decimal"] = decimal
    environment.globals["markdown_table"] = markdown_table
    return environment
