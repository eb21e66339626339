"""Which RabbitMQ is run, of those that are on this machine, and on which Erlang."""

import os
import shutil
from dataclasses import dataclass

from adapters.servers.process import ServerFailed

# Where packages have the programs themselves: the wrappers on PATH want another user and other directories.
_PLACES = ("/usr/lib/rabbitmq/bin",)


@dataclass(frozen=True, slots=True)
class Release:
    """`home`: the directory whose `sbin` or `bin` has the programs; empty for the package's, or those on PATH.

    `erlang`: the same of Erlang; empty for the one on PATH.
    """

    home: str = ""
    erlang: str = ""

    def program(self, name: str = "rabbitmq-server") -> str:
        """Path of a program of RabbitMQ. Raises `ServerFailed` if it is not installed."""
        places = (f"{self.home}/sbin", f"{self.home}/bin") if self.home else _PLACES
        found = next((path for place in places if (path := shutil.which(name, path=place))), None)
        if found is None and self.home:
            raise ServerFailed(f"{name} was not found: RABBITMQ_HOME has to have it in `sbin` or `bin`")
        if found is None and (found := shutil.which(name)) is None:
            raise ServerFailed(f"{name} was not found: install the package rabbitmq-server, or put it on PATH")
        return found

    def port_mapper(self) -> str:
        """Path of epmd. We run our own: a node would start an epmd that outlives it. Raises `ServerFailed`."""
        found = shutil.which("epmd", path=self.path)
        if found is None:
            raise ServerFailed("epmd was not found: it comes with Erlang")
        return found

    @property
    def path(self) -> str:
        """PATH for its programs, which look for `erl` there."""
        ours = os.environ.get("PATH", os.defpath)
        return f"{self.erlang}/bin{os.pathsep}{ours}" if self.erlang else ours


def chosen() -> Release:
    """The one in RABBITMQ_HOME, on the Erlang in ERLANG_HOME, where they are set; else the one that is installed."""
    home = os.environ.get("RABBITMQ_HOME", "")
    return Release(home, os.environ.get("ERLANG_HOME", "")) if home else Release()
