"""How to reach and use a NATS server. Plain data: needs no client library installed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.options import ConnectionOptions, common_options
from adapters.urls import Rules

OWN_API = "$JS.API"
"""What subjects of the API of a server's own JetStream begin with."""
RULES = Rules(several_hosts=True)
"""A URL may name several servers of a cluster, and nothing after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JetStreamOptions(ConnectionOptions):
    """How to reach and use a NATS server. Times in seconds.

    `replicas` and the sizes are used when streams are created; of existing streams the owner changes `replicas` alone.
    None (the default) means 1 and, for a new stream, 1 GiB, of dead letters 256 MiB; it accepts whatever an existing
    stream has.
    """

    creds: Path | None = None
    """Credentials file (JWT and seed)."""
    nkey: Path | None = None
    """NKey seed file."""
    ack_wait: float = 8.0
    """A delivery is redelivered this long after its holder fell silent. Deliveries are extended every third of it."""
    replicas: int | None = None
    requests_max_bytes: int | None = None
    lifecycle_max_bytes: int | None = None
    dead_max_bytes: int | None = None
    domain: str | None = None
    """JetStream domain that holds the streams; None: the one of the server that we connect to."""
    api_prefix: str | None = None
    """Where that JetStream's API is imported, instead of a domain."""

    @property
    def remote(self) -> bool:
        """Whether the streams may be beyond the server that we connect to."""
        return self.domain is not None or self.api_prefix is not None

    @property
    def api(self) -> str:
        """What the subjects of the JetStream API begin with."""
        return self.api_prefix or (f"$JS.{self.domain}.API" if self.domain else OWN_API)


def options_of(settings: Mapping[str, Any]) -> JetStreamOptions:
    """What the settings say, by the names of their fields."""
    return JetStreamOptions(
        **common_options(settings),
        creds=settings["nats_creds"],
        nkey=settings["nats_nkey"],
        replicas=settings["nats_replicas"],
        requests_max_bytes=settings["nats_max_bytes"],
        lifecycle_max_bytes=settings["nats_lifecycle_bytes"],
        dead_max_bytes=settings["nats_dead_bytes"],
        domain=settings["nats_domain"],
        api_prefix=settings["nats_api_prefix"],
    )
