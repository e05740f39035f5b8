"""The socket that a server listens on, bound before anything else is started."""

from __future__ import annotations

import ipaddress
import socket


class ListenError(Exception):
    """The address cannot be listened on; the message says why."""


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The address that ``host`` stands for, IPv4 before IPv6.

    Raises:
        ListenError: There is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {host!r}: no such address on this machine") from error
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, str(address[0])


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach ``address``.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """Binds a TCP socket; port 0 takes a free one.

    Raises:
        ListenError: The port is taken, or not allowed.
    """
    try:
        return socket.create_server((address, port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(
            f"cannot listen on {address} port {port}: {reason}. Choose another with --port."
        ) from error


def url_of(listener: socket.socket) -> str:
    """The URL under which this machine reaches ``listener``."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
