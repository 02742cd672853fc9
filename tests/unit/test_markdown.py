"""Texts of other people in Markdown are shown as they are."""

from __future__ import annotations

import html

import pytest
from markdown_it import MarkdownIt

from tasks.artifacts import in_cell, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p00.png", "p00.png"),
        ("Mona Lisa, 1503-1506; oil", "Mona Lisa, 1503-1506; oil"),
        ("[click](https://evil.example)", r"\[click\]\(https\://evil.example\)"),
        ("![x](https://evil.example/a.png)", r"\!\[x\]\(https\://evil.example/a.png\)"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert\(1\)\>"),
        ("a | b", r"a \| b"),
        ("a\\| b", r"a\\\| b"),
        ("a\r\n# b\u2028c", r"a \# b c"),
        ("**a** _b_ `c` ~~d~~ &lt;", r"\*\*a\*\* \_b\_ \`c\` \~\~d\~\~ \&lt;"),
        ("www.evil.example, me@evil.example", r"www\.evil.example, me\@evil.example"),
        ("- a", r"\- a"),
        ("1. a", r"1\. a"),
    ],
)
def test_a_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert plain(text) == shown
    read = MarkdownIt("commonmark").enable("table").render(f"| a | b |\n|-|-|\n| {plain(text)} | c |\n")
    assert read.count("<td>") == 2
    assert f"<td>{html.escape(' '.join(text.split()))}</td>" in read


@pytest.mark.parametrize(
    "text",
    [
        "[click](https://evil.example)",
        "![x](https://evil.example/a.png)",
        "<img src=x onerror=alert(1)>",
        "<https://evil.example>",
        "a https://evil.example/b, www.evil.example, me@evil.example",
        "`code` \\[x] &lt;",
        "[x]: https://evil.example",
    ],
)
def test_a_text_in_a_table_makes_no_link_no_picture_and_no_html(text: str) -> None:
    read = MarkdownIt("commonmark").render(in_cell(text))
    assert read == f"<p>{html.escape(text)}</p>\n"


@pytest.mark.parametrize("name", ["rooms/p_00 (2).png", "1508.png", "Ölbild #3, 12:30.jpg", "a-b*c!.jpg"])
def test_an_ordinary_name_stands_in_a_table_as_it_is(name: str) -> None:
    assert in_cell(name) == name
