"""Finds free ports for servers that are started on this machine."""

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 1000
_KEPT = 64
"""How many ports stay claimed. Each takes a file descriptor, and is needed only until its server listens."""
_CLAIMS: dict[int, int] = {}
"""The file descriptor of each port that is claimed."""


def free_port(preferred: int = 0) -> int:
    """`preferred` if it is free, else another free port of 127.0.0.1. Raises `OSError` if there is none.

    It is not an ephemeral port: a client could have taken that when the server is started again, and clients that wait
    for the server could connect to themselves. Nor is it a port that this function gave before, here or to another
    process: its server may not listen yet. Only as `preferred` does a process get a port of its own again.
    """
    chosen = [port for port in random.sample(range(LOWEST, _first_ephemeral()), _TRIES) if port not in _CLAIMS]
    for port in [preferred, *chosen] if preferred else chosen:
        with suppress(OSError), socket.socket() as probe:
            # Servers set this, too: a port with connections in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _claim(port)
            return port
    raise OSError("there is no free port")


def _claim(port: int) -> None:
    """Claim it by an abstract socket (Linux only), which ends with this process. Raises `OSError` if it is claimed."""
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
