"""Which fields hold identifier, title and text, and the flat form of nested records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from indexer.corpus.options import FieldMapping
from indexer.errors import CorpusError

CANDIDATES = {
    "id": (
        *("_id", "id", "doc_id", "docid", "docno", "document_id", "documentid"),
        *("pid", "passage_id", "passageid", "corpus_id", "corpus-id", "uid", "uuid"),
    ),
    "title": ("title", "headline", "heading", "document_title", "doc_title", "subject"),
    "text": (
        *("text", "contents", "content", "body", "page_content", "passage", "document"),
        *("raw", "abstract", "description", "summary", "paragraph", "segment"),
    ),
}
CANDIDATE_NAMES = frozenset(name for names in CANDIDATES.values() for name in names)

# An object of this name holds metadata (BEIR, LangChain, Haystack): its keys are fields.
METADATA_OBJECT = "metadata"

# Without any candidate, the longest text field is the text if it is about a sentence long.
SENTENCE_CHARACTERS = 40


def flatten(
    fields: Mapping[str, Any], keep: frozenset[str] = frozenset(), *, lift: bool = True
) -> dict[str, Any]:
    """Nested objects as dotted names; objects within lists give lists.

    Args:
        fields: A record.
        keep: Fields to pass on as they are.
        lift: The keys of ``metadata`` become fields of the record.

    Raises:
        ValueError: Two values claim one name.

    >>> flatten({"id": "1", "metadata": {"year": 1999}, "by": [{"name": "A"}, {"name": "B"}]})
    {'id': '1', 'year': 1999, 'by.name': ['A', 'B']}
    """
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if name in keep:
            _set(flat, name, value)
        elif lift and name == METADATA_OBJECT and isinstance(value, dict):
            for inner, part in value.items():
                _flatten(flat, inner, part)
        else:
            _flatten(flat, name, value)
    return flat


def _flatten(flat: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, dict):
        for inner, part in value.items():
            _flatten(flat, f"{name}.{inner}", part)
    elif isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        parts: dict[str, list[Any]] = {}
        _gather(parts, name, value)
        for inner, gathered in parts.items():
            _set(flat, inner, gathered)
    else:
        _set(flat, name, value)


def _gather(parts: dict[str, list[Any]], name: str, value: Any) -> None:
    if isinstance(value, dict):
        for inner, part in value.items():
            _gather(parts, f"{name}.{inner}", part)
    elif isinstance(value, list):
        for part in value:
            _gather(parts, name, part)
    else:
        parts.setdefault(name, []).append(value)


def _set(flat: dict[str, Any], name: str, value: Any) -> None:
    if name in flat:
        raise ValueError(f"two values for the field {name!r}")
    flat[name] = value


def metadata_keys_are_free(sample: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no key of a ``metadata`` object is also a field of its record."""
    for fields in sample:
        inner = fields.get(METADATA_OBJECT)
        if isinstance(inner, dict) and not fields.keys().isdisjoint(inner):
            return False
    return True


def infer_mapping(sample: Sequence[Mapping[str, Any]], wished: FieldMapping) -> FieldMapping:
    """Completes a mapping from flat records.

    Of the known names, ignoring case, the one that most records have wins, the order of
    ``CANDIDATES`` deciding ties. Without any name known for text or title, the longest text
    field is the text.

    Raises:
        CorpusError: A wished field is in none of the records.

    >>> infer_mapping([{"docno": "7", "contents": "gates", "year": 1999}], FieldMapping())
    FieldMapping(doc_id='docno', title='', text=('contents',))
    """
    present = Counter(name for fields in sample for name, v in fields.items() if v is not None)
    for wish in sorted(wished.names):
        if sample and not any(wish in fields for fields in sample):
            found = ", ".join(sorted({name for fields in sample for name in fields}))
            raise CorpusError(
                f"the field {wish!r} is in none of the first {len(sample):,} records. "
                f"Fields found: {found or 'none'}."
            )
    free = {name: count for name, count in present.items() if name not in wished.names}
    doc_id = wished.doc_id or _best(free, "id")
    title = _best(free, "title") or "" if wished.title is None else wished.title
    text = wished.text_fields
    if wished.text is None:
        name = _best(free, "text")
        if name is None and not title:
            name = _longest(sample, free.keys() - {doc_id})
        text = () if name is None else (name,)
    return FieldMapping(doc_id, title, text)


def _best(counts: Mapping[str, int], role: str) -> str | None:
    order = CANDIDATES[role]
    known = [name for name in counts if name.lower() in order]
    return min(known, key=lambda name: (-counts[name], order.index(name.lower())), default=None)


def _longest(sample: Sequence[Mapping[str, Any]], names: set[str]) -> str | None:
    lengths: Counter[str] = Counter()
    for fields in sample:
        for name in names:
            value = fields.get(name)
            if isinstance(value, str):
                lengths[name] += len(value)
    longest = max(sorted(lengths), key=lengths.__getitem__, default=None)
    if longest is None or lengths[longest] < SENTENCE_CHARACTERS * len(sample):
        return None
    return longest
