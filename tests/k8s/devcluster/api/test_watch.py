"""Watches: where they begin, what they leave out, and how they end."""

import asyncio
import json
from pathlib import Path

from k8s.devcluster.server import ServerOptions
from tests.k8s.devcluster.served import CONFIGMAPS, JOBS, MERGE, Client, make_config, make_job, served
from tests.patience import PATIENCE


async def _relabel(client: Client, name: str, labels: dict[str, str | None]) -> str:
    patch = {"metadata": {"labels": labels}}
    answer = await client("PATCH", f"{CONFIGMAPS}/{name}", patch, kind=MERGE)
    version: str = answer.body["metadata"]["resourceVersion"]
    return version


async def test_a_watch_from_a_forgotten_version_gets_an_error_event(tmp_path: Path) -> None:
    async with served(tmp_path, options=ServerOptions(history=10)) as client:
        made = await client.made(CONFIGMAPS, make_config("a"))
        for number in range(30):
            await _relabel(client, "a", {"n": str(number)})
        version = made["metadata"]["resourceVersion"]
        ((kind, status),) = await client.watched(f"{CONFIGMAPS}?resourceVersion={version}")
        assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


async def test_history_is_forgotten_by_age_too(tmp_path: Path) -> None:
    async with served(tmp_path, options=ServerOptions(history_age=0.05)) as client:
        version = (await client.made(CONFIGMAPS, make_config("a")))["metadata"]["resourceVersion"]
        await _relabel(client, "a", {"n": "1"})
        async with asyncio.timeout(PATIENCE):
            while True:
                events = await client.watched(f"{CONFIGMAPS}?resourceVersion={version}&timeoutSeconds=1")
                if events[0][0] == "ERROR":
                    break
        assert events[0][1]["code"] == 410


async def test_a_reader_that_falls_behind_the_history_gets_an_error(tmp_path: Path) -> None:
    """Its position leaves the history while it does not read: then the next event is a 410, not a gap."""
    async with served(tmp_path, options=ServerOptions(history=10)) as client:
        await client.made(CONFIGMAPS, make_config("a"))
        big = {"data": {"key": "x" * 500_000}}
        async with client.watching(CONFIGMAPS) as events:
            assert (await anext(events))[0] == "ADDED"
            for number in range(60):
                big["data"]["n"] = str(number)
                await client("PATCH", f"{CONFIGMAPS}/a", big, kind=MERGE)
            kinds = [kind async for kind, _ in events]
        assert kinds[-1] == "ERROR"
        assert set(kinds[:-1]) == {"MODIFIED"}


async def test_a_selector_turns_changes_into_arrivals_and_departures(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        await client.made(CONFIGMAPS, make_config("other", labels={"team": "b"}))
        async with client.watching(f"{CONFIGMAPS}?labelSelector=team=a") as events:
            await client.made(CONFIGMAPS, make_config("x"))
            await _relabel(client, "x", {"team": "a"})
            await _relabel(client, "x", {"more": "1"})
            left = await _relabel(client, "x", {"team": "b"})
            await _relabel(client, "x", {"team": "a"})
            await client("DELETE", f"{CONFIGMAPS}/x")
            seen = [await anext(events) for _ in range(5)]
        assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
        departed = seen[2][1]["metadata"]
        assert (departed["labels"]["team"], departed["resourceVersion"]) == ("a", left)


async def test_a_watch_resumes_after_its_version_without_a_gap(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        version = (await client.made(CONFIGMAPS, make_config("a")))["metadata"]["resourceVersion"]
        later = [await _relabel(client, "a", {"n": str(number)}) for number in range(5)]
        async with client.watching(f"{CONFIGMAPS}?resourceVersion={version}") as events:
            later.append(await _relabel(client, "a", {"n": "last"}))
            seen = [(await anext(events))[1]["metadata"]["resourceVersion"] for _ in later]
        assert seen == later


async def test_bookmarks_come_at_their_interval_and_only_when_asked(tmp_path: Path) -> None:
    async with served(tmp_path, options=ServerOptions(bookmark_interval=0.2)) as client:
        made = await client.made(CONFIGMAPS, make_config("a"))
        version = made["metadata"]["resourceVersion"]
        path = f"{CONFIGMAPS}?resourceVersion={version}&timeoutSeconds=1"
        events = await client.watched(f"{path}&allowWatchBookmarks=true")
        assert {kind for kind, _ in events} == {"BOOKMARK"}
        assert int(events[-1][1]["metadata"]["resourceVersion"]) >= int(version)
        assert await client.watched(path) == []


async def test_initial_events_end_with_a_marked_bookmark(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        await client.made(CONFIGMAPS, make_config("a"))
        query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        async with client.watching(f"{CONFIGMAPS}?{query}") as events:
            assert (await anext(events))[0] == "ADDED"
            kind, bookmark = await anext(events)
            assert (kind, bookmark["metadata"]["annotations"]) == ("BOOKMARK", {"k8s.io/initial-events-end": "true"})
        assert await client.watched(f"{CONFIGMAPS}?sendInitialEvents=false&timeoutSeconds=1") == []


async def test_a_watch_of_all_namespaces_sees_each(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        await client.made("/api/v1/namespaces", {"metadata": {"name": "second"}})
        async with client.watching("/api/v1/configmaps?resourceVersion=0") as events:
            await client.made(CONFIGMAPS, make_config("a"))
            await client.made("/api/v1/namespaces/second/configmaps", make_config("b"))
            names = [(await anext(events))[1]["metadata"]["namespace"] for _ in range(2)]
        assert names == ["default", "second"]


async def test_a_watch_for_a_table_sends_rows(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        await client.made(JOBS, make_job("a"))
        headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        answer = await client("GET", f"{JOBS}?watch=1&timeoutSeconds=1&labelSelector=!x", **headers)
        first = json.loads(answer.body.splitlines()[0]) if isinstance(answer.body, str) else answer.body
        assert (first["type"], first["object"]["kind"]) == ("ADDED", "Table")
        assert first["object"]["rows"][0]["cells"][0] == "a"


async def test_many_watchers_get_the_same_events_in_the_same_order(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        version = (await client("GET", CONFIGMAPS)).body["metadata"]["resourceVersion"]

        async def watch() -> list[str]:
            async with client.watching(f"{CONFIGMAPS}?resourceVersion={version}") as events:
                return [(await anext(events))[1]["metadata"]["name"] for _ in range(30)]

        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(watch()) for _ in range(8)]
            for number in range(30):
                await client.made(CONFIGMAPS, make_config(f"c{number}"))
        assert {tuple(task.result()) for task in watches} == {tuple(f"c{number}" for number in range(30))}
