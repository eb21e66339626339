"""Where a request comes from, as far as that can be believed."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Network = IPv4Network | IPv6Network
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::(\d{1,5}))?")
_HOPS = 16
"""Of `X-Forwarded-For` that are looked at."""


def is_trusted(address: str | None, networks: Sequence[Network]) -> bool:
    """Whether this address is in one of these networks. IPv4 may be written as IPv6 (`::ffff:10.0.0.1`)."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def host_of(request: web.BaseRequest) -> tuple[str, str]:
    """The name and the port that the browser asks for; both empty where it is no such thing."""
    found = _HOST.fullmatch(request.headers.get("Host", ""))
    return (found[1], found[2] or "") if found else ("", "")


def peer_of(request: web.BaseRequest) -> str:
    """The address at the other end of the connection; empty where there is none."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if peer else ""


def client_of(request: web.BaseRequest, proxies: Sequence[Network]) -> str:
    """The address of whoever asks: what the last proxy that is trusted says of it, else the peer's."""
    address = peer_of(request)
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")[-_HOPS:]
    while hops and is_trusted(address, proxies):
        before = hops.pop().strip()
        try:
            ip_address(before)
        except ValueError:
            break
        address = before
    return address


def bucket_of(address: str) -> str:
    """What is counted as one: an IPv4 address, or the /64 that an IPv6 address is in, which is one customer's."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or ip_network((int(found) >> 64 << 64, 64)))
