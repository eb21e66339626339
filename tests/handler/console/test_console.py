"""The role `console` records what happened and keeps logs, one of several at a time, whatever is away meanwhile."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from adapters.memory import MemoryBroker
from handler.console.console import Console
from handler.history.base import StoreRefused
from handler.history.sql.store import open_store
from handler.settings.connections import broker_of
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from handler.telemetry.state import State
from k8s.api.cluster import Cluster, connect as connect_cluster
from k8s.background import beside
from k8s.devcluster.server import ServerOptions
from tests.handler.commandline import make_environ
from tests.handler.console.asking import browser
from tests.handler.console.consoles import console, kept, recorded, told
from tests.handler.history.stores import POSTGRESQL, SQLITE, url_of
from tests.handler.relay import WHOLE, running
from tests.handler.samples import make_request, until
from tests.k8s.deploy.audit import CONSOLE, granted, used
from tests.k8s.deploy.manifests import rendered
from tests.k8s.devcluster.served import served
from tests.postgres import PostgresServer, need_postgres

DATABASES = pytest.mark.parametrize("kind", [SQLITE, POSTGRESQL])


@DATABASES
async def test_what_happened_is_recorded_with_its_log_once(broker: MemoryBroker, cluster: Cluster, kind: str) -> None:
    async with url_of(kind) as url, running(broker, cluster) as client:
        assert url is not None
        await client.publish(make_request("early"))
        await client.ended("early")
        async with console(broker, cluster, url) as one:
            await one.records()
            await client.publish(make_request("late", script="echo hello; exit 3"))
            request = await recorded(url, "late")
            assert (request.phase, request.exit_code) == ("failed", 3)
            assert (await recorded(url, "early")).phase == "succeeded"
            async with open_store(url) as store:

                async def has_log() -> bool:
                    return await kept(store, request) == [("whole", 6)]

                await one.until(has_log)
            value = one.state.metrics.registry.get_sample_value

            async def is_counted() -> bool:
                return value("jobrelay_history_events_total", {"broker": "memory"}) == 2 * len(WHOLE)

            await one.state.measure()
            assert value("jobrelay_history_recording") == 1
            # What others read of a transaction may be there before it has ended for who made it.
            await one.until(is_counted)
            assert one.state.report()["recording"] is True
        async with console(broker, cluster, url) as again:
            await again.records()
            await client.publish(make_request("last"))
            await recorded(url, "last")
            ids = await told(url)
    assert len(ids) == len(set(ids)) == 3 * len(WHOLE)


async def test_a_console_without_a_database_records_as_well(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client, console(broker, cluster, None) as one:
        await client.publish(make_request("r"))
        await client.ended("r")
        value = one.state.metrics.registry.get_sample_value

        async def look() -> bool:
            return value("jobrelay_history_events_total", {"broker": "memory"}) == len(WHOLE)

        await one.until(look)


@DATABASES
async def test_one_of_several_records_and_another_takes_over(broker: MemoryBroker, cluster: Cluster, kind: str) -> None:
    async with url_of(kind) as url, running(broker, cluster) as client:
        assert url is not None
        async with console(broker, cluster, url) as first:
            await first.records()
            async with console(broker, cluster, url) as second:
                await second.waits()
                assert "another process records the history; this one waits for its turn" in second.state.notes()
                await client.publish(make_request("one"))
                await recorded(url, "one")
                assert not second.state.history or not second.state.history.recording
                first.stop.set()
                await first.task
                await second.records()
                await client.publish(make_request("two"))
                await recorded(url, "two")
        ids = await told(url)
    assert len(ids) == len(set(ids)) == 2 * len(WHOLE)


async def test_a_database_that_is_away_is_named_and_comes_back(broker: MemoryBroker, cluster: Cluster) -> None:
    need_postgres()
    server = PostgresServer()
    try:
        server.prepare()
        async with running(broker, cluster) as client, console(broker, cluster, server.url) as one:
            await one.tells("history: ")
            assert [problem for problem in one.state.problems() if "history" in problem]
            await asyncio.to_thread(server.start)
            await one.records()
            await client.publish(make_request("before"))
            await recorded(server.url, "before")
            await asyncio.to_thread(server.stop)
            await client.publish(make_request("meanwhile"))
            await client.ended("meanwhile")
            await one.tells("history: ")
            await asyncio.to_thread(server.start)
            await recorded(server.url, "meanwhile")
            await one.records()
            ids = await told(server.url)
        assert len(ids) == len(set(ids)) == 2 * len(WHOLE)
    finally:
        await asyncio.to_thread(server.remove)


async def test_without_an_api_server_events_are_recorded_and_logs_wait(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    async with (
        connect_cluster(kubeconfig=Path(make_environ(tmp_path)["JOBRELAY_KUBECONFIG"])) as away,
        running(broker, cluster) as client,
    ):
        url = f"sqlite://{tmp_path}/history.db"
        async with console(broker, away, url) as one:
            await one.records()
            await client.publish(make_request("r"))
            await recorded(url, "r")

            async def noted() -> bool:
                return any(note.startswith("logs of pods wait for the API server: ") for note in one.state.notes())

            await one.until(noted)
            assert one.state.problems() == []


async def test_a_broker_that_is_away_is_named(cluster: Cluster, tmp_path: Path) -> None:
    chosen = Settings.from_env({"JOBRELAY_ROLE": "console", "JOBRELAY_UI_ADDRESS": ""})
    state, stop = State(Metrics(role="console"), follows=False), asyncio.Event()
    sources = {"nats": partial(broker_of, chosen, "nats://127.0.0.1:1")}
    made = Console(chosen, cluster=cluster, sources=sources, state=state)
    async with beside(made.run(stop)):

        async def look() -> bool:
            return made.recording

        await until(look)
        (problem,) = state.problems()
        assert problem.startswith("broker nats: never connected so far")


async def test_a_database_that_cannot_be_used_ends_the_process(
    broker: MemoryBroker, cluster: Cluster, tmp_path: Path
) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with console(broker, cluster, f"sqlite://{tmp_path}/missing/history.db") as one:
            await one.until(one_that_is_never_there)
    assert caught.group_contains(StoreRefused, match="there is no directory")


async def one_that_is_never_there() -> None:
    return None


async def test_the_console_uses_exactly_the_verbs_that_it_is_granted(broker: MemoryBroker, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    url = f"sqlite://{tmp_path}/history.db"
    async with served(tmp_path / "cluster", options=ServerOptions(audit=log)) as client:
        kubeconfig = client.cluster.kubeconfig
        async with (
            connect_cluster(kubeconfig=kubeconfig) as cluster,
            connect_cluster(kubeconfig=kubeconfig, user_agent="jobrelay-console/1") as ours,
            running(broker, cluster) as relay,
            console(broker, ours, url, logs="follow") as one,
        ):
            await one.records()
            await relay.publish(make_request("r", script="echo hello"))
            request = await recorded(url, "r")
            async with open_store(url) as store:

                async def has_log() -> bool:
                    return await kept(store, request) == [("whole", 6)]

                await until(has_log)
            page = one.console.page
            assert page is not None
            async with browser() as session, session.get(f"{page.url}api/v1/schedules") as answer:
                assert answer.status == 200
    asked = used(log.read_bytes().splitlines(keepends=True))[CONSOLE]
    for database in ("memory", "sqlite", "postgresql"):
        assert granted(rendered("overlays/nats", f"components/console/{database}"), CONSOLE) == asked
