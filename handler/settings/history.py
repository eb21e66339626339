"""The settings of the history: where it is kept, for how long, and which logs it has.

Only the role `console` uses them; the others take them as well, so that one ConfigMap serves all. Whether a database
answers is not known here.
"""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapters.urls import Rules, masked, parse
from handler.settings.reach import sqlite_path

POSTGRESQL = Rules(
    longest_path=63,
    parameters={
        "sslmode": r"disable|allow|prefer|require|verify-ca|verify-full",
        "sslrootcert": r"/.+",
        "sslcert": r"/.+",
        "sslkey": r"/.+",
    },
    nul=False,
)
"""What the URL of a PostgreSQL database may have; its path is the name of the database."""
_DIRECTORY = re.compile(r"file:///[^?#@\0]+")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]{0,512})?")


def shown(url: str) -> str:
    """The URL of a database as it may be shown to anybody: without user, password and unknown parameters."""
    return url if sqlite_path(url) else masked(url, POSTGRESQL)


class HistorySettings(BaseModel):
    """Fields of `Settings`: what the role `console` keeps of what happened."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    history: str | None = Field(
        None,
        repr=False,
        description="Database of the history: `sqlite:///absolute/path`, or "
        "`postgresql://[user:password@]host[:port]/database`, with the parameters `sslmode`, `sslrootcert`, `sslcert` "
        "and `sslkey` of libpq; escaped as in `JOBRELAY_SOURCES`. Empty: the last 10,000 requests are kept in memory, "
        "and read from the broker's log again at each start.",
    )
    history_days: int = Field(
        90,
        ge=8,
        le=3650,
        description="Days after its last event for which an ended request is kept. More than the 7 that the broker's "
        "log has, or recording that again would revive requests.",
    )
    history_max_bytes: int = Field(
        10 << 30,
        ge=64 << 20,
        description="Bytes above which a SQLite database never grows: before, the oldest logs go, then the oldest "
        "requests that have ended. Beside it are its log, of some 16 MiB, and 16 MiB that are held ready for a full "
        "volume. PostgreSQL is not bounded: there only `JOBRELAY_HISTORY_DAYS` and `JOBRELAY_LOG_DAYS` apply.",
    )
    history_events: Literal["on", "off"] = Field(
        "on",
        description="`on`: the event that asked for a request is kept with it, so that the request can be run again "
        "with its command and variables once its Job has gone. Variables are kept as the request gives them: what is "
        "secret belongs into Secrets (`valueFrom`). `off`: no event is kept anew; those that were kept go with their "
        "requests.",
    )
    logs: Literal["off", "end", "follow"] = Field(
        "end",
        description="Which logs are kept: `end` reads a container's log once its pod has ended, `follow` every 4 "
        "seconds as well, so that a pod that goes at once takes 5 seconds of it along at most. `off`: none.",
    )
    log_bytes: int = Field(
        1 << 20,
        ge=0,
        le=16 << 20,
        description="Bytes that are kept of a container's log. Of a longer one the first quarter and the last three "
        "quarters of that many are kept, and what was between is counted.",
    )
    log_days: int = Field(
        14,
        ge=1,
        le=3650,
        description="Days for which a log is kept; never longer than its request.",
    )
    log_concurrency: int = Field(8, ge=1, le=64, description="Logs that are read at the same time.")
    log_store: str | None = Field(
        None,
        description="Where logs are kept: `file:///absolute/directory`, or `s3://bucket/prefix`, whose region, keys "
        "and endpoint are the standard variables `AWS_*`. Empty: in the database.",
    )

    @field_validator("history")
    @classmethod
    def _database(cls, url: str | None) -> str | None:
        if url is None or sqlite_path(url):
            return url
        if not url.lower().startswith("postgresql://"):
            raise ValueError("sqlite:///absolute/path or postgresql://user:password@host/database expected")
        read = parse(url, POSTGRESQL)
        if not read.path or "/" in read.path:
            raise ValueError("the name of the database expected after the host: postgresql://host/database")
        unknown = sorted(set(read.query) - set(POSTGRESQL.parameters))
        if unknown:
            # Not by their names: where an `@` is missing, part of a password may look like one.
            raise ValueError(f"unknown parameters; allowed: {', '.join(POSTGRESQL.parameters)}")
        return url

    @field_validator("log_store")
    @classmethod
    def _store(cls, url: str | None) -> str | None:
        if url is not None and not (_DIRECTORY.fullmatch(url) or _BUCKET.fullmatch(url)):
            raise ValueError("file:///absolute/directory or s3://bucket/prefix expected")
        return url

    @model_validator(mode="after")
    def _headers_last(self) -> Self:
        if self.log_store is not None and self.history is None:
            raise ValueError(
                "JOBRELAY_LOG_STORE needs a database in JOBRELAY_HISTORY: what is in memory is forgotten at the end, "
                "and nobody would ever delete the logs"
            )
        return self
