"""Whether the streams of an installation take what is published: what the servers say of them, and what became of it.

A stream of several replicas stores as long as most of them are up, and their leader answers. Without a leader nobody
does: then `STREAM.INFO` is answered by silence, by an error or by a replica, which says that there is none.
"""

import asyncio
from collections.abc import Mapping

from adapters.base import BrokerUnavailable, Kind, Topic
from adapters.jetstream.connection import Connection
from adapters.jetstream.errors import LEADERLESS, ApiError, Forbidden, NoAnswer, NoResponders
from adapters.jetstream.members import members_of
from adapters.jetstream.topology import StreamNames
from adapters.untaken import Untaken

ANSWER_SECONDS = 3.0
"""A probe waits so long for what is said of a stream: without a leader nobody answers, and it is asked again soon."""
_GONE = 10059
_STORE_FAILED = 10077
STORED = (Kind.REQUESTS, Kind.CONTROL, Kind.LIFECYCLE, Kind.DEAD)


class Stores:
    """Publishes to our own streams, and remembers of each whether it stored."""

    def __init__(self, link: Connection, names: StreamNames) -> None:
        self._link = link
        self._names = names
        self._untaken = Untaken[Kind]()

    async def store(self, topic: Topic, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once its stream has stored it. Raises what `Connection.store` does."""
        try:
            await self._link.store(self._names.subject(topic), body, headers)
        except ApiError as error:
            if error.code >= 500 and not full(error):
                self._untaken.failed(topic.kind, str(error))
            raise
        except NoResponders as error:
            fault = NoResponders(self._unlistened(topic))
            self._untaken.failed(topic.kind, str(fault))
            raise fault from error
        except NoAnswer as error:
            self._untaken.failed(topic.kind, str(error))
            raise
        self._untaken.stored(topic.kind)

    def _unlistened(self, topic: Topic) -> str:
        stream = f"stream {self._names.stream(topic.kind)}"
        if self._link.clustered:
            return f"{stream} has {LEADERLESS}, or is missing"
        return f"no stream stores {self._names.subject(topic)}: {stream} is missing, or has other subjects"

    async def probe(self) -> None:
        """Raises `BrokerUnavailable`, which names the streams that do not store now."""
        faults: dict[str, list[str]] = {}
        for kind, fault in zip(STORED, await asyncio.gather(*map(self._fault, STORED)), strict=True):
            if fault:
                faults.setdefault(fault, []).append(self._names.stream(kind))
        if faults:
            raise BrokerUnavailable("; ".join(f"{_streams(named)}: {fault}" for fault, named in faults.items()))

    async def _fault(self, kind: Kind) -> str:
        """Why the stream of that kind does not store now; empty if it does."""
        try:
            info = await self._link.api(f"STREAM.INFO.{self._names.stream(kind)}", within=ANSWER_SECONDS)
        except ApiError as error:
            return "missing" if error.err_code == _GONE else error.description
        except Forbidden:
            return self._remembered(kind)
        except NoAnswer:
            return LEADERLESS if self._link.clustered else "no answer to STREAM.INFO in time"
        except BrokerUnavailable as error:
            if not self._link.connected:
                raise
            return str(error)
        members = members_of(info)
        return members.fault or ("" if members.changing else self._remembered(kind))

    def _remembered(self, kind: Kind) -> str:
        fault = self._untaken.known().get(kind)
        return f"the last publish was not stored: {fault}" if fault else ""


def full(error: ApiError) -> bool:
    """Whether it is refused because of a bound of the stream: "maximum bytes exceeded", or messages."""
    return error.err_code == _STORE_FAILED and "maximum" in error.description


def _streams(names: list[str]) -> str:
    return f"stream{'s' if len(names) > 1 else ''} {', '.join(names)}"
