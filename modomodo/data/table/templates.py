"""The question's template and the filter: jinja, in a sandbox, over the columns of a row."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modomodo.data.images import InvalidRow
from modomodo.errors import InputError, nearest

if TYPE_CHECKING:
    from jinja2 import Environment

Row = Mapping[str, Any]


def _environment() -> "Environment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _parsed(environment: "Environment", text: str, key: str) -> set[str]:
    """The names that a template uses. Raises InputError for one that is no jinja."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(environment.parse(text)) - set(environment.globals) - {"row"}
    except TemplateSyntaxError as error:
        raise InputError(f"options.{key}: line {error.lineno}: {error.message}") from None


def check_columns(text: str, key: str, columns: Sequence[str]) -> None:
    """Raises InputError for a template or filter (`key`) that uses a column which the table has not."""
    used = _parsed(_environment(), text if key == "template" else f"{{{{ ({text}) }}}}", key)
    for name in sorted(used):
        if name not in columns:
            raise InputError(f"options.{key}: no column '{name}': {nearest(name, columns)}")


def template_of(text: str) -> Callable[[Row], str]:
    """`{{ problem }} Options: {{ options | join(', ') }}` → row → text; `row["a name"]` is any column.

    Raises InputError when it is no jinja; what it makes raises InvalidRow.
    """
    from jinja2 import TemplateError

    environment = _environment()
    _parsed(environment, text, "template")
    template = environment.from_string(text)

    def render(row: Row) -> str:
        try:
            return template.render({**row, "row": row}).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise InvalidRow(f"template: {' '.join(str(error).split())}") from None

    return render


def filter_of(text: str) -> Callable[[Row], bool]:
    """`level >= 3 and 'algebra' in topic` → row → whether it stays.

    Raises InputError when it is no jinja expression; what it makes raises InvalidRow.
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    environment = _environment()
    _parsed(environment, f"{{{{ ({text}) }}}}", "filter")
    try:
        expression = environment.compile_expression(text, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise InputError(f"options.filter: {error.message}") from None

    def stays(row: Row) -> bool:
        try:
            return bool(expression({**row, "row": row}))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise InvalidRow(f"filter: {' '.join(str(error).split())}") from None

    return stays
