"""A message on NATS, and the headers in front of its body, in both directions. Pure: knows no client and no JetStream.

A header block is `NATS/1.0`, in messages of the server itself with a status behind it, then a line for each header, and
an empty line. https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-4.md
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = b"NATS/1.0\r\n"
"""The first line of a header block without a status."""
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SPACE = re.compile(r"\s")
_BREAKS = re.compile(r"[\r\n]")


@dataclass(slots=True)
class Message:
    """A message as it was received. `size`: bytes of headers and body."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None
    size: int


def block(headers: Mapping[str, str]) -> bytes:
    """The header block that says this. A line break in a value becomes a space. Raises ValueError for a bad name."""
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"header {name!r:.100} has a name that NATS does not take")
        lines.append(f"{name}: {_BREAKS.sub(' ', value.strip())}")
    return "\r\n".join([*lines, "", ""]).encode()


def headers_in(raw: bytes) -> dict[str, str]:
    """The headers that these lines are, without the first; what is no header is passed over.

    Nothing that a publisher wrote gets lost: neither a header that is there twice nor a name that is not ASCII. Whoever
    reads the event refuses them.
    """
    found: dict[str, str] = {}
    for line in raw.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        key = name.strip().decode("latin-1")
        if not colon or _SPACE.search(key):
            continue
        if key in found:
            # Names are alike in any case.
            key = next((spelling for spelling in (key.lower(), key.upper()) if spelling not in found), key)
        found[key] = value.strip().decode(errors="replace")
    return found
