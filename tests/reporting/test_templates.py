"""Pages from templates, and the one writer of Markdown tables."""

import jinja2
import pytest

from modomodo.reporting import templates
from modomodo.reporting.templates import escape_rst, markdown_table, render_template


def test_a_table_keeps_its_cells_and_escapes_their_bars():
    text = markdown_table(["key", "a|b"], [["`x`", "1.0"], ["y", ""]])
    assert text.splitlines() == ["| key | a\\|b |", "|-------|--------|", "| `x` | 1.0 |", "| y |  |"]


def test_a_table_of_numbers_is_aligned_and_rounds_none():
    text = markdown_table(["mixture", "score"], [["all", "0.5000"], ["single: x", "**0.70**"]], numbers=True)
    assert text.splitlines() == [
        "| mixture   |    score |",
        "|:----------|---------:|",
        "| all       |   0.5000 |",
        "| single: x | **0.70** |",
    ]


def test_a_table_without_rows_has_its_head():
    assert markdown_table(["a", "b"], [], numbers=True).splitlines()[0].split() == ["|", "a", "|", "b", "|"]


def test_a_template_that_lacks_a_value_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "page.jinja").write_text("{{ one }} {{ two }}\n")
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    templates._environment.cache_clear()
    try:
        with pytest.raises(jinja2.UndefinedError, match="two"):
            render_template("page", one=1)
        assert render_template("page", one=1, two="<b>") == "1 <b>\n"
    finally:
        templates._environment.cache_clear()


def test_markup_is_escaped_for_both_readers_of_a_page():
    assert escape_rst("a_b *c* {{ d }}") == r"a\_b \*c\* { { d }}"
