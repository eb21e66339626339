"""What is asked for, from the line as it was typed so far."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from handler.commands.environment import Options

What = Literal[
    "requests",
    "controlled",
    "logged",
    "schedules",
    "sources",
    "services",
    "jobs",
    "containers",
    "namespaces",
    "contexts",
]
"""Ids: of all requests; of those that can be controlled; that have Jobs; of schedules. Or what such requests have."""
_OPTIONS = ("broker", "instance", "kubeconfig", "context", "namespace", "history")
_OF_ONE = ("sources", "jobs", "containers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Values of this kind that begin so, of the installation that `options` name.

    `request_id`, `source`: only of what has them. `recorded`: of what the history has, where one is named.
    """

    what: What
    beginning: str
    options: Options
    request_id: str | None = None
    source: str | None = None
    recorded: bool = False

    @classmethod
    def of(
        cls, what: What, beginning: str, given: Mapping[str, Any], *, recorded: bool, environ: Mapping[str, str]
    ) -> Self:
        """`given`: the parameters of the command that are on the line already, as they were typed.

        A shell would have replaced variables and `~` in them only when it ran the command.
        """
        typed = {name: _expanded(value) for name, value in given.items() if isinstance(value, str) and value}
        options: dict[str, Any] = {name: typed[name] for name in _OPTIONS if name in typed}
        return cls(
            what=what,
            beginning=beginning,
            options=Options(**options, environ=environ),
            request_id=typed.get("request_id") if what in _OF_ONE else None,
            source=None if what == "sources" else typed.get("source"),
            recorded=recorded,
        )


def _expanded(text: str) -> str:
    return os.path.expanduser(os.path.expandvars(text))
