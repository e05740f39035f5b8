"""Text of HTML pages: one block element per line, headings marked with ``#``."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd"),
        *("details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
        *("footer", "form", "header", "hr", "html", "legend", "li", "main", "menu", "nav", "ol"),
        *("optgroup", "option", "p", "pre", "section", "select", "summary", "table", "tbody"),
        *("tfoot", "thead", "tr", "ul"),
    )
)
_CELLS = frozenset(("td", "th"))
_DROPPED = frozenset(("script", "style", "template", "svg", "math", "object", "iframe"))
_SPACE = re.compile(r"\s+")


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.title = ""
        self.first_heading = ""
        self._line: list[str] = []
        self._mark = ""
        # Open elements to drop, and how many there are of each.
        self._dropped: list[str] = []
        self._drops: Counter[str] = Counter()
        self._in_title = False
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropped.append(tag)
            self._drops[tag] += 1
        elif tag == "title" and not self._dropped:
            # Titles within drawings are dropped with them.
            self._in_title = True
        elif tag in _HEADINGS:
            self.break_line()
            self._mark = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self.break_line()
            self._preformatted += tag == "pre"
        elif tag in _CELLS:
            self._line.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._drops[tag]:
            closed = ""
            while closed != tag:
                closed = self._dropped.pop()
                self._drops[closed] -= 1
        elif tag == "title":
            self._in_title = False
        elif tag in _HEADINGS:
            self.break_line()
            self._mark = ""
        elif tag in _BLOCKS:
            self.break_line()
            if tag == "pre":
                self._preformatted = max(0, self._preformatted - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # HTML ignores the slash, but what is dropped would then swallow the rest of XHTML.
        if tag not in _DROPPED:
            self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._dropped:
            if self._preformatted:
                *lines, data = data.split("\n")
                for line in lines:
                    self._line.append(line)
                    self.break_line()
            self._line.append(data)

    def break_line(self) -> None:
        text = "".join(self._line)
        self._line.clear()
        line = text.rstrip() if self._preformatted else collapsed(text)
        if not line:
            return
        if self._mark:
            self.first_heading = self.first_heading or line
            self.lines += ["", f"{self._mark} {line}", ""]
        else:
            self.lines.append(line)


def collapsed(text: str) -> str:
    r"""The text with every run of white space as one space.

    >>> collapsed("  a \n b ")
    'a b'
    """
    return _SPACE.sub(" ", text).strip()


def extract_html(page: str) -> tuple[str, str]:
    r"""Title (``<title>``, else the first heading, else empty) and text of a page.

    Scripts, styles and drawings are dropped; whatever is malformed is read as far as it goes.

    >>> extract_html("<title>T</title><h1>Hello</h1><p>one<p>two <b>three</b>")
    ('T', '# Hello\n\none\ntwo three')
    """
    page = _without_comments(page)
    # No tag is closed behind the last ">", and html.parser tries each of them to the end.
    behind = page.rfind(">") + 1
    page = page[:behind] + page[behind:].replace("<", "&lt;")
    parser = _parse(page) or _parse(page.replace("<![", "&lt;![")) or _TextParser()
    title = collapsed(parser.title) or parser.first_heading
    return title, "\n".join(parser.lines).strip("\n")


def _without_comments(page: str) -> str:
    """The page without comments; html.parser takes quadratic time for unclosed ones."""
    kept = []
    position = 0
    while (start := page.find("<!--", position)) >= 0:
        end = page.find("-->", start + 4)
        if end < 0:
            break
        kept.append(page[position:start])
        position = end + 3
    return "".join([*kept, page[position:].replace("<!--", "")])


def _parse(page: str) -> _TextParser | None:
    parser = _TextParser()
    try:
        parser.feed(page)
        parser.close()
    except AssertionError:
        # html.parser raises it for marked sections that it does not know.
        return None
    parser.break_line()
    return parser
