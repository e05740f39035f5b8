from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.corpus.html_text import extract_html


def test_folder_of_texts(read: Any, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/guide.md").write_text(
        "intro\n\n```\n# not this\n```\n\n## The *Guide* ##\n\nx\n"
    )
    (tmp_path / "b/under.markdown").write_text("Underlined\n==========\n\nx\n")
    (tmp_path / "a.txt").write_bytes(b"# no heading in plain text\r\nline\r\n")
    (tmp_path / "front.md").write_text('---\ntitle: "From above"\n---\n# Other\n')
    (tmp_path / "page.HTM").write_text("<title> A &amp; B </title><p>x")
    (tmp_path / "empty.md").write_text("")
    result = read(tmp_path)
    assert {d.doc_id: d.title for d in result.documents} == {
        "a.txt": "a",
        "b/guide.md": "The *Guide*",
        "b/under.markdown": "Underlined",
        "empty.md": "empty",
        "front.md": "From above",
        "page.HTM": "A & B",
    }
    assert result.ids == sorted(result.ids)
    assert result.documents[0].text == "# no heading in plain text\nline\n"
    assert result.records[0].file == str(tmp_path / "a.txt")
    assert result.records[0].line is None
    assert result.corpus.counts.title_only == 1


def test_single_file(read: Any, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("x")
    (document,) = read(tmp_path / "note.txt").documents
    assert (document.doc_id, document.title, document.text) == ("note.txt", "note", "x")


def test_encodings(read: Any, tmp_path: Path) -> None:
    (tmp_path / "bom.txt").write_text("Grüße", encoding="utf-8-sig")
    (tmp_path / "wide.txt").write_text("Grüße", encoding="utf-16")
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    (tmp_path / "page.html").write_bytes('<meta charset="iso-8859-1">Grüße'.encode("cp1252"))
    (tmp_path / "wrong.html").write_bytes('<meta charset="nonsense">Grüße'.encode("cp1252"))
    result = read(tmp_path)
    assert {d.doc_id: d.text for d in result.documents} == {
        "bom.txt": "Grüße",
        "page.html": "Grüße",
        "wide.txt": "Grüße",
    }
    assert [Path(reject["file"]).name for reject in result.rejects] == ["latin.txt", "wrong.html"]
    assert "bad encoding: not utf-8 at byte 2 (0xfc)" in result.reasons[0]


def test_size_limit(read: Any, tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_text("x" * 101)
    (tmp_path / "fits.txt").write_text("x" * 100)
    result = read(tmp_path, max_record_bytes=100)
    assert result.ids == ["fits.txt"]
    assert "too large" in result.reasons[0]


def test_name_that_is_not_utf8(read: Any, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / name).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / "b.txt").write_text("y")
    result = read(tmp_path)
    assert result.ids == ["b.txt"]
    assert "bad encoding: the file's name is not UTF-8" in result.reasons[0]
    assert "caf" in result.corpus.description.render()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(read: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "a.txt").chmod(0)
    (tmp_path / "b.txt").write_text("y")
    result = read(tmp_path)
    assert result.ids == ["b.txt"]
    assert "unreadable file: Permission denied" in result.reasons[0]


def test_html_to_text() -> None:
    title, text = extract_html(
        """<!DOCTYPE html><html><head><title>T</title><style>p {}</style>
        <script>if (a < b) { "<p>no</p>" }</script></head><body>
        <h1>Main  <em>heading</em></h1>one
        two<br>three<ul><li>four<li>five</ul>
        <table><tr><td>a</td><td>b</td></tr></table>
        <pre>x = 1
  y = 2</pre><svg><title>no</title><text>no</text></svg>
        <h3>Third</h3><p>1 &lt; 2 &eacute;</p></body></html>"""
    )
    assert title == "T"
    assert text.splitlines() == [
        *("# Main heading", "", "one two", "three", "four", "five", "a b"),
        *("x = 1", "  y = 2", "", "### Third", "", "1 < 2 é"),
    ]


@pytest.mark.parametrize(
    ("page", "title", "text"),
    [
        ("", "", ""),
        ("no tags", "", "no tags"),
        ("<h2>A</h2>", "A", "## A"),
        ("<p>a<script>unclosed", "", "a"),
        ("<![if !x]>a<![foo[b]]>c", "", "<![if !x]>a<![foo[b]]>c"),
        ("</p></div></pre>a", "", "a"),
        ("<script/><p>a</p>", "", "a"),
        ("a<!-- <p>no</p> -->b", "", "ab"),
        ("a<!-- open", "", "a open"),
        ("1 < 2 <b", "", "1 < 2 <b"),
    ],
)
def test_malformed_html(page: str, title: str, text: str) -> None:
    assert extract_html(page) == (title, text)


@pytest.mark.parametrize("part", ["<", "<!--", "<a ", '<a b="', "</", "<svg>", "</svg>", "<![x["])
def test_time_for_unclosed_parts_is_linear(part: str) -> None:
    began = time.process_time()
    extract_html(part * 50_000)
    assert time.process_time() - began < 10


@given(st.text("<>!/-[]&;\"' apretilscb\n", max_size=80))
def test_any_text_is_a_page(page: str) -> None:
    title, text = extract_html(page)
    assert title == " ".join(title.split())
    assert text == text.strip("\n")
