"""How much of what events say is believed and kept: everything that is read of them passes here. Pure.

What comes out fits each database: text without NUL that is UTF-8, integers of 32 or 64 bits, finite numbers.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from events.cloudevent.timestamp import parse_epoch
from events.identity import base32_sha256

MAX_READ = 256 * 1024
"""Bytes of a record beyond which it is not read. No event of jobrelay's is that large, and others hold the loop."""
MAX_BODY = 2 * MAX_READ
"""Bytes of an event as JSON, which may be larger than its record was: attributes stand in headers there."""
MAX_BYTES = 64 * 1024
"""Bytes that are kept of a record that cannot be read."""
MAX_ID = 1024
"""UTF-8 bytes of a request's id. With two of `MAX_KEY` it fits an index of PostgreSQL."""
MAX_KEY = 512
"""UTF-8 bytes of anything else that tells one from another, such as a source or an event's id."""
MAX_NAME = 256
"""Characters of a name, a code, a tag."""
MAX_MESSAGE = 4096
"""Characters of a text for people."""
MAX_RESULT = 64 * 1024
"""Bytes of a result, as JSON; a longer one is left out."""
MAX_ASKED = 64 * 1024
"""Bytes of an event that asked for a request, the most that JOBRELAY_INLINE_BYTES leaves on a Job; a longer one is left
out."""
MAX_TAGS = 100
INT32 = (-(2**31), 2**31 - 1)
COUNT = (0, 2**31 - 1)
BYTES = (0, 2**63 - 1)
MAX_CORES = 1e6
MAX_TIME = 253_402_300_799.0
"""The end of the year 9999."""
AHEAD_SECONDS = 86_400.0
"""How far ahead of the log's own time a time may be; what is further ahead was invented, and would stay on top."""
_HASH = 53


def text(value: object, most: int = MAX_NAME) -> str | None:
    """It, with at most `most` characters; None if it is no text, or empty."""
    if not isinstance(value, str) or not value:
        return None
    shown = value if len(value) <= most else f"{value[: most - 1]}…"
    return shown if shown.isascii() and "\0" not in shown else _storable(shown)


def identity(value: object, most: int = MAX_KEY) -> str | None:
    """It, if it has at most `most` bytes as UTF-8, else its beginning and a hash of all; None if it is no text.

    Different texts stay different, however long they are.
    """
    if not isinstance(value, str) or not value:
        return None
    if len(value) <= most // 4 and value.isascii() and "\0" not in value:
        return value
    known = _storable(value)
    encoded = known.encode()
    if len(encoded) <= most and known == value:
        return known
    hashed = base32_sha256(value.encode(errors="surrogatepass"))
    return f"{encoded[: most - _HASH].decode(errors='ignore')}~{hashed}"


def whole(value: object, bounds: tuple[int, int]) -> int | None:
    """An integer within the bounds; None for anything else."""
    return value if type(value) is int and bounds[0] <= value <= bounds[1] else None


def number(value: object, most: float) -> float | None:
    """A number from 0 to `most`; None for anything else."""
    if type(value) is not int and type(value) is not float:
        return None
    return float(value) if 0 <= value <= most else None


def moment(value: object, *, latest: float) -> float | None:
    """Epoch seconds of an RFC 3339 time, or of a datetime, from 1970 to `latest`; None for anything else."""
    if not isinstance(value, str | datetime):
        return None
    try:
        found = parse_epoch(value) if isinstance(value, str) else value.timestamp()
    except ValueError:
        return None
    return found if 0 <= found <= latest else None


def tags(value: object) -> tuple[str, ...] | None:
    """The first `MAX_TAGS` of them, each once; None if it is no list."""
    if not isinstance(value, list):
        return None
    found = (text(one) for one in value[:MAX_TAGS])
    return tuple(dict.fromkeys(one for one in found if one is not None))


def as_json(value: object) -> bytes | None:
    """JSON of at most `MAX_RESULT` bytes; None for null, for more, and for what JSON cannot say."""
    if value is None:
        return None
    try:
        found = orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if len(found) <= MAX_RESULT else None


def part(value: object, name: str) -> Mapping[str, Any]:
    """The object of this name in an object; an empty one if there is none."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _storable(value: str) -> str:
    return value.replace("\0", "\ufffd").encode(errors="replace").decode()
