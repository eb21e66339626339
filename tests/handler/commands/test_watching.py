"""Waiting for what becomes of events for functions, and for requests by their ids."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from click import ClickException

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.cloudevent.event import build
from events.identity import lifecycle_key
from events.names import JOB_TYPE, REQUESTED_TYPE
from events.phases import Phase
from handler.commands import submit, watch
from handler.commands.expected import Known
from handler.commands.showing.progress import Board
from handler.commands.showing.reading import EVERYTHING, key_of, lifecycle
from handler.local.stack import Stack, start
from tests.handler.commandline import Done, run, wait_for
from tests.handler.intake.functions import UPLOADED, make_event, make_function, write
from tests.handler.samples import SOURCE
from tests.patience import PATIENCE

ONE, NEEDS, LOST = "com.example.one", "com.example.needs", "com.example.lost"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        tmp_path_factory.mktemp("functions") / "f.yaml",
        make_function("good", script="echo 7 >$JOBRELAY_RESULT_PATH"),
        make_function("bad", script="echo no; exit 3"),
        make_function("one", script="exit 5", filters=[{"exact": {"type": ONE}}]),
        make_function("needs", env={"URL": "{data.url}"}, filters=[{"exact": {"type": NEEDS}}]),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with start(tmp_path_factory.mktemp("stack"), settings={"JOBRELAY_FUNCTIONS": str(file)}) as running:
        yield running


def watched(stack: Stack, event_id: str, *options: str, type_: str = UPLOADED) -> Done:
    event = {"specversion": "1.0", "id": event_id, "source": "/tests", "type": type_, "data": {}}
    return run(stack, "submit", "-", "--watch", *options, text=yaml.safe_dump(event))


def ends(done: Done) -> dict[str, str]:
    """The last phase of each request that was shown."""
    return {line.split()[1]: line.split()[2] for line in done.stdout.splitlines()}


def test_every_request_that_the_file_has_an_event_make_is_waited_for(stack: Stack, file: Path) -> None:
    done = watched(stack, "all", "--functions", str(file))
    assert (done.returncode, ends(done)) == (1, {"good/all": "succeeded", "bad/all": "failed"})
    assert "bad/all failed with exit code 3" in done.stderr
    assert "good/all" not in done.stderr
    alone = watched(stack, "alone", "--functions", str(file), type_=ONE)
    assert (alone.returncode, ends(alone)) == (5, {"one/alone": "failed"})


def test_only_the_functions_that_are_named_are_waited_for(stack: Stack) -> None:
    done = watched(stack, "named", "--function", "good")
    assert (done.returncode, ends(done)) == (0, {"good/named": "succeeded"})
    both = watched(stack, "both", "--function", "good", "--function", "bad", "--function", "good")
    assert (both.returncode, ends(both)) == (1, {"good/both": "succeeded", "bad/both": "failed"})
    assert "too, which is not waited for" not in both.stderr


async def test_a_request_that_an_event_makes_beside_those_named_is_mentioned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    board = Board()
    board.expect("good/e1", source=SOURCE, asked="e1")
    watching = submit._Watching(board, lambda heard, progress: None, {(SOURCE, "e1"): ["good/e1"]})
    async with connect() as broker, lifecycle(broker, key=EVERYTHING, follow=True) as events:
        for name, phase in (("bad/e1", Phase.CREATED), ("bad/e1", Phase.FAILED), ("x/e2", Phase.FAILED)):
            await told(broker, name, phase, causationid="e1")
        await told(broker, "good/e1", Phase.SUCCEEDED, causationid="e1")
        task = asyncio.create_task(watching.follow(events))
        await asyncio.wait_for(watching.ended.wait(), PATIENCE)
        task.cancel()
    assert list(board.requests) == [(SOURCE, "good/e1")]
    assert capsys.readouterr().err == "e1 made bad/e1 too, which is not waited for\n"


@pytest.mark.parametrize(
    ("refused", "source", "left"),
    [
        ("e1", SOURCE, ["e1"]),
        ("e1", None, ["e1"]),
        ("e1", "/another", ["good/e1"]),
        # A function that nobody named.
        ("bad/e1", SOURCE, ["good/e1"]),
    ],
)
async def test_only_the_event_s_own_rejection_as_a_whole_ends_what_it_would_have_made(
    refused: str, source: str | None, left: list[str]
) -> None:
    board = Board()
    board.expect("good/e1", source=SOURCE, asked="e1")
    watching = submit._Watching(board, lambda heard, progress: None, {(SOURCE, "e1"): ["good/e1"]})
    async with connect() as broker:
        await told(broker, refused, Phase.REJECTED, causationid="e1", requestsource=source)
        async with lifecycle(broker, key=EVERYTHING, follow=False) as events:
            await watching.follow(events)
    assert [name for _, name in board.requests] == left
    assert watching.ended.is_set() is (left == ["e1"])


def test_events_for_functions_of_two_sources_with_one_id_are_waited_for(stack: Stack, file: Path) -> None:
    event = {"specversion": "1.0", "id": "shared", "type": ONE, "data": {}}
    text = yaml.safe_dump_all({**event, "source": source} for source in ("/a", "/b"))
    done = run(stack, "submit", "-", "--watch", "--functions", str(file), text=text)
    assert done.returncode == 1
    for source in ("/a", "/b"):
        lines = [line for line in done.stdout.splitlines() if f"one/shared ({source})  " in line]
        assert [line.split("  ")[2].strip() for line in lines] == ["created", "started", "failed"]


def test_a_refusal_of_a_function_is_the_end_of_its_request(stack: Stack, file: Path) -> None:
    done = watched(stack, "lacking", "--functions", str(file), type_=NEEDS)
    assert (done.returncode, ends(done)) == (1, {"needs/lacking": "rejected"})
    assert "data.url" in done.stderr


def test_an_event_that_is_rejected_as_a_whole_is_the_end_of_all_its_requests(stack: Stack) -> None:
    done = watched(stack, "whole", "--function", "good", "--function", "bad", type_=LOST)
    assert (done.returncode, ends(done)) == (1, {"whole": "rejected"})
    assert "NO_FUNCTION" in done.stderr


def test_an_event_that_no_function_of_the_file_takes_is_not_published_unless_it_is_wanted(
    stack: Stack, file: Path
) -> None:
    done = watched(stack, "unsent", "--functions", str(file), type_=LOST)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no function in {file} takes unsent" in done.stderr
    wanted = watched(stack, "sent", "--functions", str(file), "--no-check", type_=LOST)
    assert (wanted.returncode, ends(wanted)) == (1, {"sent": "rejected"})
    assert ends(run(stack, "watch", "--no-follow")).get("unsent") is None


def test_requests_and_events_for_functions_are_waited_for_together(stack: Stack, file: Path) -> None:
    event = {"specversion": "1.0", "id": "mixed", "source": "/tests", "type": ONE, "data": {}}
    request = {"id": "plain", "job": {"image": "busybox", "command": ["true"]}}
    done = run(stack, "submit", "-", "--watch", "--functions", str(file), text=yaml.safe_dump_all([event, request]))
    assert (done.returncode, ends(done)) == (1, {"one/mixed": "failed", "plain": "succeeded"})


def test_what_became_of_an_event_that_was_submitted_before_is_recalled(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "RECALL_SECONDS", 0.5)
    first, second = (watched(stack, "again", "--function", "bad") for _ in range(2))
    assert (first.returncode, second.returncode) == (3, 3)
    assert "bad/again was submitted before" in second.stderr


def test_without_knowing_the_functions_nothing_is_published(stack: Stack, tmp_path: Path) -> None:
    done = watched(stack, "unknown")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--function NAME" in done.stderr
    (tmp_path / "f.yaml").write_text("functions: [{name: a}]")
    broken = watched(stack, "unknown", "--functions", str(tmp_path / "f.yaml"))
    assert broken.returncode == 2
    assert 'function "a": filters is missing' in broken.stderr


def test_watch_of_a_request_ends_with_it_and_exits_like_it(stack: Stack) -> None:
    watched(stack, "over", "--function", "bad", "--function", "good")
    for name, code in (("bad/over", 3), ("good/over", 0)):
        done = run(stack, "watch", name)
        assert (done.returncode, list(ends(done))) == (code, [name])
        assert run(stack, "watch", name, "--no-follow").returncode == 0
    script = "until [ -e {} ]; do sleep 0.1; done; exit 4"
    mark = stack.directory / "mark"
    job = {"image": "busybox", "command": ["sh", "-c", script.format(mark)]}
    assert run(stack, "submit", "-", text=json.dumps({"id": "slow", "job": job})).returncode == 0
    wait_for(lambda: "started" in run(stack, "watch", "slow", "--no-follow").stdout)
    mark.touch()
    done = run(stack, "watch", "slow")
    assert (done.returncode, ends(done)) == (4, {"slow": "failed"})
    assert len(done.stdout.splitlines()) == 3, "each event once"


async def told(broker: MemoryBroker, name: str, phase: Phase, *, run: int = 1, **extensions: str | None) -> None:
    event = build(
        {
            "specversion": "1.0",
            "type": f"{JOB_TYPE}.{phase}",
            "source": f"/namespaces/default/jobs/{name}",
            "id": f"uid-{run}/{phase}",
            **extensions,
        },
        {"id": name, "status": None, "detail": {"phase": phase}},
    )
    await broker.publish(Topic(Kind.LIFECYCLE, lifecycle_key(None, name, phase)), event)


async def test_watch_of_an_id_that_is_used_again_goes_on_until_the_end_of_the_latest() -> None:
    shown: list[str] = []
    async with connect() as broker:
        for phase, number in ((Phase.CREATED, 1), (Phase.SUCCEEDED, 1), (Phase.CREATED, 2)):
            await told(broker, "a/b", phase, run=number)
        wanted, board = watch._Wanted(broker_key=key_of(request_id="a/b")), Board()
        work = watch._until_ended(
            broker, wanted, board, lambda heard, progress: shown.append(heard.event.get_id()), new_only=False
        )
        task = asyncio.create_task(work)
        async with asyncio.timeout(PATIENCE):
            while len(shown) < 3:
                await asyncio.sleep(0.01)
            assert not task.done()
            await told(broker, "a/b", Phase.FAILED, run=2)
            assert await task == 1
    assert shown == ["uid-1/created", "uid-1/succeeded", "uid-2/created", "uid-2/failed"]


@pytest.mark.parametrize(
    ("known", "made"),
    [
        (Known(names=("x", "y")), {(SOURCE, "abc"): ["x/abc", "y/abc"]}),
        (Known(), None),
    ],
)
def test_job_requests_need_no_functions(known: Known, made: Any) -> None:
    request = build({"specversion": "1.0", "id": "r", "source": "/x", "type": REQUESTED_TYPE}, {"job": {"image": "a"}})
    assert known.requests([request], judge=True) == {}
    if made is None:
        with pytest.raises(ClickException, match="--function NAME"):
            known.requests([request, make_event()], judge=True)
    else:
        assert known.requests([request, make_event()], judge=True) == made
