"""How to reach and use a RabbitMQ server. Plain data: needs no client library installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.options import ConnectionOptions, common_options
from adapters.urls import Rules

_ANY, _NUMBER = ".*", "[0-9]{1,5}"
RULES = Rules(
    several_hosts=True,
    longest_path=255,
    # The client's login separates user and password by it.
    nul=False,
    parameters={
        "heartbeat": _NUMBER,
        "timeout": "[1-9][0-9]{0,4}",
        "interleave": _NUMBER,
        "happy_eyeballs_delay": r"[0-9]{1,5}(\.[0-9]+)?",
        "auth": "(?i:plain|external)",
        "name": _ANY,
        "cafile": _ANY,
        "capath": _ANY,
        "cadata": "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
        "certfile": _ANY,
        "keyfile": _ANY,
        "no_verify_ssl": _ANY,
    },
    files=frozenset({"cafile", "capath", "certfile", "keyfile"}),
)
"""The path is the virtual host; the parameters are those that aiormq and aio-pika read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQOptions(ConnectionOptions):
    """How to reach and use a RabbitMQ server. Times in seconds."""

    hold: float = 300.0
    """What is unsettled for longer is stored again: after half an hour RabbitMQ takes back all of a channel."""
    replicas: int | None = None
    """Members of each queue and of the log, used when they are declared; None: what RabbitMQ chooses."""
    management_url: str | None = None
    """The management API, which alone says how many members there are. None: they are not known."""
    max_message_bytes: int = 16 << 20
    """A larger event is refused without asking. RabbitMQ 4 takes 16 MiB unless it is told otherwise."""


def options_of(settings: Mapping[str, Any]) -> RabbitMQOptions:
    """What the settings say, by the names of their fields."""
    return RabbitMQOptions(
        **common_options(settings),
        replicas=settings["rabbitmq_replicas"],
        management_url=settings["rabbitmq_management_url"],
    )
