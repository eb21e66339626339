"""All settings of jobrelay: environment variables `JOBRELAY_*`, all checked before anything connects."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator

from adapters.registry import BY_NAME, adapter_of, shown
from adapters.urls import hidden, parse
from events.request.container import OUR_ENV
from handler.settings.admission import AdmissionSettings
from handler.settings.history import HistorySettings, shown as shown_database
from handler.settings.page import PageSettings
from handler.settings.policy import PolicySettings
from handler.settings.process import (
    BrokerSettings,
    ConnectionSettings,
    LeadershipSettings,
    LogSettings,
    RequestSettings,
    ServingSettings,
)

PREFIX = "JOBRELAY_"
_SOURCES = frozenset(
    {
        f"{kind}{of}"
        for kind in ("", "NATS_", "RABBITMQ_", "AMQP_", "BROKER_")
        for of in ("URL", "URLS", "URI", "SERVERS")
    }
    | {"SOURCE_URL", "BROKER", "BROKERS", "NATS", "RABBITMQ", "AMQP"}
)
"""What the URLs of brokers are called elsewhere."""
_MAY_BE_EMPTY = frozenset({"ui_address"})
"""Of these, empty is a value of its own, not the default."""
_DATABASES = frozenset({"DATABASE", "DATABASE_URL", "DB", "DB_URL", "HISTORY_URL", "POSTGRESQL_URL", "POSTGRES_URL"})

# Kubernetes sets such variables in every container of a namespace that has a Service named jobrelay*.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")


class InvalidSettings(ValueError):
    """Names every setting that is wrong; `errors` has a line for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("invalid settings:\n" + "\n".join(f"  {error}" for error in errors))
        self.errors = errors


class _ProcessSettings(
    LogSettings, BrokerSettings, LeadershipSettings, ServingSettings, RequestSettings, ConnectionSettings
):
    """Adds the rules about these settings. Fields are in the order of the bases, read from the right."""

    @field_validator("sources")
    @classmethod
    def _usable(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        if not sources:
            raise ValueError("at least one broker URL expected")
        kinds = [adapter_of(url) for url in sources]
        for url, adapter in zip(sources, kinds, strict=True):
            parse(url, adapter.rules)
        if len({adapter.name for adapter in kinds}) < len(kinds):
            raise ValueError(
                f"at most one broker of each kind can be named: {', '.join(BY_NAME)}; "
                "the servers of a cluster are one URL: nats://a:4222,b:4222"
            )
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
        if self.nats_domain is not None and self.nats_api_prefix is not None:
            raise ValueError("JOBRELAY_NATS_DOMAIN and JOBRELAY_NATS_API_PREFIX do not go together")
        for name in ("kubeconfig", "nats_creds", "nats_nkey", "tls_ca", "tls_cert", "tls_key"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{PREFIX}{name.upper()}: no such file: {path}")
        return self


class Settings(PageSettings, HistorySettings, PolicySettings, AdmissionSettings, _ProcessSettings):
    """A field for each variable, such as `instance` for `JOBRELAY_INSTANCE`. Durations are in seconds."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read `JOBRELAY_*`. Empty means the default, but of the page's address that there is none.

        Raises `InvalidSettings` with all mistakes, unknown names included.
        """
        fields = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        # jobrelay may run in a container of one of its Jobs, whose variables are not settings.
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in OUR_ENV}
        errors = [_unknown(name, fields) for name in given if name not in fields and not _SERVICE_LINK.search(name)]
        values: dict[str, Any] = {
            fields[name]: value
            for name, value in given.items()
            if name in fields and (value or fields[name] in _MAY_BE_EMPTY)
        }
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            # Not from the error, whose text quotes the values.
            raise InvalidSettings(errors + _lines(error)) from None
        if errors:
            raise InvalidSettings(errors)
        return settings

    @property
    def takes_in(self) -> bool:
        """Whether this role turns requests into Jobs."""
        return self.role in ("both", "handler")

    @property
    def follows(self) -> bool:
        """Whether this role follows Jobs and owns the broker's topology."""
        return self.role in ("both", "controller")

    @property
    def records(self) -> bool:
        """Whether this role keeps the history."""
        return self.role == "console"

    @property
    def publishes(self) -> bool:
        """Whether this role publishes anything: a console does where people act on its page."""
        return not self.records or (self.ui_address is not None and self.ui_read_only == "off")

    def printable(self) -> dict[str, str]:
        """Every variable with the value in force; users and passwords in URLs are hidden."""
        values = self.model_dump() | {"sources": tuple(map(shown, self.sources))}
        if self.history is not None:
            values["history"] = shown_database(self.history)
        return {f"{PREFIX}{name.upper()}": _shown(values[name]) for name in type(self).model_fields}


def _unknown(name: str, fields: Mapping[str, str]) -> str:
    short = name.removeprefix(PREFIX).upper()
    names = [field.removeprefix(PREFIX) for field in fields]
    meant = "SOURCES" if short in _SOURCES else "HISTORY" if short in _DATABASES else None
    meant = meant or next(iter(difflib.get_close_matches(short, names, 1)), None)
    return f"{name}: no such setting" + (f"; did you mean {PREFIX}{meant}?" if meant else "")


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
        return ",".join(str(item) for item in value)
    return hidden(str(value))
