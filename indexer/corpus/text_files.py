"""Reader of folders of text: every .txt, .md and .html file is a document."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from indexer.corpus.headings import find_headings, front_matter_end
from indexer.corpus.html_text import extract_html
from indexer.corpus.layout import InputFile, plain_name
from indexer.corpus.lines import encoding_detail, not_utf8, too_large
from indexer.corpus.options import FieldMapping
from indexer.corpus.records import RawRecord, Reject, RejectReason
from indexer.corpus.streams import ByteCount

TEXT_MAPPING = FieldMapping("id", "title", ("text",))

MARKDOWN_SUFFIXES = frozenset((".md", ".markdown"))
HTML_SUFFIXES = frozenset((".html", ".htm", ".xhtml"))

_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w.:-]+)""", re.ASCII | re.IGNORECASE)
_TITLE_KEY = re.compile(r"""^title:[ \t]*(["']?)(.*?)\1[ \t]*$""", re.MULTILINE)


def read_text_file(file: InputFile, limit: int, count: ByteCount) -> Iterator[RawRecord | Reject]:
    """The document of a file: its path is the identifier, its headings give the title.

    Args:
        file: The file.
        limit: Largest file in bytes.
        count: Gets the bytes read.

    Raises:
        OSError: The file cannot be opened.
        DamagedStreamError: Its compression is damaged.
    """
    with file.open(count) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        yield too_large(file.shown, None, len(content), limit, content)
        return
    suffix = PurePosixPath(plain_name(file.name)).suffix.lower()
    try:
        file.name.encode("utf-8")
    except UnicodeEncodeError as error:
        detail = f"the file's name is not UTF-8: {encoding_detail(error)}"
        yield Reject(file.shown, None, RejectReason.ENCODING, detail)
        return
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        declared = _declared_charset(content) if suffix in HTML_SUFFIXES else None
        if declared is None:
            yield not_utf8(file.shown, None, error, content)
            return
        text = content.decode(declared, "replace")
    text = text.replace("\r\n", "\n")
    title = ""
    if suffix in HTML_SUFFIXES:
        title, text = extract_html(text)
    elif suffix in MARKDOWN_SUFFIXES:
        title = _markdown_title(text)
    title = title or PurePosixPath(plain_name(file.name)).stem
    yield RawRecord(file.shown, None, {"id": file.name, "title": title, "text": text})


def _markdown_title(text: str) -> str:
    if match := _TITLE_KEY.search(text, 0, front_matter_end(text)):
        return match[2].strip()
    heading = next(find_headings(text), None)
    return text[heading.title_start : heading.title_end] if heading else ""


def _declared_charset(content: bytes) -> str | None:
    """The encoding that a page declares, as browsers read it; ``None`` if it cannot be used."""
    match = _CHARSET.search(content, 0, 2048)
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1].decode("ascii")).name
    except LookupError:
        return None
    if name.startswith("utf"):
        return None
    name = "cp1252" if name in ("iso8859-1", "ascii") else name
    try:
        content.decode(name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return None
    return name
