"""What is looked up in a history is the same, whatever database keeps it."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from events.phases import Phase
from handler.commands.history.exporting import history_export
from handler.commands.history.listing import history_list
from handler.commands.history.logs import history_logs
from handler.commands.history.request import history_show
from handler.commands.history.stats import history_stats
from handler.history.base import Wanted
from handler.settings.settings import Settings
from tests.handler.commandline import make_environ
from tests.handler.commands.history.records import MORNING, fill, key_of, life, log_of
from tests.handler.commands.history.test_request import pod
from tests.handler.history.stores import POSTGRESQL, SQLITE, url_of

Work = Callable[[Settings], Awaitable[int]]
KEY = key_of("漢字\u202e\x1b[31m", source="/a'b\"%")


async def looked_up(kind: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> str:
    works: list[Work] = [
        lambda settings: history_list(settings, Wanted(), limit=2, after=None, everything=False, form="table"),
        lambda settings: history_show(settings, request_id=KEY.id, source=KEY.source, number=None, form="json"),
        lambda settings: history_logs(settings, request_id=KEY.id, source=None, number=None, container=None, tail=None),
        lambda settings: history_stats(
            settings, service=None, newer=MORNING, older=MORNING + 60, hourly=True, form="table"
        ),
        lambda settings: history_export(settings, service="billing", newer=None, older=None, after=0),
    ]
    async with url_of(kind) as url:
        assert url is not None
        entries = [*life(KEY), *life("b", Phase.FAILED, at=30, service="billing", message="\x00"), *life("c")]
        await fill(url, entries, pods=[(KEY, pod("one"))], logs=[log_of("uid-one", b"one\n", b"two\n")])
        settings = Settings.from_env(make_environ(directory, JOBRELAY_HISTORY=url))
        for work in works:
            assert await work(settings) == 0
    out, err = capsys.readouterr()
    return re.sub(r"--after [^\s,]{10,}", "--after TOKEN", f"{out}\n{err}")


async def test_what_is_shown_is_the_same_on_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {kind: await looked_up(kind, tmp_path, capsys) for kind in (SQLITE, POSTGRESQL)}
    assert found[SQLITE] == found[POSTGRESQL]
    assert "--after TOKEN, or --all" in found[SQLITE]
    assert not set(found[SQLITE]) & {"\x1b", "\u202e", "\x00"}
