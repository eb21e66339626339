"""Claims about who has copies of a stream, by answers to `STREAM.INFO` as servers (2.15) gave them."""

from typing import Any

import pytest

from adapters.jetstream.errors import LEADERLESS
from adapters.jetstream.members import Members, members_of

SECOND = 1_000_000_000
UP = {"name": "n2", "current": True, "active": SECOND}
BEHIND = {"name": "n2", "current": False, "active": SECOND, "lag": 1}
SILENT = {"name": "n3", "current": False, "active": 6 * SECOND}
OFFLINE = {"name": "n3", "current": False, "offline": True, "active": SECOND}
UNKNOWN = {"name": "n3", "current": False, "active": 0}


def seen(asked: int, *others: dict[str, Any], leader: str = "n1", name: str = "three") -> Members:
    cluster = {"name": name, "leader": leader, "replicas": list(others)}
    return members_of({"config": {"num_replicas": asked}, "cluster": {k: v for k, v in cluster.items() if v}})


@pytest.mark.parametrize(
    ("members", "count", "online", "fault"),
    [
        (seen(3, UP, UP), 3, 3, ""),
        (seen(3, UP, BEHIND), 3, 3, ""),
        (seen(3, UP, SILENT), 3, 2, ""),
        (seen(3, OFFLINE, SILENT), 3, 1, "no quorum, 1 of 3 replicas are up"),
        # They have just been added.
        (seen(3, UNKNOWN, UNKNOWN), 3, 1, ""),
        # Then a replica answers, which lists itself.
        (seen(3, UP, UNKNOWN, UNKNOWN, leader=""), 3, 1, LEADERLESS),
        (seen(1), 1, 1, ""),
        # Members are added: the old one leads until the others have what it has, or there is none for a moment.
        (seen(3), 1, 1, ""),
        (seen(3, UP, leader=""), 1, 1, ""),
        # A server that is in no cluster.
        (seen(1, name=""), 1, 1, ""),
        (members_of({"config": {"num_replicas": 1}}), 0, 0, ""),
    ],
)
def test_who_has_copies_and_whether_they_store(members: Members, count: int, online: int, fault: str) -> None:
    assert (members.count, members.online, members.fault) == (count, online, fault)
