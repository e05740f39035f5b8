"""The WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flask import Flask

from api import documents, health, indexes, openapi, search
from api.access_log import register_access_log
from api.auth import require_key
from api.bodies import register_body_limits
from api.documents import DocumentIdConverter
from api.limits import SearchGate
from api.names import check_names
from api.problems import register_problem_handlers
from api.request_context import register_request_context
from api.searcher import SearcherLike
from api.served import ServedIndex, Service, open_indexes
from api.settings import ServeSettings
from api.warmup import WarmUp


def create_app(
    indexes_by_name: Mapping[str, Path | str | SearcherLike],
    settings: ServeSettings | None = None,
    *,
    on_warm: Callable[[WarmUp], None] | None = None,
) -> Flask:
    """Makes the application that serves these indexes.

    The indexes are opened here and shared by all threads. A thread of its own then searches each
    of them once, after which ``/readyz`` answers 200; until then searches are answered too, only
    slowly. Call it in the process that serves: threads do not survive a fork.

    Args:
        indexes_by_name: Where the index of each name lies, or a searcher.
        settings: Limits and keys.
        on_warm: Called when the warm-up has ended, from its thread.

    Raises:
        IndexNameError: A name cannot stand in a URL.
        IndexerError: An index is missing, broken or of an unknown format.

    Example:
        >>> from api.app import create_app
        >>> app = create_app({"scifact": "scifact.winnow"})  # doctest: +SKIP
        >>> app.test_client().get("/v1/indexes/scifact/search?query=vitamin").json  # doctest: +SKIP
    """
    settings = settings or ServeSettings()
    check_names(indexes_by_name)
    searchers = open_indexes(indexes_by_name)
    warm_up = WarmUp(searchers, on_warm)
    # No folder of the machine is ever served, and an id may hold slashes in a row.
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.converters["doc_id"] = DocumentIdConverter
    app.extensions["winnow"] = Service(
        indexes={
            name: ServedIndex(name, searcher, settings.refresh_seconds)
            for name, searcher in searchers.items()
        },
        settings=settings,
        gate=SearchGate(settings.threads, settings.queue, settings.queue_seconds),
        warm_up=warm_up,
    )
    # Flask calls these in order before a request and in reverse order after it: the request id
    # comes first, and the access log sees the response as it leaves.
    if settings.access_log:
        register_access_log(app)
    register_request_context(app)
    register_body_limits(app)
    require_key(app, settings.api_keys)
    register_problem_handlers(app)
    for routes in (search, indexes, documents, health, openapi):
        app.register_blueprint(routes.blueprint)
    warm_up.start()
    return app
