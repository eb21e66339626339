"""What NATS answers instead of what was asked for, and what that means."""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.base import BrokerUnavailable

LEADERLESS = "no leader now (an election, or too few of its nodes are up)"
_MEANINGS = {10008: f"JetStream has {LEADERLESS}"}
"""Of errors whose own text says too little, by their numbers."""


class NoResponders(BrokerUnavailable):
    """Nobody listens on the subject: no stream stores it, or the one that does has no leader now."""


class NoAnswer(BrokerUnavailable):
    """Nothing came in time."""


class Forbidden(BrokerUnavailable):
    """The user may not publish on the subject."""


class TooLarge(BrokerUnavailable):
    """Over the server's max_payload or the stream's max_msg_size."""


class NotStored(BrokerUnavailable):
    """Something other than a stream replied."""


class ApiError(BrokerUnavailable):
    """An error of JetStream. `code` is like HTTP's; `err_code` is the server's own number of it."""

    def __init__(self, what: str, error: Mapping[str, Any]) -> None:
        self.code = int(error.get("code", 500))
        self.err_code = int(error.get("err_code", 0))
        self.description = _MEANINGS.get(self.err_code) or str(error.get("description", ""))
        super().__init__(f"{what}: {self.description} (error {self.err_code})")


def unanswered(call: str, *, clustered: bool) -> NoAnswer:
    """What silence on a call of the API means, where leaders are elected (`clustered`) and elsewhere."""
    _, is_info, asked = call.partition(".INFO.")
    silence = f"no answer to {call} in time"
    if not clustered:
        return NoAnswer(silence)
    stream, _, consumer = asked.partition(".")
    named = f"consumer {consumer} of {stream}" if consumer else f"stream {stream}" if is_info else "JetStream"
    return NoAnswer(f"{named} has {LEADERLESS}: {silence}")


def error_of_a_stream(answer: bytes) -> Mapping[str, Any] | None:
    """What a stream that stored nothing says of it; None if it was no stream that answered."""
    try:
        said = orjson.loads(answer)
        problem = said.get("error") if "stream" in said else None
    except (ValueError, TypeError, AttributeError):
        return None
    return problem if isinstance(problem, dict) else None
