"""How to reach and use a RabbitMQ server. Plain data: needs no client library installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.options import ConnectionOptions, common_options


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQOptions(ConnectionOptions):
    """How to reach and use a RabbitMQ server. Times in seconds."""

    heartbeat: int = 10
    """A silent server is given up after three heartbeats."""
    hold: float = 300.0
    """What is unsettled for longer is stored again: after half an hour RabbitMQ takes back all of a channel."""
    max_message_bytes: int = 16 << 20
    """A larger event is refused without asking. RabbitMQ 4 takes 16 MiB unless it is told otherwise."""


def options_of(settings: Mapping[str, Any]) -> RabbitMQOptions:
    """What the settings say, by the names of their fields."""
    return RabbitMQOptions(**common_options(settings))
