"""A request that does not become a Job is answered, and nothing is settled before its effect is durable."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.v1.event import CloudEvent

from adapters.base import Kind, Topic
from adapters.memory import MemoryBroker, connect
from events.cloudevent.event import encode_structured
from events.names import REQUESTED_TYPE
from handler.effects import replies
from handler.intake.requests import Requests
from k8s.api.cluster import Cluster, connect as connect_cluster
from k8s.base import Manifest
from k8s.devcluster.server import serve
from tests.handler.jobs import our_jobs
from tests.handler.relay import Client, code_of, detail, running
from tests.handler.samples import SOURCE, make_request, until


async def test_bytes_that_are_no_event_are_kept_and_do_not_stop_the_next(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        broker.put(Topic(Kind.REQUESTS), {}, b"\xff\x00 garbage")
        (letter,) = await client.dead_letters(1)
        assert letter.body == b"\xff\x00 garbage"
        assert letter.headers["jobrelay-code"] == "INVALID_EVENT"
        assert letter.headers["jobrelay-reason"]
        await client.publish(make_request("next"))
        await client.ended("next")


async def test_an_invalid_request_is_answered_with_every_error(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        job = {"image": "busybox:1", "comand": ["true"], "backoffLimit": "3"}
        await client.publish(make_request("wrong", job=job, timeout=-1, priority=1001))
        rejected = await client.reached("wrong", "rejected")
        assert code_of(rejected) == "INVALID_REQUEST"
        fields = {field["path"]: field["message"] for field in detail(rejected)["error"]["fields"]}
        assert set(fields) == {"job.comand", "job.backoffLimit", "timeout", "priority"}
        assert "command" in fields["job.comand"]
        assert rejected.get_extension("causationid") == "event-wrong"
        assert rejected.get_extension("requestsource") == SOURCE
        (letter,) = await client.dead_letters(1)
        assert letter.headers["jobrelay-code"] == "INVALID_REQUEST"
        assert await our_jobs(cluster) == []


@pytest.mark.parametrize(
    ("code", "said", "event"),
    [
        ("FORBIDDEN", "job.namespace", make_request("no", job={"namespace": "kube-system"})),
        ("FORBIDDEN", "job.serviceAccount", make_request("no", job={"serviceAccount": "admin"})),
        ("FORBIDDEN", "job.envRef[0].name", make_request("no", job={"envRef": [{"name": "s", "type": "secret"}]})),
        ("FORBIDDEN", "job.image", make_request("no", job={"image": "evil/image"})),
        ("FORBIDDEN", "replyto", make_request("no", attributes={"replyto": "somewhere.else"})),
        (
            "NO_FUNCTION",
            "no function takes an event of this type",
            make_request("no", attributes={"type": "dev.jobrelay.job.request"}),
        ),
        ("EXPIRED", "expirytime", make_request("no", attributes={"expirytime": "2020-01-01T00:00:00Z"})),
    ],
    ids=["namespace", "service-account", "secret", "image", "reply-topic", "type", "expired"],
)
async def test_a_request_that_is_not_allowed_is_refused_with_what_is_wrong(
    broker: MemoryBroker, cluster: Cluster, code: str, said: str, event: Any
) -> None:
    async with running(broker, cluster, images=("busybox:*",)) as client:
        await client.publish(event)
        rejected = await client.reached("no", "rejected")
        assert code_of(rejected) == code
        assert said in detail(rejected)["error"]["message"]
        assert (await client.dead_letters(1))[0].headers["jobrelay-code"] == code
        assert await our_jobs(cluster) == []


async def test_an_event_too_large_for_a_secret_is_refused_before_anything_is_created(cluster: Cluster) -> None:
    async with connect(max_payload=1 << 22) as broker, running(broker, cluster) as client:
        await client.publish(
            make_request("big", metadata={"k": 1}, job={"env": [{"name": "A", "value": "x" * (1 << 20)}]})
        )
        rejected = await client.reached("big", "rejected")
        assert code_of(rejected) == "TOO_LARGE"
        assert "JOBRELAY_MAX_REQUEST_BYTES allows 1048576" in detail(rejected)["error"]["message"]
        assert await our_jobs(cluster) == []


async def replay_all(broker: MemoryBroker) -> None:
    async with broker.dead_letters() as letters:
        async for letter in letters:
            await letter.replay()


async def test_a_rejected_request_runs_when_it_is_replayed_once_allowed(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster, images=("only/this",)) as client:
        await client.publish(make_request("cured"))
        await client.reached("cured", "rejected")
        await client.dead_letters(1)
    async with running(broker, cluster) as client:
        await replay_all(broker)
        await client.ended("cured")
        assert await client.phases("cured") == ["rejected", "created", "started", "succeeded"]
        assert await client.dead() == []


async def test_every_rejection_of_a_replayed_request_is_an_event_of_its_own(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, images=("only/this",)) as client:
        await client.publish(make_request("poison"))
        await client.dead_letters(1)
        await replay_all(broker)

        async def rejected_again() -> bool:
            return len(await client.events("poison")) == 2

        await until(rejected_again)
        assert len({event.get_id() for event in await client.events("poison")}) == 2
        (letter,) = await client.dead_letters(1)
        assert letter.headers["jobrelay-replays"] == "1"


async def test_a_request_that_comes_twice_becomes_a_single_job(broker: MemoryBroker, cluster: Cluster) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("twice"), make_request("twice"))
        await client.ended("twice")
        metrics = client.state.metrics.registry
        await until(lambda: _sample(metrics, "jobrelay_messages_duplicate_total", 1))
        assert metrics.get_sample_value("jobrelay_messages_processed_total", {"broker": "memory"}) == 1
        assert len(await our_jobs(cluster)) == 1
        assert await client.phases("twice") == ["created", "started", "succeeded"]


async def _sample(registry: Any, name: str, value: float, **labels: str) -> bool:
    return bool(registry.get_sample_value(name, {"broker": "memory", **labels}) == value)


async def test_the_same_id_with_other_data_is_rejected_and_the_first_goes_on(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster) as client:
        await client.publish(make_request("reused", script="sleep 1"))
        await client.reached("reused", "created")
        await client.publish(make_request("reused", script="sleep 2"))
        assert code_of(await client.reached("reused", "rejected")) == "ID_REUSED"
        await client.ended("reused")


async def test_an_allowed_reply_topic_gets_the_lifecycle(cluster: Cluster) -> None:
    async with (
        connect(reply_topics=["orders.replies"]) as broker,
        running(broker, cluster, reply_topics=("orders.*",)) as client,
    ):
        await client.publish(make_request("reply", attributes={"replyto": "orders.replies"}))

        async def replied() -> bool:
            return len(broker.replies("orders.replies")) == 3

        await until(replied)
        assert await client.events("reply") == []


async def test_an_allowed_reply_topic_gets_the_refusal_too(cluster: Cluster) -> None:
    async with (
        connect(reply_topics=["orders.replies"]) as broker,
        running(broker, cluster, reply_topics=("orders.*",)) as client,
    ):
        wrong = [
            make_request("unread", webhook="https://example.com", attributes={"replyto": "orders.replies"}),
            make_request("foreign", attributes={"replyto": "orders.replies", "type": "com.example.order"}),
        ]
        await client.publish(*wrong)

        async def replied() -> list[CloudEvent] | None:
            found = [record.event() for record in broker.replies("orders.replies")]
            return found if len(found) == 2 else None

        codes = {event.get_subject(): code_of(event) for event in await until(replied)}
        assert codes == {"unread": "INVALID_REQUEST", "event-foreign": "NO_FUNCTION"}
        await client.dead_letters(2)
        assert await client.events("unread") == await client.events("event-foreign") == []


async def test_a_reply_topic_that_is_not_allowed_gets_no_refusal_and_is_not_named(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with running(broker, cluster, reply_topics=("orders.*",)) as client:
        await client.publish(make_request("a", webhook="https://x", attributes={"replyto": "payments.secret"}))
        refusal = detail(await client.reached("a", "rejected"))
        assert "undelivered" not in refusal
        assert "payments" not in str(refusal)


async def test_refusals_that_wait_for_their_reply_topics_keep_nobody_waiting(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PAUSES", (3600.0,))
    async with running(broker, cluster, reply_topics=("orders.*",), concurrency=2) as client:
        await client.publish(
            *(make_request(f"r-{one}", webhook="x", attributes={"replyto": f"orders.{one}"}) for one in range(20)),
            *(make_request(f"w-{one}", attributes={"replyto": f"orders.w-{one}"}) for one in range(3)),
            make_request("well"),
        )
        await client.ended("well")
        assert await client.dead() == [], "they are told first"
        assert (await broker.depth())[Topic(Kind.REQUESTS)].unsettled == 20


async def test_a_refusal_whose_reply_topic_refuses_it_goes_to_the_default_topic_and_says_so(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PAUSES", (0.1, 0.1))
    async with running(broker, cluster, reply_topics=("orders.*",)) as client:
        await client.publish(make_request("a", webhook="https://x", attributes={"replyto": "orders.nobody"}))
        told = await client.reached("a", "rejected")
        assert (code_of(told), detail(told)["undelivered"]["topic"]) == ("INVALID_REQUEST", "orders.nobody")
        await client.dead_letters(1)
        assert len(await client.events("a")) == 1


async def test_events_that_a_reply_topic_refuses_go_to_the_default_topic_and_say_so(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PAUSES", (0.1, 0.1))
    async with running(broker, cluster, reply_topics=("orders.*",)) as client:
        await client.publish(make_request("lost", attributes={"replyto": "orders.nobody"}))
        end = await client.ended("lost")
        assert detail(end)["undelivered"]["topic"] == "orders.nobody"
        assert await client.phases("lost") == ["created", "started", "succeeded"]


async def test_a_quota_defers_the_request_until_there_is_room(broker: MemoryBroker, cluster: Cluster) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    path = "/api/v1/namespaces/default/resourcequotas"
    await cluster.client.request("POST", path, body=quota)
    async with running(broker, cluster, quota_delay=1) as client:
        await client.publish(make_request("room"))
        registry = client.state.metrics.registry
        await until(lambda: _sample(registry, "jobrelay_messages_deferred_total", 1, reason="quota"))
        await cluster.client.request("DELETE", f"{path}/q")
        await client.ended("room")
        assert await client.dead() == []


async def test_a_request_delivered_too_often_becomes_a_dead_letter_before_any_work(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    event = make_request("poison")
    await broker.publish(Topic(Kind.REQUESTS), event)
    for _ in range(3):
        async with broker.subscribe(Kind.REQUESTS, prefetch=1) as subscription:
            await anext(aiter(subscription))  # left unsettled, as if the request killed the process
    async with running(broker, cluster, max_attempts=3) as client:
        assert code_of(await client.reached("poison", "rejected")) == "TOO_MANY_ATTEMPTS"
        (letter,) = await client.dead_letters(1)
        assert letter.body == encode_structured(event)
        assert letter.headers["jobrelay-attempts"] == "4"
        assert await our_jobs(cluster) == []


async def test_a_request_is_tried_again_after_an_error_of_ours(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.effects.deliveries.BUG_SECONDS", 0.05)
    judge = Requests.of
    failures = iter([ZeroDivisionError("a bug")])

    def broken(self: Requests, event: Any) -> Any:
        for failure in failures:
            raise failure
        return judge(self, event)

    monkeypatch.setattr(Requests, "of", broken)
    async with running(broker, cluster) as client:
        await client.publish(make_request("again"))
        await client.ended("again")


async def test_an_api_server_that_is_down_pauses_intake_and_loses_nothing(broker: MemoryBroker, tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    async with serve(directory) as devcluster:
        kubeconfig = devcluster.kubeconfig
    async with connect_cluster(kubeconfig=kubeconfig) as cluster, running(broker, cluster) as client:
        await client.publish(*(make_request(f"r-{number}") for number in range(5)))
        registry = client.state.metrics.registry

        async def paused() -> bool:
            return registry.get_sample_value("jobrelay_intake_paused") == 1

        await until(paused)
        assert (await broker.depth())[Topic(Kind.REQUESTS)].unsettled == 5
        assert registry.get_sample_value("jobrelay_messages_in_flight", {"broker": "memory"}) == 5
        async with serve(directory):
            for number in range(5):
                await client.ended(f"r-{number}")
            assert await client.dead() == []
            assert (await broker.depth())[Topic(Kind.REQUESTS)].unsettled == 0
            await until(lambda: _no_finalizers(cluster))


async def _no_finalizers(cluster: Cluster) -> bool:
    return not any(job["metadata"].get("finalizers") for job in await our_jobs(cluster))


async def test_a_stopping_process_finishes_what_is_in_flight_and_takes_nothing_new(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()
    create = Cluster.create_job

    async def slow(self: Cluster, manifest: Manifest) -> Any:
        entered.set()
        await go_on.wait()
        return await create(self, manifest)

    monkeypatch.setattr(Cluster, "create_job", slow)
    async with asyncio.TaskGroup() as group, running(broker, cluster, concurrency=1, drain_seconds=10) as client:
        await client.publish(make_request("in-flight"), make_request("later"))
        await entered.wait()
        group.create_task(_set_when_draining(client, go_on))
    assert [job["metadata"]["annotations"]["jobrelay.dev/id"] for job in await our_jobs(cluster)] == ["in-flight"]
    depth = (await broker.depth())[Topic(Kind.REQUESTS)]
    assert (depth.ready, depth.unsettled) == (1, 0)


async def _set_when_draining(client: Client, event: asyncio.Event) -> None:
    async def draining() -> bool:
        return client.state.draining

    await until(draining)
    event.set()


async def test_a_request_that_cannot_be_finished_in_the_drain_time_goes_back(
    broker: MemoryBroker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = asyncio.Event()

    async def never(self: Cluster, manifest: Manifest) -> None:
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Cluster, "create_job", never)
    async with running(broker, cluster, drain_seconds=0.1) as client:
        await client.publish(make_request("stuck"))
        await entered.wait()
    depth = (await broker.depth())[Topic(Kind.REQUESTS)]
    assert (depth.ready, depth.unsettled) == (1, 0)


async def test_an_event_over_the_limit_is_refused_unread_and_its_sender_told(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    """Binary or structured, valid or not: whoever it names is told, by the id and the service that its data name."""
    large = b'{"id":"big","service":"shop","job":"' + b"x" * 2048
    attributes = {"specversion": "1.0", "type": REQUESTED_TYPE, "source": "/tests", "id": "e1"}
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    structured = b'{"specversion":"1.0","type":"dev.jobrelay.job.requested","source":"/tests","id":"e2","data":'
    async with running(broker, cluster, max_request_bytes=1024) as client:
        broker.put(Topic(Kind.REQUESTS), headers, large + b'"}')
        broker.put(Topic(Kind.REQUESTS), {}, structured + large + b'"}}')
        broker.put(Topic(Kind.REQUESTS), {}, structured + large + b'", no JSON')
        dead = await client.dead_letters(3)
        assert {one.headers["jobrelay-code"] for one in dead} == {"TOO_LARGE"}
        told = await client.events("big")
        assert [detail(one)["service"] for one in told] == ["shop", "shop"]
        assert [one.get_attributes()["causationid"] for one in told] == ["e1", "e2"]
        assert "JOBRELAY_MAX_REQUEST_BYTES allows 1024" in detail(told[0])["error"]["message"]
        assert await our_jobs(cluster) == []
