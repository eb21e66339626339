"""Which installation a command talks to, from its options, `JOBRELAY_*`, or a `jobrelay dev` that runs here."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.servers.login import write_private
from handler.commands.errors import Misuse

if TYPE_CHECKING:
    from handler.settings.settings import Settings

DEV_DIRECTORY = Path(".jobrelay/dev")
_STATE = "running.json"
_CONNECTION = ("JOBRELAY_SOURCES", "JOBRELAY_INSTANCE", "JOBRELAY_KUBECONFIG")
_ELSEWHERE = (*_CONNECTION, "JOBRELAY_KUBE_CONTEXT")
"""What names another installation than the one that runs in this directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A running `jobrelay dev`: how to reach it, its functions, its history, its page with the token of that, and the
    process that owns it.
    """

    source: str
    kubeconfig: str
    instance: str
    http: str
    pid: int
    functions: str | None = None
    history: str | None = None
    page: str | None = None
    token: str | None = None

    def environ(self) -> dict[str, str]:
        """The settings by which commands reach it."""
        found = dict(zip(_CONNECTION, (self.source, self.instance, self.kubeconfig), strict=True))
        files = {"JOBRELAY_FUNCTIONS": self.functions, "JOBRELAY_HISTORY": self.history}
        return found | {name: value for name, value in files.items() if value is not None}

    def save(self, directory: Path) -> None:
        """Write the file by which commands find it. It has the password of the broker."""
        write_private(directory / _STATE, json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def forget(directory: Path) -> None:
        """Remove what `save` wrote."""
        (directory / _STATE).unlink(missing_ok=True)

    @classmethod
    def find(cls, directory: Path) -> "Local | None":
        """The `jobrelay dev` that runs in `directory`; None if there is none, or its process is gone."""
        try:
            found = cls(**json.loads((directory / _STATE).read_bytes()))
            os.kill(found.pid, 0)
        except (OSError, ValueError, TypeError):
            return None
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options that replace settings, and `environ`, the environment variables."""

    broker: str | None = None
    instance: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    role: str | None = None
    history: str | None = None
    verbose: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    def given(self) -> dict[str, str]:
        """The options that were given, as settings."""
        values = (self.broker, self.instance, self.kubeconfig)
        given = {name: value for name, value in zip(_CONNECTION, values, strict=True) if value is not None}
        others = {
            "JOBRELAY_KUBE_CONTEXT": self.context,
            "JOBRELAY_NAMESPACES": self.namespace,
            "JOBRELAY_ROLE": self.role,
            "JOBRELAY_HISTORY": self.history,
        }
        return given | {name: value for name, value in others.items() if value}


def variables_of(options: Options, *, directory: Path = DEV_DIRECTORY) -> tuple[dict[str, str], Local | None]:
    """The environment with what the options replace in it, and the `jobrelay dev` whose settings it has, if any.

    What `jobrelay dev` runs counts only as a whole, when nothing else names a broker, an instance or a cluster: its
    broker together with the cluster of another installation would be worse than an error.
    """
    given = options.given()
    local = None
    if not any(options.environ.get(name) or name in given for name in _ELSEWHERE):
        local = Local.find(directory)
    return {**options.environ, **(local.environ() if local else {}), **given}, local


def settings_of(options: Options, *, directory: Path = DEV_DIRECTORY) -> "Settings":
    """The settings in force. Raises `Misuse` naming every mistake."""
    # Only here: it takes longer than a shell waits that completes a word, which needs a few of them.
    from handler.settings.settings import InvalidSettings, Settings

    chosen, local = variables_of(options, directory=directory)
    try:
        settings = Settings.from_env(chosen)
    except InvalidSettings as error:
        raise Misuse(str(error)) from error
    if options.verbose:
        _print_target(settings, local)
    return settings


def _print_target(settings: "Settings", local: Local | None) -> None:
    origin = f"jobrelay dev in {DEV_DIRECTORY}, pid {local.pid}" if local else "settings"
    shown = settings.printable()
    cluster = shown["JOBRELAY_KUBECONFIG"] or "KUBECONFIG or in-cluster"
    if settings.kube_context is not None:
        cluster += f", context {shown['JOBRELAY_KUBE_CONTEXT']}"
    history = f", history {shown['JOBRELAY_HISTORY']}" if settings.history is not None else ""
    text = f"broker {shown['JOBRELAY_SOURCES']}, instance {settings.instance}, cluster {cluster}{history}"
    click.echo(f"{text} (from {origin})", err=True)
