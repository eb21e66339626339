"""`jobrelay history export`: every event as it was published, in the order of recording."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from events.phases import Phase
from handler.commands.history import exporting
from tests.handler.commandline import Done, call, make_environ
from tests.handler.commands.history.records import fill, life, told, url_of

Asked = Callable[..., Done]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    body = b'{"id":"odd",\n"n":1.50,"big":123456789012345678901,"text":"\xe2\x80\xae\xc2\x9b31m"}'
    entries = [*life("b"), *life("a", service="billing"), told("odd", Phase.CREATED, at=50, body=body)]
    asyncio.run(fill(url_of(directory), entries))
    return directory


@pytest.fixture
def asked(directory: Path, tmp_path: Path) -> Asked:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    return lambda *options: call("history", "export", *options, environ=environ)


def exported(done: Done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_each_line_is_an_event_as_it_was(asked: Asked) -> None:
    done = asked()
    assert [name.removeprefix("/") for name in exported(done)[:-1]] == [
        *("shop-b-e1/created/0", "shop-b-e1/started/4", "shop-b-e1/succeeded/16"),
        *("shop-a-e1/created/0", "shop-a-e1/started/4", "shop-a-e1/succeeded/16"),
    ]
    assert done.stdout.splitlines()[-1] == (
        '{"id":"odd", "n":1.50,"big":123456789012345678901,"text":"\\u202e\\u009b31m"}'
    )


def test_filters_and_the_way_to_go_on(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = asked()
    assert len(exported(asked("--service", "billing"))) == 2
    assert exported(asked("--newer", "2026-03-01T10:00:50Z")) == ["odd"]
    assert len(exported(asked("--older", "2026-03-01T10:00:04Z"))) == 2
    assert exported(asked("--service", "nobody")) == []
    monkeypatch.setattr(exporting, "_PAGE", 2)
    paged = asked()
    assert (paged.stdout, paged.stderr) == (everything.stdout, everything.stderr)
    position = paged.stderr.rpartition("--after ")[2].strip()
    rest = asked("--after", position)
    assert (rest.returncode, rest.stdout, rest.stderr) == (0, "", paged.stderr)
    first = json.loads(everything.stdout.splitlines()[0])
    assert json.loads(asked("--after", "1").stdout.splitlines()[0]) != first
