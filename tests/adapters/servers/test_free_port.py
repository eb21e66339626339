"""Claims about the ports that our servers get."""

import asyncio
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.servers.free_port import free_port

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_preferred_port_is_given_if_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port


async def test_port_in_use_is_avoided() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    async with server:
        assert free_port(taken) != taken


def test_port_of_another_process_is_avoided_until_that_process_ends() -> None:
    asks = "from adapters.servers.free_port import free_port; print(free_port({}))"
    port = free_port()
    other = int(subprocess.check_output([sys.executable, "-c", asks.format(port)]))
    assert other != port
    assert free_port(other) == other


def test_port_is_given_once_even_before_its_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "sample", lambda ports, tries: list(ports)[:tries])  # Chance proposes the same again.
    assert free_port() != free_port()


def test_number_of_reserved_ports_is_limited() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        free_port()
    assert len(os.listdir("/proc/self/fd")) <= before + 64


def test_outgoing_connections_use_other_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        lowest = int(RANGE.read_text().split()[0]) if RANGE.exists() else client.getsockname()[1]
        assert all(free_port() < lowest for _ in range(50))
