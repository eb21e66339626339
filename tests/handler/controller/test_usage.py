"""Progress and usage of running Jobs, from their processes to the lifecycle events."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.memory import MemoryBroker
from events.jobs.observed import Job
from events.jobs.pods import Pod
from events.jobs.usage import PodUsage
from handler.controller.usage import Sampler
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster, connect
from k8s.base import Unavailable
from k8s.devcluster.server import ServerOptions, serve
from k8s.informer.informer import JobCache
from tests.events.samples import NOON, make_job, running as running_pod, succeeded
from tests.handler.parts import make_services, make_term
from tests.handler.relay import Client, detail, phase_of, running
from tests.handler.samples import make_command, make_request, until

MIB = 1 << 20
BUSY = "python3 -c 'held = bytearray(64 << 20)\nwhile True: pass' & wait"


async def progress(client: Client, request_id: str) -> list[CloudEvent]:
    return [event for event in await client.events(request_id) if phase_of(event) == "progress"]


async def test_usage_of_a_busy_container_is_reported_while_it_runs_and_at_its_end(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, progress_seconds=0.3) as client:
        await client.publish(make_request("busy", script=BUSY))

        async def enough() -> dict[str, Any] | None:
            found = [detail(event) for event in await progress(client, "busy")]
            peaks = found[-1]["peaks"] if len(found) > 1 else {"cpu": 0, "memory": 0}
            # A whole core on an idle machine, but other processes may want it too.
            return found[-1] if peaks["cpu"] > 0.1 and peaks["memory"] > 50 * MIB else None

        last = await until(enough)
        await client.command(make_command("cancel", "busy"))
        end = detail(await client.ended("busy"))
        events = await progress(client, "busy")
        phases = await client.phases("busy")
    uid = events[0].get_id().split("/")[0]
    assert (phases[:2], set(phases[2:-1]), phases[-1]) == (["created", "started"], {"progress"}, "cancelled")
    assert [event.get_id() for event in events] == [f"{uid}/progress/{time_of(event)}" for event in events]
    assert len({event.get_id() for event in events}) == len(events)
    assert end["usage"]["peaks"]["cpu"] >= last["peaks"]["cpu"]
    assert end["usage"]["peaks"]["memory"] < 200 * MIB
    assert end["usage"]["samples"] >= len(events)


def time_of(event: CloudEvent) -> str:
    time = event.get_time()
    assert time is not None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_each_of_several_completions_is_reported(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("parts", job={"completions": 3, "parallelism": 1}))
        await client.ended("parts")
        assert await client.phases("parts") == ["created", "started", "progress", "progress", "succeeded"]
        first, second = await progress(client, "parts")
        assert first.get_id().partition("/")[2] == "progress/1.0"
        assert second.get_id().partition("/")[2] == "progress/2.0"
        assert {name: detail(second)[name] for name in ("succeeded", "failed", "total")} == {
            "succeeded": 2,
            "failed": 0,
            "total": 3,
        }


@pytest.fixture
async def unmeasured(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster without a metrics server."""
    async with (
        serve(tmp_path / "unmeasured", options=ServerOptions(bookmark_interval=1.0, metrics=False)) as served,
        connect(kubeconfig=served.kubeconfig) as connected,
    ):
        yield connected


async def test_without_a_metrics_server_everything_else_goes_on(
    broker: MemoryBroker, unmeasured: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(broker, unmeasured, progress_seconds=0.1) as client:
        await client.publish(make_request("plain", script="sleep 2"))
        end = await client.ended("plain")
        assert await client.phases("plain") == ["created", "started", "succeeded"]
        assert "usage" not in detail(end)
    logged = [record for record in caplog.records if record.name == "handler.controller.usage"]
    assert [record.levelname for record in logged] == ["INFO"]
    assert "404" in logged[0].getMessage()


class Answers:
    """Stands in for the cluster: answers each call of `pod_metrics` with the next of these."""

    def __init__(self, *answers: list[PodUsage] | Exception) -> None:
        self.left = list(answers)

    async def pod_metrics(self, namespace: str, selector: str) -> list[PodUsage]:
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Cached:
    """Stands in for the cache."""

    def __init__(self, *cached: tuple[Job, list[Pod]]) -> None:
        self.cached = list(cached)

    def jobs(self) -> list[Job]:
        return [job for job, _ in self.cached]

    def pods(self, job_uid: str) -> list[Pod]:
        return next(pods for job, pods in self.cached if job.uid == job_uid)


def make_sampler(answers: Answers, cached: Cached, *, look_again: float = 300.0, **settings: Any) -> Sampler:
    services = make_services(cast("Cluster", answers), Settings(**settings))
    return Sampler(services, make_term(cast("JobCache", cached)), look_again=look_again)


def busy(name: str = "j1", *pods: Pod) -> tuple[Job, list[Pod]]:
    return make_job(name=name, uid=name, active=1), list(pods or [running_pod(f"{name}-p")])


def use(pod: str, *, at: float = 1) -> PodUsage:
    return PodUsage(name=pod, at=NOON + at, cpu=0.5, memory=MIB)


async def test_only_jobs_with_new_usage_are_reported() -> None:
    answers = Answers([use("j1-p"), use("j2-p")], [use("j1-p"), use("j2-p", at=2)])
    sampler = make_sampler(answers, Cached(busy("j1"), busy("j2"), busy("j3")))
    assert await sampler.sample() == [("default", "j1"), ("default", "j2")]
    assert await sampler.sample() == [("default", "j2")]
    assert sampler.of("j3") is None


async def test_a_pod_that_has_ended_no_longer_counts() -> None:
    sampler = make_sampler(Answers([use("p1"), use("p2")]), Cached(busy("j1", succeeded("p1"), running_pod("p2"))))
    await sampler.sample()
    usage = sampler.of("j1")
    assert usage is not None
    assert usage.memory == MIB


async def test_metrics_are_not_read_when_nothing_runs_or_too_many_jobs_do() -> None:
    assert await make_sampler(Answers(), Cached((make_job(), []))).sample() == []
    assert await make_sampler(Answers(), Cached(busy("j1"), busy("j2")), progress_jobs=1).sample() == []


async def test_after_a_failure_metrics_are_read_only_later() -> None:
    gone = Unavailable("404 page not found")
    once = make_sampler(Answers(gone), Cached(busy()))
    assert await once.sample() == []
    assert await once.sample() == []
    back = make_sampler(Answers(gone, [use("j1-p")]), Cached(busy()), look_again=0.0)
    assert await back.sample() == []
    assert await back.sample() == [("default", "j1")]


async def test_usage_is_kept_no_longer_than_its_job() -> None:
    cached = Cached(busy("j1"), busy("j2"))
    sampler = make_sampler(Answers([use("j1-p"), use("j2-p")], []), cached)
    await sampler.sample()
    sampler.forget("j2")
    assert sampler.of("j2") is None
    cached.cached = [busy("j3")]
    await sampler.sample()
    assert sampler.of("j1") is None


async def test_zero_seconds_mean_no_samples() -> None:
    await make_sampler(Answers(), Cached(busy()), progress_seconds=0).run(lambda _: None)
