"""Free ports for the servers that we start on this machine."""

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000
_KEPT = 64
"""Ports that stay claimed at a time. Each takes a file descriptor, and a server listens within seconds."""
_CLAIMS: dict[int, int] = {}
"""File descriptor by port."""


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there, else another port of 127.0.0.1. Raises `OSError` when there is none.

    Not an ephemeral port: a server that is started again could find it taken by a client, and clients that wait for the
    server can end up connected to themselves. Nor a port that another process got from here: until its server listens,
    nothing else shows that.
    """
    chosen = random.sample(range(LOWEST, _first_ephemeral()), _TRIES)
    for port in [preferred, *chosen] if preferred else chosen:
        with suppress(OSError), socket.socket() as probe:
            # As servers do: a port with connections in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _claim(port)
            return port
    raise OSError("there is no free port")


def _claim(port: int) -> None:
    """Claim it with an abstract socket, which goes with the process (Linux only). Raises `OSError` if it is claimed."""
    if port in _CLAIMS or not _EPHEMERAL.exists():
        return
    with socket.socket(socket.AF_UNIX) as claim:
        claim.bind(f"\0jobrelay-port-{port}")
        _CLAIMS[port] = claim.detach()
    if len(_CLAIMS) > _KEPT:
        os.close(_CLAIMS.pop(next(iter(_CLAIMS))))


def _first_ephemeral() -> int:
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return max(first, LOWEST + _TRIES)
