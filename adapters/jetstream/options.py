"""How to reach and use a NATS server. Plain data: needs no client library installed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.lanes import WEIGHTS


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStreamOptions:
    """How to reach and use a NATS server. Times in seconds.

    `replicas` and `requests_max_bytes` are used when streams are created. None (the default) means 1 and 1 GiB then,
    and that whatever an existing stream has is fine.
    """

    creds: Path | None = None
    """Credentials file (JWT and seed)."""
    nkey: Path | None = None
    """NKey seed file."""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    connect_timeout: float = 10.0
    publish_timeout: float = 5.0
    ack_wait: float = 30.0
    """A delivery is redelivered this long after its holder fell silent. Deliveries are extended every third of it."""
    lane_weights: Mapping[str, int] = field(default_factory=lambda: dict(WEIGHTS))
    replicas: int | None = None
    requests_max_bytes: int | None = None
