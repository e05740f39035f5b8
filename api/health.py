"""Routes for whoever watches the server; they never need a key."""

from __future__ import annotations

from flask import Blueprint, Response

from api.problems import Problem
from api.responses import Health
from api.served import current_service

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Answers as long as the process lives."""
    return Health(status="ok").to_response()


@blueprint.get("/readyz")
def readyz() -> Response:
    """Answers 200 once every index is open and its kernels are compiled, 503 before."""
    status = current_service().warm_up.status
    if status == "ready":
        return Health(status=status).to_response()
    if status == "starting":
        raise Problem("not_ready", "The indexes are being warmed up.", headers={"Retry-After": "1"})
    raise Problem("not_ready", "An index does not answer; the server's log tells why.")
