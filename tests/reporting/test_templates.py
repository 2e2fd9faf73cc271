"""Pages from templates, and the one writer of Markdown tables."""

import jinja2
import pytest

from modomodo.reporting import templates
from modomodo.reporting.templates import markdown_table, packed, render_template, shown


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


def test_a_page_of_html_escapes_what_is_written_into_it(monkeypatch, tmp_path):
    (tmp_path / "page.html.jinja").write_text("<p>{{ one }}</p>\n")
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    templates._environment.cache_clear()
    try:
        assert render_template("page.html", one="<b>&") == "<p>&lt;b&gt;&amp;</p>\n"
    finally:
        templates._environment.cache_clear()


def test_a_text_to_look_at_is_short_and_hides_nothing():
    assert shown("one\ttwo\n") == "one\ttwo\n"
    assert shown("\x00\x1b[31m\x7f\u202e\ud800") == "␀␛[31m␡◇?"
    assert shown("a" * 60 + "b" * 60, 100) == f"{'a' * 60}{'b' * 5}\n… 25 characters left out …\n{'b' * 30}"


def test_what_is_packed_is_the_same_bytes_each_time():
    assert packed("<b>") == packed("<b>") and "<" not in packed("<b>")
