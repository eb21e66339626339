"""All settings of jobrelay: environment variables `JOBRELAY_*`, checked all at once before anything is connected to."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from events.request.container import OUR_ENV
from handler.settings.admission import AdmissionSettings
from handler.settings.policy import Names, PolicySettings, split

PREFIX = "JOBRELAY_"
SCHEMES = {"nats": "nats", "tls": "nats", "amqp": "rabbitmq", "amqps": "rabbitmq"}
"""Schemes of broker URLs, and the broker each means."""

# Kubernetes puts such variables into every container of a namespace that has a Service named jobrelay*.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")


class InvalidSettings(ValueError):
    """Names every setting that is wrong; `errors` holds one line each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("invalid settings:\n" + "\n".join(f"  {error}" for error in errors))
        self.errors = errors


Weights = Annotated[tuple[int, int, int], BeforeValidator(split)]


class _ProcessSettings(BaseModel):
    """What the process connects to and how it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Names = Field(
        ("nats://127.0.0.1:4222",),
        description="Brokers to consume from, at most one of each kind, the default one first: "
        "`nats://[user:password@]host:port`, `tls://…`, `amqp://[user:password@]host:port/[vhost]`, `amqps://…`.",
    )
    role: Literal["both", "handler", "controller"] = Field(
        "both",
        description="`handler`: turn requests into Jobs; `controller`: follow the Jobs, report on them, declare the "
        "broker's topology, carry out control events; `both`: everything in one process.",
    )
    instance: str = Field(
        "jobrelay",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$",
        description="Name of this installation: label on its Jobs, name of its Lease, prefix of its streams.",
    )
    namespaces: Names = Field(
        (),
        description="Namespaces requests may name, comma-separated; the first is the default. "
        "Empty: only the one of the kubeconfig or of the service account.",
    )
    kubeconfig: Path | None = Field(
        None, description="Kubeconfig file. Empty: `KUBECONFIG`, else in-cluster, else `~/.kube/config`."
    )
    kube_context: str | None = Field(None, description="Context of the kubeconfig. Empty: its current one.")
    kube_timeout: float = Field(15, ge=1, le=300, description="Time a request to the API server may take.")
    reply_topics: Names = Field(
        (),
        description="Topics requests may name in `replyto`: shell patterns on NATS subjects or RabbitMQ routing keys. "
        "Empty: none.",
    )
    functions: Path | None = Field(
        None,
        description="YAML file of the functions, which turn events of any type into Jobs; read again when it changes. "
        "Empty: none.",
    )
    concurrency: int = Field(
        64, ge=1, le=4096, description="Requests of each source that are worked on at the same time."
    )
    lane_weights: Weights = Field(
        (6, 3, 1), description="Shares of the lanes high, normal, low while all have messages; each at least 1."
    )
    max_attempts: int = Field(20, ge=1, le=1000, description="Deliveries of one request before it is a dead letter.")
    inline_bytes: int = Field(
        16384, ge=0, le=65536, description="Largest event stored on the Job itself; a larger one goes into a Secret."
    )
    start_timeout: int = Field(600, ge=1, le=604800, description="Time to a running pod when the request names none.")
    quota_delay: float = Field(30, ge=1, le=3600, description="Time until a request refused by a quota is tried again.")
    control_wait: float = Field(60, ge=0, le=240, description="Time a control event waits for its request to appear.")
    progress_seconds: float = Field(
        60, ge=0, le=86400, description="Time between samples of what running Jobs use (metrics.k8s.io); 0: none."
    )
    progress_jobs: int = Field(500, ge=0, description="Running Jobs above which no samples are taken.")
    drain_seconds: float = Field(20, ge=0, le=600, description="Time that work in flight gets to finish after SIGTERM.")
    http_address: str = Field(
        "127.0.0.1:8080",
        pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$",
        description="Where `/livez /readyz /healthz /metrics` are served; port 0 picks a free one.",
    )
    lease_seconds: float = Field(10, ge=1, le=300, description="Time after which a silent leader has lost its Lease.")
    lease_renew_seconds: float = Field(7, ge=0.5, le=300, description="Time a leader has for renewing before it stops.")
    lease_retry_seconds: float = Field(
        2, ge=0.1, le=60, description="Time between renewals, or between looks at the Lease."
    )
    lease_call_seconds: float = Field(3, ge=0.1, le=60, description="Time one write of the controller may take.")
    watch_idle_seconds: float = Field(
        120, ge=1, le=3600, description="Silence after which a watch is taken for dead (bookmarks come each minute)."
    )
    nats_creds: Path | None = Field(None, description="Credentials file (JWT and seed) for NATS.")
    nats_nkey: Path | None = Field(None, description="NKey seed file for NATS.")
    nats_replicas: int | None = Field(
        None, ge=1, le=5, description="Replicas of every stream. Empty: 1 for a new one, and what an existing one has."
    )
    nats_max_bytes: int | None = Field(
        None,
        ge=1 << 20,
        description="Size of the request stream, beyond which publishers are refused. Empty: 1 GiB for a new one.",
    )
    tls_ca: Path | None = Field(None, description="CA bundle for the broker's certificate. Empty: the system's.")
    tls_cert: Path | None = Field(None, description="Client certificate for the broker, PEM.")
    tls_key: Path | None = Field(None, description="Key of the client certificate, PEM.")
    broker_timeout: float = Field(5, ge=0.5, le=60, description="Time a publish may take until it counts as failed.")
    tracing: Literal["off", "otlp"] = Field(
        "off",
        description="`otlp`: spans to the OpenTelemetry collector that the standard variables `OTEL_EXPORTER_OTLP_*` "
        "name; needs the extra `otlp`.",
    )
    log_format: Literal["text", "json"] = Field("text", description="`text` for people, `json` for collectors.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity that is logged."
    )

    @field_validator("sources")
    @classmethod
    def _known_scheme(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        if not sources:
            raise ValueError("at least one broker URL expected")
        for url in sources:
            if urlsplit(url).scheme not in SCHEMES or not urlsplit(url).netloc:
                raise ValueError(
                    "not a broker URL; allowed: " + ", ".join(f"{scheme}://host:port" for scheme in SCHEMES)
                )
        kinds = [SCHEMES[urlsplit(url).scheme] for url in sources]
        if len(set(kinds)) < len(kinds):
            raise ValueError("at most one broker of each kind can be named: nats, rabbitmq")
        return sources

    @field_validator("lane_weights")
    @classmethod
    def _no_lane_starves(cls, weights: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(weights) < 1 or max(weights) > 100:
            raise ValueError("three whole numbers from 1 to 100 expected (high, normal, low)")
        return weights

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.lease_seconds > self.lease_renew_seconds > self.lease_retry_seconds:
            raise ValueError(
                "JOBRELAY_LEASE_SECONDS > JOBRELAY_LEASE_RENEW_SECONDS > JOBRELAY_LEASE_RETRY_SECONDS must hold"
            )
        if self.lease_call_seconds >= self.lease_seconds:
            raise ValueError("JOBRELAY_LEASE_CALL_SECONDS must be below JOBRELAY_LEASE_SECONDS")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("JOBRELAY_TLS_CERT and JOBRELAY_TLS_KEY go together")
        for name in ("kubeconfig", "nats_creds", "nats_nkey", "tls_ca", "tls_cert", "tls_key"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{PREFIX}{name.upper()}: no such file: {path}")
        return self


class Settings(PolicySettings, AdmissionSettings, _ProcessSettings):
    """One field per variable, upper-cased behind the prefix (`instance`: `JOBRELAY_INSTANCE`). Durations in seconds."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read `JOBRELAY_*` (empty: default). Raises `InvalidSettings` with all mistakes, unknown names included."""
        fields = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        # jobrelay also runs in containers of its own Jobs, whose variables are no settings.
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in OUR_ENV}
        errors = [_unknown(name, fields) for name in given if name not in fields and not _SERVICE_LINK.search(name)]
        values: dict[str, Any] = {fields[name]: value for name, value in given.items() if name in fields and value}
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            raise InvalidSettings(errors + _lines(error)) from error
        if errors:
            raise InvalidSettings(errors)
        return settings

    @property
    def takes_in(self) -> bool:
        """Whether this role turns requests into Jobs."""
        return self.role != "controller"

    @property
    def follows(self) -> bool:
        """Whether this role follows Jobs and owns the broker's topology."""
        return self.role != "handler"

    def printable(self) -> dict[str, str]:
        """Every variable with its value in force, passwords in URLs hidden."""
        return {f"{PREFIX}{name.upper()}": _shown(getattr(self, name)) for name in type(self).model_fields}


def _unknown(name: str, fields: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, fields, 1)
    return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _lines(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        name = f"{PREFIX}{str(item['loc'][0]).upper()}: " if item["loc"] else ""
        lines.append(name + item["msg"].removeprefix("Value error, "))
    return lines


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(_shown(item) for item in value)
    return re.sub(r"(?<=://)[^@/]*@", "***@", str(value))
