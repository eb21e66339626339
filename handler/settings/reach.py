"""The few settings that say where an installation's Jobs and its history are, read without all the others.

Completing a word in a shell has a second, and to import what checks all settings takes most of it. What is read here
means what it means in `Settings`; a test compares the two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from events.names import DEFAULT_INSTANCE, MANAGED_BY, Label

INSTANCE = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"

_FILE = re.compile(r"sqlite://(/[^?#\0]*[^/?#\0])")


def selector_of(instance: str) -> str:
    """The label selector of an installation's Jobs, CronJobs and Pods."""
    return f"{Label.MANAGED_BY}={MANAGED_BY},{Label.INSTANCE}={instance}"


def sqlite_path(url: str) -> str | None:
    """The path of the file that this URL of a database names; None if it is none of SQLite."""
    found = _FILE.fullmatch(url)
    return found[1] if found else None


def items(text: str) -> list[str]:
    """Those of a comma-separated list."""
    return [item.strip() for item in text.split(",") if item.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Fields of `Settings`, by the same names."""

    instance: str
    namespaces: tuple[str, ...]
    kubeconfig: Path | None
    kube_context: str | None
    history: str | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read `JOBRELAY_*`; empty means the default. Raises `ValueError`, also where only `Settings` can tell why."""
        instance = environ.get("JOBRELAY_INSTANCE") or DEFAULT_INSTANCE
        if not re.fullmatch(INSTANCE, instance):
            raise ValueError("JOBRELAY_INSTANCE")
        file = environ.get("JOBRELAY_KUBECONFIG")
        if file and not Path(file).is_file():
            raise ValueError("JOBRELAY_KUBECONFIG")
        return cls(
            instance=instance,
            namespaces=tuple(items(environ.get("JOBRELAY_NAMESPACES", ""))),
            kubeconfig=Path(file) if file else None,
            kube_context=environ.get("JOBRELAY_KUBE_CONTEXT") or None,
            history=environ.get("JOBRELAY_HISTORY") or None,
        )
