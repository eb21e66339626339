"""How to reach and use a RabbitMQ server. Plain data: needs no client library installed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.lanes import WEIGHTS


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitMQOptions:
    """How to reach and use a RabbitMQ server. Times in seconds."""

    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    connect_timeout: float = 10.0
    publish_timeout: float = 5.0
    heartbeat: int = 10
    """A silent server is given up after three of them."""
    hold: float = 300.0
    """What is held longer is stored again: RabbitMQ takes deliveries away after half an hour, all of a channel."""
    lane_weights: Mapping[str, int] = field(default_factory=lambda: dict(WEIGHTS))
    max_message_bytes: int = 16 << 20
    """A larger event is refused without asking. RabbitMQ 4 takes 16 MiB unless it is told otherwise."""
