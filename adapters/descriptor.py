"""What the rest of jobrelay needs to know of an adapter. Settings, metrics, commands and documents read it here.

Plain data and pure functions. Importing a descriptor needs no client library.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.base import Broker, Topic
from adapters.urls import Rules


class Connect(Protocol):
    """Connects to a broker; the adapter's client library is imported only when it is called."""

    def __call__(self, url: str, *, instance: str, options: Any) -> AbstractAsyncContextManager[Broker]:
        """`options` are the adapter's own; None means its defaults. Raises what `adapters.connect.connect` raises."""
        ...


class Permissions(Protocol):
    """Depend on the instance, and on the adapter's options; None means its defaults."""

    def __call__(self, instance: str, options: Any = None) -> Mapping[str, tuple[str, ...]]: ...


class Removal(Protocol):
    """Depends on the same."""

    def __call__(self, instance: str, options: Any = None) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where clients of a broker find a topic."""

    address: str
    """The subject, routing key or queue."""
    fields: Mapping[str, object]
    """Further fields of its AsyncAPI channel: bindings and extensions."""
    note: str = ""
    """Appended to the description of the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One broker that settings can name. `instance` is the name of an installation wherever it is a parameter."""

    name: str
    """Names the connected broker, its label value in metrics, the extra in pyproject.toml and the deploy overlay."""
    title: str
    """The broker's name as people write it."""
    about: str
    """What the server must be, in a few words."""
    schemes: tuple[str, ...]
    """Schemes of its URLs; the usual scheme comes first."""
    authority: str
    """What follows the scheme of a URL, as documents show it."""
    rules: Rules
    """What its URLs may say."""
    port: int
    """Where servers usually listen."""
    libraries: tuple[str, ...]
    """Top-level modules of the client library, which the extra installs."""
    connect: Connect
    options: Callable[[Mapping[str, Any]], Any]
    """Makes the options of `connect` from all settings, by name."""
    stores: Callable[[str], tuple[str, ...]]
    """The streams or queues of an installation."""
    removal: Removal
    """Lines that tell an operator how to delete what an installation leaves behind."""
    permissions: Permissions
    """What jobrelay's user must be allowed, in the broker's verbs and patterns; reply topics come on top."""
    reading: Permissions
    """What a user must be allowed who only reads lifecycle events and checks the topology, as a recorder does."""
    operating: Permissions
    """What a user must be allowed who also reads dead letters and publishes requests and control events, as the page
    does for people.
    """
    unseen: Callable[[str, str], tuple[str, ...]]
    """Of a URL and an instance: what no adapter can see on the broker, and how an operator does."""
    channel: Callable[[str, Topic], Channel]
    """Where clients find a topic; a key may hold AsyncAPI's `{parameters}`."""
