"""`jobrelay history list` on a database that was filled as whoever records fills it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.phases import Phase
from handler.commands.history import listing
from handler.history import extra
from tests.handler.commandline import Done, call, make_environ
from tests.handler.commands.history.records import fill, key_of, life, told, url_of

Listed = Callable[..., Done]
BILLING: dict[str, Any] = {"service": "billing"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    error = {"error_code": "OOM_KILLED", "message": "container main:\nexit 137"}
    entries = [
        *life("invoice-1", **BILLING),
        *life("invoice-2", Phase.FAILED, at=60, exit_code=137, **error, **BILLING),
        told("waits", Phase.CREATED, at=120, tags=("red", "urgent")),
        told("waits", Phase.QUEUED, at=120, reason="limit"),
        *life(key_of("shared", source="/a"), at=180),
        *life(key_of("shared", source="/b"), at=240),
        told("\x1b[31m\u202e漢字", Phase.REJECTED, at=300, job_uid=None, error_code="INVALID", message="\x07id"),
    ]
    asyncio.run(fill(url_of(directory), entries))
    return directory


@pytest.fixture
def listed(directory: Path, tmp_path: Path) -> Listed:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    return lambda *options: call("history", "list", *options, environ=environ)


def ids(done: Done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_a_line_each_those_that_changed_last_first(listed: Listed) -> None:
    done = listed()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "ID           SERVICE  PHASE      UPDATED               DURATION  EXIT  DETAIL\n"
        "[31m 漢字             rejected   2026-03-01T10:05:00Z                  INVALID: id\n"
        "shared (/b)           succeeded  2026-03-01T10:04:16Z  12s\n"
        "shared (/a)           succeeded  2026-03-01T10:03:16Z  12s\n"
        "waits                 queued     2026-03-01T10:02:00Z                  too many run\n"
        "invoice-2    billing  failed     2026-03-01T10:01:16Z  12s       137   OOM_KILLED: container main: exit 137\n"
        "invoice-1    billing  succeeded  2026-03-01T10:00:16Z  12s\n"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--phase", "failed", "--phase", "queued"], ["waits", "invoice-2"]),
        (["--service", "billing"], ["invoice-2", "invoice-1"]),
        (["--tag", "red"], ["waits"]),
        (["--source", "/a"], ["shared"]),
        (["invoice-"], ["invoice-2", "invoice-1"]),
        (["--older", "2026-03-01T10:01:16Z"], ["invoice-1"]),
        (["--newer", "2026-03-01T10:03:16Z", "--older", "2026-03-01T11:04:17+01:00"], ["shared", "shared"]),
        (["--newer", "2026-03-02"], []),
        (["--newer", "1h"], []),
        (["--service", ""], []),
    ],
)
def test_the_filters_choose(listed: Listed, options: list[str], expected: list[str]) -> None:
    done = listed("-o", "json", *options)
    assert ids(done) == expected
    assert done.stderr == ("" if expected else "no such requests in the history\n")


def test_a_page_says_how_to_go_on_and_all_goes_to_the_end(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ids(listed("-o", "json"))
    seen: list[str] = []
    options: list[str] = []
    while True:
        done = listed("-o", "json", "--limit", "4", *options)
        seen += ids(done)
        if not done.stderr:
            break
        options = ["--after", done.stderr.partition("--after ")[2].partition(",")[0]]
    assert seen == everything
    monkeypatch.setattr(listing, "_PAGE", 1)
    assert ids(listed("-o", "json", "--all")) == everything
    lines = listed("--all").stdout.splitlines()
    assert len(lines) == 7
    assert len({line.index("2026-03-01T") for line in lines[2:]}) == 1, "columns do not get narrower"


@pytest.mark.parametrize("older", [[], ["--older", "1s"]])
def test_the_next_page_of_a_time_that_is_counted_from_now_is_asked_for_by_points_in_time(
    listed: Listed, older: list[str]
) -> None:
    everything = ids(listed("-o", "json", "--newer", "2026-03-01"))
    first = listed("-o", "json", "--newer", "99999d", *older, "--limit", "4")
    said = first.stderr.removeprefix("there are more: ").partition(",")[0].split()
    assert said[::2] == ["--newer", *older[:1], "--after"]
    second = listed("-o", "json", *said)
    assert (ids(first) + ids(second), second.stderr) == (everything, "")
    assert "BAD_CURSOR" in listed("--newer", "99999d", *said[-2:]).stderr


def test_a_document_says_all_that_the_row_does(listed: Listed) -> None:
    found = json.loads(listed("-o", "json", "--phase", "failed").stdout)
    assert yaml.safe_load(listed("-o", "yaml", "--phase", "failed").stdout) == found
    assert (found["id"], found["source"], found["cause"]) == ("invoice-2", "/shop", "e1")
    assert (found["created"], found["started"]) == ("2026-03-01T10:01:00Z", "2026-03-01T10:01:04Z")
    assert (found["finished"], found["duration"], found["exitCode"]) == ("2026-03-01T10:01:16Z", 12.0, 137)
    assert found["error"] == {"errorCode": "OOM_KILLED", "message": "container main:\nexit 137"}
    assert "tags" not in found, "a list does not look them up"
    raw = listed("-o", "json", "--phase", "rejected").stdout
    assert "\\u001b[31m\\u202e漢字" in raw
    assert not set(raw) & {"\x1b", "\u202e", "\x07"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--phase", "faild"], "did you mean failed?"),
        (["--limit", "0"], "--limit"),
        (["--limit", "201"], "--limit"),
        (["--all", "--limit", "3"], "--all and --limit"),
        (["--newer", "soon"], "'soon' is no time"),
        (["--newer", "2026-02-30"], "is no time"),
        (["--newer", "2026-03-02", "--older", "2026-03-01"], "EMPTY_RANGE"),
        (["--after", "nonsense"], "BAD_CURSOR"),
        (["--history", "mysql://x"], "JOBRELAY_HISTORY"),
        (["--history", "sqlite:///no/such/place/h.db"], "JOBRELAY_HISTORY"),
    ],
)
def test_misuse_exits_with_2_and_says_what_is_allowed(listed: Listed, options: list[str], words: str) -> None:
    done = listed(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_of_another_question_is_refused(listed: Listed) -> None:
    token = listed("--limit", "1").stderr.partition("--after ")[2].partition(",")[0]
    for options in (["--after", token, "--service", "billing"], ["--after", f"{token[:-2]}xx"]):
        done = listed(*options)
        assert (done.returncode, done.stdout) == (2, "")
        assert "BAD_CURSOR" in done.stderr


def test_without_a_database_the_setting_is_named(tmp_path: Path) -> None:
    done = call("history", "list", environ=make_environ(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "JOBRELAY_HISTORY" in done.stderr
    assert "--history" in done.stderr


def test_without_the_extra_it_is_named(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "LIBRARIES", (*extra.LIBRARIES, "no_such_library"))
    done = listed()
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'jobrelay[console]'" in done.stderr


def test_verbose_names_the_database_without_its_password(listed: Listed) -> None:
    done = listed("-v", "--history", "postgresql://me:secret@127.0.0.1:1/jobrelay")
    assert done.returncode == 1
    assert "postgresql://***@127.0.0.1:1/jobrelay" in done.stderr
    assert "secret" not in done.stderr
