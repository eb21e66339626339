"""Asks RabbitMQ's management API which nodes have a member of each queue: AMQP does not tell."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from adapters.base import BrokerUnavailable, Replicas
from adapters.rabbitmq.growth import Growth
from adapters.rabbitmq.options import RULES, RabbitMQOptions
from adapters.rabbitmq.topology import QueueNames, queues
from adapters.urls import parse

SETTING = "JOBRELAY_RABBITMQ_MANAGEMENT_URL"
MOST_BYTES = 1 << 20
USUAL = 3
"""Members that RabbitMQ gives a queue, if there are so many nodes."""
_GUEST = "guest"
_PAGE = 500
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nodes:
    all: tuple[str, ...]
    running: frozenset[str]


class Members:
    """Of the queues of one installation. It logs in as the URL of the broker says."""

    def __init__(self, url: str, options: RabbitMQOptions, names: QueueNames) -> None:
        broker = parse(url, RULES)
        self._login = aiohttp.encode_basic_auth(broker.user or _GUEST, broker.password or _GUEST)
        self._api = f"{(options.management_url or '').rstrip('/')}/api"
        self._vhost = broker.path or "/"
        self._options = options
        self._names = names

    async def replicas(self) -> Sequence[Replicas]:
        """See the port. Queues of which it says nothing are left out."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._options.publish_timeout),
            headers={"Authorization": self._login, "Accept": "application/json"},
        ) as session:
            nodes = _nodes(await self._get(session, "nodes", columns="name,running"))
            if len(nodes.all) < 2 and (self._options.replicas or 1) < 2:
                return ()
            # What is counted anew. RabbitMQ 3.10 leaves streams out of it, and has them only in its statistics, which
            # may be some seconds old.
            found = await self._members(session, disable_stats="true")
            if any(queue.name not in found for queue in queues(self._names)):
                found = {**await self._members(session), **found}
        return self._judged(nodes, found)

    async def _members(self, session: aiohttp.ClientSession, **parameters: str) -> dict[str, list[str]]:
        """The nodes that have a member, by queue."""
        answer = await self._get(
            session,
            f"queues/{quote(self._vhost, safe='')}",
            page="1",
            page_size=str(_PAGE),
            name=rf"^{re.escape(self._names.instance)}\.",
            use_regex="true",
            columns="name,members",
            **parameters,
        )
        try:
            return {str(item["name"]): list(map(str, item["members"])) for item in answer["items"] if "members" in item}
        except (KeyError, TypeError) as error:
            raise _unreadable() from error

    def _judged(self, nodes: _Nodes, found: Mapping[str, Sequence[str]]) -> list[Replicas]:
        wanted = self._options.replicas or min(USUAL, len(nodes.all))
        growth = Growth(vhost=self._vhost, names=self._names, nodes=nodes.all, running=nodes.running, wanted=wanted)
        return [
            Replicas(
                store=f"queue {queue.name}",
                members=len(found[queue.name]),
                online=len(nodes.running & set(found[queue.name])),
                wanted=wanted,
                remedy=growth.remedy(queue, found[queue.name]),
            )
            for queue in queues(self._names)
            if queue.name in found
        ]

    async def _get(self, session: aiohttp.ClientSession, path: str, **parameters: str) -> Any:
        """What it answers, as JSON. Raises `BrokerUnavailable`, which names the setting and what is needed."""
        url = URL(f"{self._api}/{path}?{urlencode(parameters)}", encoded=True)
        secure: dict[str, Any] = {}
        try:
            if url.scheme == "https":
                secure = {"ssl": self._options.tls_context(), "server_hostname": self._options.tls_server_name}
            async with session.get(url, allow_redirects=False, **secure) as response:
                body = await _read(response)
        except TimeoutError as error:
            raise BrokerUnavailable(f"{SETTING}: no answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BrokerUnavailable(
                f"{SETTING}: {url.host}:{url.port}: {_why(error)}. The plugin `rabbitmq_management` has to be enabled, "
                "and listen there"
            ) from error
        if response.status in _REFUSED:
            raise BrokerUnavailable(
                f"{SETTING} answers {response.status}: the user of the broker's URL needs its password there, and the "
                "tag `monitoring` (`rabbitmqctl set_user_tags USER monitoring`)"
            )
        if response.status != 200:
            raise BrokerUnavailable(f"{SETTING} answers {response.status} to /api/{path}: it is the URL before /api")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _unreadable() from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Raises `BrokerUnavailable` when there is too much."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            raise BrokerUnavailable(f"{SETTING}: an answer has more than {MOST_BYTES} bytes")
    return bytes(body)


def _why(error: Exception) -> str:
    """In one line, which is the same each time."""
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(cause).partition("\n")[0] or type(cause).__name__


def _nodes(answer: Any) -> _Nodes:
    try:
        running = {str(node["name"]): node["running"] is True for node in answer}
    except (KeyError, TypeError) as error:
        raise _unreadable() from error
    if not running:
        raise _unreadable()
    return _Nodes(all=tuple(sorted(running)), running=frozenset(name for name, runs in running.items() if runs))


def _unreadable() -> BrokerUnavailable:
    return BrokerUnavailable(f"{SETTING}: the answer is not that of RabbitMQ's management API")
