"""Stored passages as the encoders saw them, from a segment's documents and spans."""

from __future__ import annotations

from encoders.base import Document
from indexer.corpus.passages import PassageSpan, passage_document
from indexer.format.segment import Segment


def stored_passage(segment: Segment, row: int) -> Document:
    """The passage of a row: its document, or the document's title with the passage's text."""
    doc_num = segment.document_of(row)
    store = segment.documents
    document = Document(segment.doc_ids[doc_num], store.text(doc_num), title=store.title(doc_num))
    if segment.passage_span is None:
        return document
    span = PassageSpan(*(int(offset) for offset in segment.passage_span[row]))
    if span.start == 0 and span.end == len(document.text):
        return document
    return passage_document(document, span)
