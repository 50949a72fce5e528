"""Markdown as the commands write it, and as plain text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ullage.contexts.commands.figures import printable
from ullage.contexts.commands.markdown import bullets, escaped, fenced, paragraphs, plain, table

cells = st.text(max_size=20) | st.text("|\\`*_ <&![]()ab", max_size=12)


def normal(text: str) -> str:
    return " ".join(printable(" ".join(text.split())).split())


@settings(max_examples=300)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_property_plain_tables_hold_every_cell(rows: list[list[str]]) -> None:
    headings = ["h"] * len(rows[0])
    shown = plain(table(headings, rows)).split("\n")
    assert len(shown) == 1 + len(rows)
    for line, row in zip(shown[1:], rows, strict=True):
        assert "".join(line.split()) == printable("".join("".join(row).split()))


@settings(max_examples=300)
@given(cells)
def test_property_escaped_text_is_text_again_in_plain(text: str) -> None:
    assert plain(f"x{escaped(text)}x") == f"x{normal(text)}x"


@settings(max_examples=300)
@given(st.text(max_size=40) | st.text("`\n ab", max_size=30))
def test_property_fenced_text_is_itself_in_plain(text: str) -> None:
    assert plain(paragraphs("before", fenced(text, "json"), "after")) == f"before\n\n{text}\n\nafter"


@settings(max_examples=300)
@given(cells)
@example("a | b")
@example("[a](b)")
@example("![a](b)")
@example("<b>a</b>")
@example("&amp;")
@example("`a` *a* **a** _a_ ~~a~~")
@example("a\\")
def test_property_no_foreign_text_is_markup(text: str) -> None:
    """An editor's parser sees the text in the cell, whatever it holds, and nothing else."""
    parser = MarkdownIt().enable(["table", "strikethrough"])
    *_, last = [token for token in parser.parse(table(("a", "b"), [("x", text)])) if token.type == "inline"]
    assert {child.type for child in last.children or ()} <= {"text", "text_special"}
    assert "".join(child.content for child in last.children or ()) == normal(text).replace("\0", "\ufffd")


@pytest.mark.parametrize("text", ["q8_0", "llama3.1:8b", "12,847 / 32,768 (39%)", "/context size"])
def test_ordinary_names_stay_readable(text: str) -> None:
    assert escaped(text) == text


def test_a_table_without_headings_shows_none_in_plain() -> None:
    assert plain(table(("", ""), [("Model", "tiny"), ("KV cache", "f16")])) == "Model     tiny\nKV cache  f16"


def test_plain_text_has_no_marks() -> None:
    markdown = paragraphs("Now in **main**: `/context undo`.", bullets(["one", "two"]))
    assert plain(markdown) == "Now in main: /context undo.\n\n- one\n- two"


@pytest.mark.parametrize(
    "markdown", ["| half a table |", "| a | b |\n| c |", "| ", "|", "```\nnever closed", "**", "`"]
)
def test_markdown_of_another_form_is_shown_all_the_same(markdown: str) -> None:
    plain(markdown)
