"""Replicas of the streams: how many there are, what to do about it, and the change of their number."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.base import Replicas
from adapters.jetstream.connection import Connection
from adapters.jetstream.errors import ApiError
from adapters.jetstream.members import Members, members_of
from adapters.jetstream.options import JetStreamOptions

logger = logging.getLogger(__name__)

SUITABLE = 3
"""The replicas that a cluster should have of each stream: the fewest that survive the loss of any one node."""

_PASSING = (10004, 10008, 10124)
"""There is no leader now, or the stream is just being moved: to be asked again."""


class Scaling:
    """Gives streams as many replicas as the setting asks for, and says where that is not so."""

    def __init__(self, link: Connection, options: JetStreamOptions) -> None:
        self._link = link
        self._asked = options.replicas
        self._settled: set[str] = set()
        self._refused: dict[str, str] = {}
        """Why the server does not change a stream, by its name."""

    async def scale(self, name: str, found: Mapping[str, Any]) -> None:
        """Have the server change the replicas of a stream, of which `found` is the configuration, if that is due.

        It is done in the background, and the consumers follow. What the server refuses is logged, once for each reason:
        the stream goes on with the replicas that it has. Who has had its way once lets others have theirs: as long as
        handlers are replaced, there are some with the former setting.
        """
        if self._asked is None or name in self._settled:
            return
        if found["num_replicas"] == self._asked:
            self._settle(name)
            return
        try:
            # The whole configuration as it was found: what an update leaves out is set back.
            await self._link.api(f"STREAM.UPDATE.{name}", {**found, "num_replicas": self._asked})
        except ApiError as error:
            self._note(name, found["num_replicas"], error)
        else:
            self._settle(name)
            logger.info(
                "stream %s: replicas change from %d to %d, as JOBRELAY_NATS_REPLICAS says; the server takes some "
                "seconds for it, in which what is published waits",
                name,
                found["num_replicas"],
                self._asked,
            )

    def _settle(self, name: str) -> None:
        self._settled.add(name)
        self._refused.pop(name, None)

    def _note(self, name: str, has: int, error: ApiError) -> None:
        if error.err_code in _PASSING:
            logger.debug("the replicas of stream %s do not change now: %s", name, error.description)
            return
        if error.description not in self._refused.values():
            needs = self._refusal(error.description)
            logger.warning("stream %s keeps %d of %d replicas, which need: %s", name, has, self._asked, needs)
        self._refused[name] = error.description

    async def replicas(self, names: Sequence[str]) -> Sequence[Replicas]:
        """Of these streams; of none where the server is in no cluster. Raises `BrokerUnavailable`."""
        infos = await asyncio.gather(*(self._link.api(f"STREAM.INFO.{name}") for name in names))
        return [found for name, info in zip(names, infos, strict=True) if (found := self._replicas(name, info))]

    def _replicas(self, name: str, info: Mapping[str, Any]) -> Replicas | None:
        members = members_of(info)
        if not members.cluster and (self._asked or 1) == 1:
            return None
        wanted = self._asked or max(SUITABLE, members.asked)
        return Replicas(
            store=f"stream {name}",
            members=members.count,
            online=members.online,
            wanted=wanted,
            remedy="" if members.count == wanted else self._remedy(name, members, wanted),
        )

    def _remedy(self, name: str, members: Members, wanted: int) -> str:
        """The same for all streams, where it can be: it is told once for all of them."""
        if not members.cluster:
            return self._refusal("this server is in no cluster")
        if members.asked == wanted:
            return "nothing, the servers are carrying it out"
        if name in self._refused:
            return self._refusal(self._refused[name])
        return (
            f"a new start of the handler with JOBRELAY_NATS_REPLICAS={wanted}, "
            f"or `nats stream edit STREAM --replicas={wanted}` for each"
        )

    def _refusal(self, reason: str) -> str:
        return (
            f"{self._asked} servers with JetStream and room for the streams in one cluster, "
            f"or the handler with a lower JOBRELAY_NATS_REPLICAS ({reason})"
        )
