"""Claims about choosing an adapter."""

import sys
from dataclasses import dataclass

import pytest

import adapters
from adapters.connect import connect, missing
from adapters.jetstream.options import JetStreamOptions
from adapters.registry import BY_NAME


def test_unknown_scheme_is_named() -> None:
    with pytest.raises(ValueError, match="kafka"):
        connect("kafka://somewhere", options=JetStreamOptions())


@dataclass(frozen=True)
class Uninstalled:
    """Finds modules, but not the client library."""

    library: str

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("library", "adapter", "extra", "urls"),
    [
        ("nats", "jetstream", "nats", ["nats://127.0.0.1:4222"]),
        ("aiormq", "rabbitmq", "rabbitmq", ["amqp://127.0.0.1", "amqps://127.0.0.1"]),
    ],
)
def test_missing_client_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, library: str, adapter: str, extra: str, urls: list[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith((library, f"adapters.{adapter}"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(adapters, adapter, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Uninstalled(library), *sys.meta_path])
    for url in urls:
        with pytest.raises(RuntimeError, match=rf"jobrelay\[{extra}\]"):
            connect(url)


def test_what_is_missing_is_known_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [missing(adapter) for adapter in BY_NAME.values()] == [None, None]
    monkeypatch.setitem(sys.modules, "aiormq", None)
    assert missing(BY_NAME["rabbitmq"]) == "RabbitMQ needs the extra [rabbitmq]: pip install 'jobrelay[rabbitmq]'"
    assert missing(BY_NAME["nats"]) is None
