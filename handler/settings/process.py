"""The settings of the process: what it connects to and how it runs. Rules about several of them are in settings.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from adapters.registry import ADAPTERS
from adapters.urls import listed
from handler.settings.policy import Names, split
from handler.settings.reach import INSTANCE

URLs = Annotated[tuple[str, ...], BeforeValidator(lambda value: listed(value) if isinstance(value, str) else value)]
Weights = Annotated[tuple[int, int, int], BeforeValidator(split)]


def _urls() -> Iterator[str]:
    """The forms of broker URLs, for people."""
    for adapter in ADAPTERS:
        usual, *others = adapter.schemes
        yield f"`{usual}://{adapter.authority}`"
        yield from (f"`{scheme}://…`" for scheme in others)


class ConnectionSettings(BaseModel):
    """What the process is and what it connects to."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sources: URLs = Field(
        ("nats://127.0.0.1:4222",),
        repr=False,
        description=f"Brokers to consume from, the default one first, at most one of each kind: {', '.join(_urls())}. "
        "In users and passwords, characters other than `A-Z a-z 0-9 - . _ ~` are percent-encoded (`@` is `%40`). "
        "The servers of a cluster are one URL: `nats://a:4222,b:4222`, `amqp://user:password@a:5672,b:5672/vhost`.",
    )
    role: Literal["both", "handler", "controller", "console"] = Field(
        "both",
        description="`handler` turns requests into Jobs. `controller` follows the Jobs, publishes what becomes of "
        "them, carries out control events and declares the broker's topology. `both` does all of that in one process. "
        "`console`, a process of its own, keeps the history; it needs the extra `console`.",
    )
    instance: str = Field(
        "jobrelay",
        pattern=INSTANCE,
        description="Name of this installation: label on its Jobs, name of its Lease, prefix of its streams and "
        "queues. At most 30 of `a-z`, `0-9` and `-`.",
    )
    namespaces: Names = Field(
        (),
        description="Namespaces that requests may name. The first is the default and holds the Lease. "
        "Empty: only the namespace of the kubeconfig or of the service account.",
    )
    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig file. Empty: `KUBECONFIG`, else the service account of the pod, else `~/.kube/config`.",
    )
    kube_context: str | None = Field(None, description="Context of the kubeconfig. Empty: its current context.")
    kube_timeout: float = Field(15, ge=1, le=300, description="Seconds that a request to the API server may take.")


class RequestSettings(BaseModel):
    """How requests are taken in, and how long their Jobs and control events are waited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reply_topics: Names = Field(
        (),
        description="Topics that requests may name in `replyto`: shell patterns for NATS subjects or RabbitMQ routing "
        "keys. Empty: none.",
    )
    functions: Path | None = Field(
        None,
        description="YAML file of the functions, which turn events of any type into Jobs. It is read again when it "
        "changes. Empty: no functions.",
    )
    concurrency: int = Field(
        64,
        ge=1,
        le=4096,
        description="Requests of each broker whose Jobs a process creates at the same time. One more is taken in "
        "meanwhile, and is ready when one of them is done.",
    )
    max_bytes_in_flight: int = Field(
        64 << 20,
        ge=1 << 20,
        description="Bytes of the requests of each broker that a process has at the same time, handed out or waiting "
        "for their turn. Beyond it each lane may have one message, whatever its size.",
    )
    lane_weights: Weights = Field(
        (6, 3, 1),
        description="Shares of the lanes high, normal and low while all of them have messages; each from 1 to 100.",
    )
    max_attempts: int = Field(20, ge=1, le=1000, description="Deliveries of a request before it is a dead letter.")
    inline_bytes: int = Field(
        16384,
        ge=0,
        le=65536,
        description="Largest event, in bytes, that is stored on the Job itself. A larger one goes into a Secret that "
        "the Job owns.",
    )
    start_timeout: int = Field(
        600,
        ge=1,
        le=604800,
        description="Seconds from the Job's start to a running pod, for requests without a `startTimeout`.",
    )
    quota_delay: float = Field(
        30, ge=1, le=3600, description="Seconds until a request that a quota has refused is tried again."
    )
    control_wait: float = Field(
        60,
        ge=0,
        le=240,
        description="Seconds that a control event waits for its request to get a Job; up to a minute more where "
        "thousands do.",
    )
    progress_seconds: float = Field(
        60,
        ge=0,
        le=86400,
        description="Seconds between samples of what running Jobs use, where the cluster serves `metrics.k8s.io`. "
        "0: no samples.",
    )
    progress_jobs: int = Field(500, ge=0, description="Running Jobs above which no samples are taken.")


class ServingSettings(BaseModel):
    """How the process ends and where it answers probes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drain_seconds: float = Field(
        20, ge=0, le=600, description="Seconds that work in flight gets to finish after SIGTERM."
    )
    http_address: str = Field(
        "127.0.0.1:8080",
        pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$",
        description="`host:port` where `/livez`, `/readyz`, `/healthz` and `/metrics` are served. Port 0 picks a free "
        "port.",
    )
    metrics_seconds: float = Field(
        1,
        ge=0.01,
        le=60,
        description="Seconds for which `/metrics` and `/healthz` tell the same again: nobody who reaches the port can "
        "have them made more often.",
    )


class LeadershipSettings(BaseModel):
    """The Lease of the controllers, and the watches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease_seconds: float = Field(
        10,
        ge=1,
        le=300,
        description="Seconds after which a silent leader has lost its Lease. Above `JOBRELAY_LEASE_RENEW_SECONDS`.",
    )
    lease_renew_seconds: float = Field(
        7,
        ge=0.5,
        le=300,
        description="Seconds that a leader tries to renew its Lease before it stops leading. Above "
        "`JOBRELAY_LEASE_RETRY_SECONDS`.",
    )
    lease_retry_seconds: float = Field(
        2,
        ge=0.1,
        le=60,
        description="Seconds between renewals by the leader, and between looks at the Lease by the others.",
    )
    lease_call_seconds: float = Field(
        3, ge=0.1, le=60, description="Seconds that a write of the leader may take. Below `JOBRELAY_LEASE_SECONDS`."
    )
    watch_idle_seconds: float = Field(
        120,
        ge=1,
        le=3600,
        description="Seconds of silence after which a watch is taken for dead. Bookmarks come about once a minute.",
    )


class BrokerSettings(BaseModel):
    """How the brokers are reached and used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nats_creds: Path | None = Field(None, description="Credentials file for NATS: JWT and seed.")
    nats_nkey: Path | None = Field(None, description="NKey seed file for NATS.")
    nats_replicas: int | None = Field(
        None,
        ge=1,
        le=5,
        description="Replicas of every stream on NATS; existing streams are changed. "
        "Empty: 1 for a new stream; an existing one keeps what it has.",
    )
    nats_max_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="Size of the request stream on NATS, in bytes; publishers are refused once it is full. "
        "Empty: 1 GiB for a new stream; an existing one keeps what it has.",
    )
    nats_lifecycle_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="Size of the stream of lifecycle events on NATS, in bytes; the oldest go once it is full. Empty: "
        "1 GiB for a new stream, less where the server has less room; an existing one keeps what it has.",
    )
    nats_dead_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="Size of the stream of dead letters on NATS, in bytes. Its last tenth takes dead letters without "
        "their bodies, and once it is full requests are refused without one. Empty: 256 MiB for a new stream, less "
        "where the server has less room; an existing one keeps what it has.",
    )
    nats_domain: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="JetStream domain that holds the streams, such as that of a hub behind a leaf node. "
        "Empty: the one of the server that the URL names.",
    )
    nats_api_prefix: str | None = Field(
        None,
        pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$",
        description="Prefix of the JetStream API, where it is imported from another account; instead of a domain. "
        "Empty: `$JS.API`, or `$JS.<domain>.API`.",
    )
    rabbitmq_replicas: int | None = Field(
        None,
        ge=1,
        le=7,
        description="Members of every queue and of the log on a RabbitMQ cluster, for those that are declared anew. "
        "Empty: what RabbitMQ chooses. Existing ones keep what they have, and are named with what to run.",
    )
    rabbitmq_management_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s@?#]+$",
        description="RabbitMQ's management API, such as `http://rabbitmq:15672`, asked with the user and password of "
        "the broker's URL how many members queues have. Empty: that is not known.",
    )
    tls_ca: Path | None = Field(
        None, description="CA bundle, PEM, that the broker's certificate is verified with. Empty: the system's."
    )
    tls_cert: Path | None = Field(
        None, description="Client certificate for the broker, PEM. Goes together with `JOBRELAY_TLS_KEY`."
    )
    tls_key: Path | None = Field(None, description="Key of the client certificate, PEM.")
    tls_server_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.-]{1,253}$",
        description="Name that the certificates of all the broker's servers must be for. Empty: each the name in "
        "its address.",
    )
    broker_silence_seconds: float = Field(
        10,
        ge=2,
        le=300,
        description="Seconds after which a broker that says nothing is taken for dead, and connected to anew.",
    )
    broker_timeout: float = Field(
        5, ge=0.5, le=60, description="Seconds that a publish may take before it counts as failed."
    )


class LogSettings(BaseModel):
    """What the process logs and traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="`otlp` sends spans to the OpenTelemetry collector that the standard variables "
        "`OTEL_EXPORTER_OTLP_*` name; it needs the extra `otlp`.",
    )
    log_format: Literal["text", "json"] = Field("text", description="`text` for people, `json` for collectors.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity that is logged; `DEBUG` of jobrelay's own modules only."
    )
