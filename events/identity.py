"""What a request is called: its identity, its Job's name, its label, its hash, its place in topics. Stored formats."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.values import data_bytes
from events.phases import Phase

PREFIX_LENGTH = 32
_HASH_LENGTH = 12
_TOPIC_PART_BYTES = 100
_PLAIN = re.compile("[A-Za-z0-9_-]+")
"""What a topic shows as it is, as nearly every name."""
_DIGEST_LENGTH = 52
"""Characters of a sha256 in base32: 256 bits, and four more that are 0."""
_CHARACTERS = b"abcdefghijklmnopqrstuvwxyz234567" * 8
_APART = [
    (sum(((1 << 5 * half) - 1) << 16 * half * pair for pair in range(32 // half)), 3 * half)
    for half in (32, 16, 8, 4, 2, 1)
]
"""Steps that give each group of five bits a byte of its own: the bits that stay, and how far all others move up.

The first step parts the upper 32 groups from the lower 32, the second the halves of both, the last one neighbours.
"""


def netstrings(*parts: str) -> bytes:
    """Length-prefixed UTF-8, so that no two lists of parts give the same bytes."""
    return b"".join([b"%d:%b" % (len(part), part) for part in map(str.encode, parts)])


def base32_sha256(data: bytes) -> str:
    """52 characters a-z2-7: fits a label, a name and a topic."""
    return _base32(hashlib.sha256(data).digest())


def _base32(digest: bytes, length: int = _DIGEST_LENGTH) -> str:
    """The first characters of a sha256 in the base32 of RFC 4648, in lower case.

    All groups at once, as the digits of one number: `base64.b32encode` takes three times as long.
    """
    number = int.from_bytes(digest, "big") << 4
    for mask, distance in _APART:
        staying = number & mask
        number = staying | (number ^ staying) << distance
    return number.to_bytes(_DIGEST_LENGTH, "big").translate(_CHARACTERS).decode()[:length]


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two events the same request: event source, data id (else event id), name of the function if any."""

    source: str
    id: str
    function: str = ""

    def digest(self) -> bytes:
        """sha256 of the parts, length-prefixed, in this order."""
        return hashlib.sha256(netstrings(self.source, self.id, self.function)).digest()


def job_name(prefix: str, identity: Identity) -> str:
    """`<prefix, at most 32>-<12 characters of the identity's hash>`. No longer: CronJobs and attempts append to it."""
    return f"{prefix[:PREFIX_LENGTH]}-{_name_hash(identity)}"


def command_hash(source: str, event_id: str) -> str:
    """What a control event of this source and id is called: annotation `command`, and in the id of its answer."""
    return base32_sha256(netstrings(source, event_id))


def command_in_name(command: str) -> str:
    """What the name of the Job of a run ends with that a command of this hash asked for."""
    return command[:_HASH_LENGTH]


def run_name(schedule: str, command: str) -> str:
    """The name of the Job that a command of this hash makes of the CronJob `schedule`."""
    return f"{schedule}-{command_in_name(command)}"


def number_in_name(name: str, identity: Identity) -> int | None:
    """1 if the name may be that of this identity's Job, n if `-<n>` is appended to it; None if it cannot be."""
    expected = f"-{_name_hash(identity)}"
    if name.endswith(expected):
        return 1
    first, _, number = name.rpartition("-")
    return int(number) if first.endswith(expected) and number.isascii() and number.isdigit() else None


def identity_in_name(name: str, source: str, request_id: str) -> tuple[Identity, int] | None:
    """The identity of a request of this source and id that has a Job of this name, and the number in the name.

    A function's requests are called `<function>/<id of the event>`.
    """
    function, _, event_id = request_id.partition("/")
    found = [Identity(source, request_id)]
    if event_id and name.startswith(f"{function}-"):
        found.insert(0, Identity(source, event_id, function))
    for identity in found:
        if (number := number_in_name(name, identity)) is not None:
            return identity, number
    return None


def function_in_name(name: str, source: str, request_id: str) -> str | None:
    """The function of such a request; None if it is no function's, which for most is told without the name's hash."""
    found = identity_in_name(name, source, request_id) if "/" in request_id else None
    return found[0].function or None if found is not None else None


def _name_hash(identity: Identity) -> str:
    return _base32(identity.digest(), _HASH_LENGTH)


def request_label(request_id: str) -> str:
    """Value of label `jobrelay.dev/request`, by which control events find Jobs."""
    return base32_sha256(request_id.encode())


def request_sha(event: CloudEvent) -> str:
    """Hex sha256 of the event's data: tells a redelivery from another request that reuses the id."""
    return hashlib.sha256(data_bytes(event)).hexdigest()


def topic_part(text: str | None) -> str:
    """One part of a topic: percent-encoded but for A-Za-z0-9_-, hashed when that is over 100 bytes, `_` if missing."""
    if not text:
        return "_"
    if len(text) <= _TOPIC_PART_BYTES and _PLAIN.fullmatch(text):
        return text
    encoded = quote(text, safe="").replace(".", "%2E").replace("~", "%7E")
    return encoded if len(encoded) <= _TOPIC_PART_BYTES else f"~{base32_sha256(text.encode())}"


def lifecycle_key(service: str | None, request_id: str, phase: Phase) -> str:
    """`<service>.<id>.<phase>`, the parts encoded."""
    return f"{topic_part(service)}.{topic_part(request_id)}.{phase}"
