"""From search results to the hits of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.problems import invalid_field
from api.responses import (
    FieldValue,
    Passage,
    RankedDocument,
    SnippetText,
    TermWeight,
)
from api.searcher import SearcherLike
from encoders.base import MetadataValue
from retriever.errors import DocumentNotFoundError
from retriever.results import Hit, Results, StoredDocument

PASSAGE_CHARS = 300
DEFAULT_FIELDS = ("title", "passage")
OWN_FIELDS = ("title", "text", "passage")


def check_fields(fields: Sequence[str] | None, searcher: SearcherLike) -> list[str]:
    """The fields to return, ``*`` expanded.

    Raises:
        Problem: A name that the index does not have.
    """
    if fields is None:
        return list(DEFAULT_FIELDS)
    known = [*OWN_FIELDS, *searcher.description().fields]
    for name in fields:
        if name != "*" and name not in known:
            detail = f"the index has no field {name[:100]!r}; it has {', '.join(known)[:1000]}"
            raise invalid_field("fields", detail)
    return known if "*" in fields else list(dict.fromkeys(fields))


def ranked_documents(
    results: Results, searcher: SearcherLike, fields: Sequence[str]
) -> Iterator[RankedDocument]:
    """The hits of an answer, one at a time.

    A document is read only when its turn comes, and only if a field of it is asked for: the texts
    of all hits together may be larger than the answer is allowed to be.
    """
    for hit in results.hits:
        yield _ranked_document(hit, _document_of(hit, searcher) if fields else None, fields)


def field_value(value: MetadataValue) -> FieldValue:
    """A metadata value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def shorten(text: str, limit: int = PASSAGE_CHARS) -> str:
    """The start of ``text``, cut between words, with an ellipsis where it was cut.

    >>> shorten("one two three", 9)
    'one two…'
    """
    text = text.strip()
    if len(text) <= limit:
        return text
    cut = text[: limit + 1]
    head = cut.rsplit(maxsplit=1)[0] if any(map(str.isspace, cut)) else cut[:limit]
    return head[:limit].rstrip() + "…"


def _document_of(hit: Hit, searcher: SearcherLike) -> StoredDocument:
    try:
        return searcher.document(hit.doc_id)
    except DocumentNotFoundError as error:
        # A document that the client asked for may be unknown; that of a hit may not.
        raise RuntimeError("the index has no document for one of its hits") from error


def _ranked_document(
    hit: Hit, document: StoredDocument | None, fields: Sequence[str]
) -> RankedDocument:
    members: dict[str, object] = {
        "rank": hit.rank,
        "doc_id": hit.doc_id,
        "score": hit.score,
        "fields": _fields(document, fields) if document else {},
        "passage": _passage(hit, document if "passage" in fields else None),
    }
    if hit.snippets is not None:
        members["snippets"] = [
            SnippetText(field=s.field, text=s.text, matches=list(s.matches)) for s in hit.snippets
        ]
    if hit.explanation is not None:
        members["explanation"] = [
            TermWeight(
                term=t.term,
                part=t.part,
                query_weight=t.query_weight,
                document_weight=t.document_weight,
                contribution=t.contribution,
                in_text=t.in_text,
                word=t.word,
            )
            for t in hit.explanation
        ]
    return RankedDocument.model_validate(members)


def _fields(document: StoredDocument, fields: Sequence[str]) -> dict[str, FieldValue | None]:
    values: dict[str, FieldValue | None] = {}
    for name in fields:
        if name == "title":
            values[name] = document.title
        elif name == "text":
            values[name] = document.text
        elif name != "passage":
            value = document.metadata.get(name)
            values[name] = None if value is None else field_value(value)
    return values


def _passage(hit: Hit, document: StoredDocument | None) -> Passage | None:
    if document is None:
        return Passage(start=hit.passage[0], end=hit.passage[1]) if hit.passage else None
    start, end = hit.passage or (0, len(document.text))
    if start == end:
        return None
    return Passage(start=start, end=end, text=shorten(document.text[start:end]))
