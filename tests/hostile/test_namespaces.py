"""Requests whose Jobs the API server does not take: of one namespace, of one kind, or not before hours have passed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tests.chaos.gateway import Refusal, Treat, gateway
from tests.chaos.table import Rows
from tests.e2e.site import NATS, RABBITMQ, Site
from tests.hostile.neighbour import Scene, attacked

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

SERVICE = "poison"
WEBHOOK = Refusal(500, message='Internal error occurred: failed calling webhook "w": connection refused')
FEW = 100
"""Requests of the attacker: more than there are places."""
MANY = 200


def creates(service: str, do: Callable[[], Awaitable[Refusal | None]]) -> Treat:
    """Do this to creates of Jobs of a service, as a webhook does that matches them."""

    async def treat(request: web.BaseRequest, body: bytes) -> Refusal | None:
        if request.method != "POST" or not request.path.endswith("/jobs"):
            return None
        labels = json.loads(body)["metadata"].get("labels", {})
        return await do() if labels.get("app") == service else None

    return treat


async def fail() -> Refusal:
    return WEBHOOK


async def hang() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def behind_webhook(site: Site, rows: Rows, treat: Treat, **settings: object) -> AsyncIterator[Scene]:
    async with (
        gateway("webhook", site.kubeconfig, [], copy=site.new_instance()) as (between, through),
        attacked(site, rows, kubeconfig=through, **settings) as scene,
    ):
        between.treat = treat
        yield scene


async def poison(scene: Scene, name: str, count: int = FEW, **given: Any) -> None:
    for number in range(count):
        await scene.observer.publish(scene.request(f"{name}-{number}", **given))


async def dead(scene: Scene, request_id: str) -> str:
    """With which code the attacker is told."""
    rejected: Any = await scene.observer.reached(request_id, "rejected")
    return str(rejected.get_data()["detail"]["error"]["errorCode"])


@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
async def test_jobs_that_a_webhook_fails_for_and_a_namespace_that_is_gone(site: Site, rows: Rows) -> None:
    settings = {"max_attempts": 2, "namespaces": f"{site.namespace},gone"}
    attack = "a webhook fails for one kind of Job, and a namespace is gone"
    async with behind_webhook(site, rows, creates(SERVICE, fail), **settings) as scene:
        async with scene.neighbour(attack, size=f"{FEW} requests each", seconds=2):
            await poison(scene, "failing", service=SERVICE)
            await poison(scene, "homeless", job={"namespace": "gone"})
        assert await dead(scene, "failing-0") == "UNAVAILABLE"
        assert await dead(scene, "homeless-0") == "NAMESPACE_GONE"


@pytest.mark.long
@pytest.mark.parametrize("broker", [NATS, RABBITMQ])
async def test_a_webhook_that_hangs_for_one_kind_of_job(site: Site, rows: Rows) -> None:
    attack = "a webhook hangs for one kind of Job"
    async with (
        behind_webhook(site, rows, creates(SERVICE, hang), drain_seconds=0) as scene,
        scene.neighbour(attack, size=f"{MANY} requests", seconds=30),
    ):
        await poison(scene, "hanging", MANY, service=SERVICE)
