"""`jobrelay history show` and `logs`: a request whole, and what was kept of its pods' logs."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from events.phases import Phase
from handler.history.base import LogState, PodRun
from handler.history.logs.bodies import compressed
from handler.history.logs.objects import open_bodies
from tests.handler.commandline import Done, call, make_environ
from tests.handler.commands.history.records import MORNING, fill, key_of, life, log_of, told, url_of

Asked = Callable[..., Done]
GAP = "[jobrelay: 812 kB left out here]"
RUN = key_of("nightly@2026-03-01T10:00:00Z")


def pod(name: str, *, attempt: int = 1, exit_code: int = 0) -> PodRun:
    return PodRun(
        uid=f"uid-{name}",
        name=name,
        namespace="default",
        node="n1",
        attempt=attempt,
        started=MORNING + 4,
        finished=MORNING + 16,
        exit_code=exit_code,
        reason="OOMKilled" if exit_code else None,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    whole = key_of("invoice-1")
    progress = [told(whole, Phase.PROGRESS, at=at, detail={"succeeded": at, "total": 9}) for at in (6, 7, 8)]
    body = b'{"data":{"detail":{"phase":"succeeded","n":1.50,"big":123456789012345678901,"\\u001b":"\xe2\x80\xae"}}}'
    _, started, ended = life(whole, service="billing", result=b'{"n": 1.50}', exit_code=0, peak_memory=1 << 20)
    entries = [
        told(whole, Phase.CREATED, tags=("red",), image="busybox:1", cpu=0.5, memory=64 << 20, service="billing"),
        started,
        *progress,
        told(whole, Phase.SUCCEEDED, at=16, body=body, **ended.changes),
        *life(key_of("again", cause="e1")),
        *life(key_of("again", cause="e2", source="/b"), Phase.FAILED, at=60, message="\x1b[2Jgone"),
        told("nightly", Phase.SCHEDULED),
        *life(RUN),
        told("never", Phase.SCHEDULED),
        *life("several"),
        *life("lost"),
    ]
    pods = {
        pod("one"): whole,
        pod("run"): RUN,
        pod("a", attempt=1, exit_code=137): key_of("several"),
        pod("b", attempt=2): key_of("several"),
        pod("gone"): key_of("lost"),
    }
    cut: dict[str, Any] = {"state": LogState.CUT, "head": 1, "dropped": 812_345}
    logs = [
        log_of("uid-one", b"first\n\xff\x1b[31m", b"last\nend", **cut),
        log_of("uid-run", b"nightly\n"),
        log_of("uid-a", b"of agent\nmore\n", container="agent"),
        log_of("uid-a", container="main", state=LogState.MISSING, reason="the node is gone"),
        log_of("uid-b", b"of b"),
        log_of("uid-gone", state=LogState.EXPIRED),
    ]
    asyncio.run(fill(url_of(directory), entries, pods=[(key, one) for one, key in pods.items()], logs=logs))
    return directory


@pytest.fixture
def asked(directory: Path, tmp_path: Path) -> Asked:
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory))
    return lambda *options: call("history", *options, environ=environ)


def test_a_request_is_shown_with_its_events_pods_and_logs(asked: Asked) -> None:
    done = asked("show", "invoice-1")
    assert (done.returncode, done.stderr) == (0, "")
    fields, events, pods, logs = done.stdout.split("\n\n")
    shown = dict(line.split(":", 1) for line in fields.splitlines())
    names = ("id", "source", "service", "tags", "phase", "exit code", "took")
    assert [shown[name].strip() for name in names] == [
        "invoice-1", "/shop", "billing", "red", "succeeded", "0", "12s"
    ]  # fmt: skip
    assert shown["each pod"].strip() == "cpu 0.50, memory 64 MiB"
    assert shown["result"].strip() == '{"n": 1.50}'
    assert events.splitlines() == [
        "TIME                  PHASE      EVENT",
        "2026-03-01T10:00:00Z  created    Job None/None",
        "2026-03-01T10:00:04Z  started    pod x-1 on n1",
        "2026-03-01T10:00:08Z  progress   8 of 9 done",
        "2026-03-01T10:00:16Z  succeeded",
    ]
    assert pods.splitlines()[1].split() == ["one", "n1", "1", "2026-03-01T10:00:04Z", "12s", "0"]
    assert logs.splitlines()[1] == "one  main       20 B in the database, 793 KiB in its middle left out"


def test_a_document_has_everything_with_numbers_as_they_were_written(asked: Asked) -> None:
    done = asked("show", "invoice-1", "-o", "json")
    assert '"n":1.50,"big":123456789012345678901,"\\u001b":"\\u202e"' in done.stdout
    assert '"result":{"n":1.50}' in done.stdout
    found = json.loads(done.stdout)
    assert yaml.safe_load(asked("show", "invoice-1", "-o", "yaml").stdout) == found
    assert found["tags"] == ["red"]
    assert len(found["events"]) == 6
    (only,) = found["pods"]
    assert (only["uid"], only["node"], only["started"]) == ("uid-one", "n1", "2026-03-01T10:00:04Z")
    (log,) = only["logs"]
    assert (log["state"], log["bytes"], log["leftOut"], log["where"]) == ("cut", 20, 812_345, "database")


def test_of_several_with_an_id_the_last_is_shown_and_the_others_are_named(asked: Asked) -> None:
    done = asked("show", "again")
    assert done.returncode == 0
    assert "source:    /b" in done.stdout
    assert "\x1b" not in done.stdout
    head, other = done.stderr.splitlines()
    assert head == "1 earlier request has this id:"
    assert other.endswith(": from /shop, succeeded 2026-03-01T10:00:16Z")
    number = other.split()[1].removesuffix(":")
    for options in (("--source", "/shop"), ("--number", number)):
        chosen = asked("show", "again", *options)
        assert (chosen.returncode, chosen.stderr) == (0, "")
        assert "source:    /shop" in chosen.stdout
    for options in (("--source", "/c"), ("--number", "9999")):
        missing = asked("show", "again", *options)
        assert (missing.returncode, missing.stdout) == (1, "")
        assert "the history has no request again" in missing.stderr


def test_a_log_is_printed_as_it_was_with_its_gap_marked(asked: Asked, directory: Path) -> None:
    done = asked("logs", "invoice-1", "--tail", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    assert asked("logs", "invoice-1", "-c", "main", "--tail", "2").stdout == "last\nend\n"


def test_bytes_are_not_changed(directory: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from handler.commands.history.logs import history_logs
    from handler.settings.settings import Settings

    settings = Settings.from_env(make_environ(tmp_path, JOBRELAY_HISTORY=url_of(directory)))
    work = history_logs(settings, request_id="invoice-1", source=None, number=None, container=None, tail=None)
    assert asyncio.run(work) == 0
    assert capfdbinary.readouterr().out == b"first\n\xff\x1b[31m\n" + GAP.encode() + b"\nlast\nend\n"


def test_lines_of_several_pods_and_containers_are_named_and_what_is_missing_is_said(asked: Asked) -> None:
    done = asked("logs", "several")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["[pod/a/agent] of agent", "[pod/a/agent] more", "b: of b"]
    assert done.stderr == "[pod/a/main]: the log could not be kept: the node is gone\n"
    assert asked("logs", "several", "-c", "agent").stdout == "a: of agent\na: more\n"
    wrong = asked("logs", "several", "-c", "nobody")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "has no log of a container nobody: it has agent, main" in wrong.stderr


def test_of_a_schedule_the_last_run_is_meant(asked: Asked) -> None:
    done = asked("logs", "nightly")
    assert (done.returncode, done.stdout) == (0, "nightly\n")
    assert done.stderr == f"of its last run, {RUN.id}\n"
    never = asked("logs", "never")
    assert (never.returncode, never.stdout) == (1, "")
    assert "no run of schedule never" in never.stderr


@pytest.mark.parametrize(
    ("request_id", "words"),
    [
        ("again", "no log of request again was kept"),
        ("lost", "was deleted for its age"),
        ("nobody", "no request nobody"),
    ],
)
def test_where_nothing_is_kept_the_exit_code_is_1_and_it_says_why(asked: Asked, request_id: str, words: str) -> None:
    done = asked("logs", request_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_logs_that_are_kept_in_a_directory_are_read_from_there(directory: Path, tmp_path: Path) -> None:
    shelf = f"file://{tmp_path}/logs"
    url = url_of(tmp_path)

    async def filled() -> None:
        log, chunks = log_of("uid-one", b"elsewhere\n")
        await fill(url, life("there"), pods=[(key_of("there"), pod("one"))], logs=[(log, {})])
        async with open_bodies(shelf) as bodies:
            assert bodies is not None
            await bodies.put("uid-one", "main", 0, compressed(chunks[0]))

    asyncio.run(filled())
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=url, JOBRELAY_LOG_STORE=shelf)
    assert call("history", "logs", "there", environ=environ).stdout == "elsewhere\n"
    assert f"10 B in {shelf}" in call("history", "show", "there", environ=environ).stdout
