"""Ports for servers of ours on this machine."""

import random
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there, else another one on 127.0.0.1. Raises `OSError` when there is none.

    Not one of those that outgoing connections get: a server that is started again would find it taken by a client, and
    clients that wait for the server can end up connected to themselves.
    """
    chosen = random.sample(range(LOWEST, _first_ephemeral()), _TRIES)
    for port in [preferred, *chosen] if preferred else chosen:
        with suppress(OSError), socket.socket() as probe:
            # As servers do: a port whose last connections are only fading away counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("there is no free port")


def _first_ephemeral() -> int:
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return max(first, LOWEST + _TRIES)
