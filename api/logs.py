"""Where a server's log lines go."""

from __future__ import annotations

import logging
import sys


def configure_logging(*, access_log: bool) -> None:
    """Sends warnings to stderr and, if wanted, access log lines to stdout.

    Called by the program, never on import: an application that embeds the server decides itself.
    """
    diagnostics = logging.StreamHandler(sys.stderr)
    diagnostics.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    )
    root = logging.getLogger()
    root.addHandler(diagnostics)
    root.setLevel(logging.WARNING)
    logging.getLogger("api").setLevel(logging.INFO)
    access = logging.getLogger("api.access")
    access.propagate = False
    if access_log:
        access.setLevel(logging.INFO)
        lines = logging.StreamHandler(sys.stdout)
        lines.setFormatter(logging.Formatter("%(message)s"))
        access.addHandler(lines)
