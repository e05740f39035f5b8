"""Named errors of searching."""


class SearchError(Exception):
    """A search cannot be carried out; the message says what, got and how to fix."""


class QueryError(SearchError):
    """The query or one of its options is not valid."""


class FilterError(QueryError):
    """A filter names an unknown field or compares with a value of the wrong type."""


class UnknownSpaceError(QueryError):
    """The index has no space of this name."""


class UnknownPartError(QueryError):
    """The space has no part of this name."""


class NoVectorsError(QueryError):
    """The index has no static vectors to rank with again."""


class RunFormatError(SearchError):
    """A ranking cannot be written or read as a TREC run file."""


class DocumentNotFoundError(SearchError):
    """The index holds no document of this id."""
