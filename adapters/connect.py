"""Connects to the broker of a URL. Its client library is imported only then."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib.util import find_spec

from adapters import memory
from adapters.base import Broker
from adapters.descriptor import Adapter
from adapters.options import ConnectionOptions
from adapters.registry import adapter_of
from adapters.urls import parse
from events.names import DEFAULT_INSTANCE


def connect(
    url: str, *, instance: str = DEFAULT_INSTANCE, options: ConnectionOptions | None = None
) -> AbstractAsyncContextManager[Broker]:
    """A connected broker. The scheme of `url` picks the adapter; `options` are that adapter's.

    `memory://` is an empty broker in this process, without options.

    Raises `InvalidURL` (a ValueError), RuntimeError when the client library is not installed, and on entry
    `BrokerUnavailable` when the broker cannot be reached in time.
    """
    if url.partition("://")[0] == memory.SCHEME:
        return memory.connect()
    adapter = adapter_of(url)
    parse(url, adapter.rules)
    with _naming_extra(adapter):
        return adapter.connect(url, instance=instance, options=options)


def missing(adapter: Adapter) -> str | None:
    """What has to be installed to connect by this adapter; None for nothing. Imports none of it."""
    if all(find_spec(name) is not None for name in adapter.libraries):
        return None
    return _extra_of(adapter)


@contextmanager
def _naming_extra(adapter: Adapter) -> Iterator[None]:
    """Name the extra whose client library is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in adapter.libraries:
            raise
        raise RuntimeError(_extra_of(adapter)) from error


def _extra_of(adapter: Adapter) -> str:
    return f"{adapter.title} needs the extra [{adapter.name}]: pip install 'jobrelay[{adapter.name}]'"
