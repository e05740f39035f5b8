"""Access log: one JSON line per request, without query texts or keys."""

from __future__ import annotations

import datetime
import json
import logging

from flask import Flask, Response, g, request

from api.request_context import elapsed_ms

logger = logging.getLogger("api.access")


def register_access_log(app: Flask) -> None:
    """Logs each request of ``app`` to the logger ``api.access``."""

    @app.after_request
    def log(response: Response) -> Response:
        now = datetime.datetime.now(datetime.UTC)
        line = {
            "time": now.isoformat(timespec="milliseconds"),
            "request_id": g.request_id,
            "remote": request.remote_addr,
            "method": request.method,
            "path": request.path[:500],
            "status": response.status_code,
            "took_ms": round(elapsed_ms(), 3),
            "bytes_in": request.content_length or 0,
            "bytes_out": response.calculate_content_length() or 0,
        }
        logger.info(json.dumps(line))
        return response
