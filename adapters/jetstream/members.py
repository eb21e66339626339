"""Who has copies of a stream, from the answer to `STREAM.INFO`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.jetstream.errors import LEADERLESS
from adapters.jetstream.topology import NANOSECONDS

SILENT_SECONDS = 5
"""A member that its leader has not heard for this long is down. Heartbeats come each second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The nodes that have a copy of a stream. `cluster` is empty on a server that is in none."""

    cluster: str
    led: bool
    """Whether there is a leader, who alone answers to publishers."""
    count: int
    online: int
    lost: int
    """How many are known to be down. One that has just joined is neither: its leader has not heard it yet."""
    asked: int
    """How many there should be by the stream's own configuration: others while that is being carried out."""

    @property
    def changing(self) -> bool:
        """Whether members are being added or removed. The server may take nothing for ten seconds of that."""
        return bool(self.cluster) and self.count != self.asked

    @property
    def fault(self) -> str:
        """Why they store nothing now; empty if they do, or are changing."""
        if not self.cluster or self.changing:
            return ""
        if not self.led:
            return LEADERLESS
        most = self.lost * 2 >= self.count
        return f"no quorum, {self.online} of {self.count} replicas are up" if most else ""


def members_of(info: Mapping[str, Any]) -> Members:
    """What an answer to `STREAM.INFO` says of the members of its stream."""
    cluster = info.get("cluster") or {}
    # Without a leader a member answers, and lists itself too.
    others = cluster.get("replicas") or ()
    led = bool(cluster.get("leader"))
    return Members(
        cluster=str(cluster.get("name") or ""),
        led=led,
        count=len(others) + led,
        online=sum(map(_up, others)) + led,
        lost=sum(map(_down, others)),
        asked=int(info["config"]["num_replicas"]),
    )


def _up(member: Mapping[str, Any]) -> bool:
    return not _down(member) and bool(member.get("current") or member.get("active"))


def _down(member: Mapping[str, Any]) -> bool:
    return bool(member.get("offline")) or int(member.get("active") or 0) > SILENT_SECONDS * NANOSECONDS
