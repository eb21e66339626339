"""A tenant who wants all places of those that wait, for ever and before everybody else, leaves the others theirs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.table import Rows
from tests.e2e.cases import FOREVER
from tests.e2e.observer import Observer, detail, request
from tests.e2e.site import NATS, RABBITMQ, Site
from tests.hostile.neighbour import SERVICE, Scene, attacked
from tests.long import LONG

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker]

PLACES = 100 if LONG else 40
GREEDY = 500 if LONG else 120
LASTS = 60.0 if LONG else 0.0
LIMITS: dict[str, Any] = {"max_active_per_service": 4, "max_queued": PLACES, "max_waiting": PLACES}


@pytest.mark.timeout(900 if LONG else 120)
@pytest.mark.parametrize("broker", [NATS, pytest.param(RABBITMQ, marks=pytest.mark.long)])
async def test_who_fills_the_queue_and_all_that_may_wait_stays_within_its_share(site: Site, rows: Rows) -> None:
    size = f"{GREEDY} urgent requests that never end, and as many for tomorrow, of {PLACES} places each"
    async with (
        attacked(site, rows, **LIMITS) as scene,
        scene.neighbour("one service wants all places", size=size, seconds=LASTS),
    ):
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for number in range(GREEDY):
            await scene.observer.publish(greedy(scene, f"urgent-{number}", priority=1000))
            await scene.observer.publish(greedy(scene, f"tomorrow-{number}", runAt=tomorrow))
        await scene.observer.publish(greedy(scene, "at-the-end-of-time", runAt="9999-12-31T23:59:59Z"))
        rejected = await scene.observer.reached("at-the-end-of-time", "rejected")
        assert detail(rejected)["error"]["errorCode"] == "FORBIDDEN"
        last = await scene.observer.reached(f"tomorrow-{GREEDY - 1}", "rejected")
        assert detail(last)["error"]["errorCode"] == "TOO_MANY_WAITING"
        await waits_for_its_time(scene)
        assert (await scene.handler.metrics())[deferred(site.broker)] > 0


def greedy(scene: Scene, name: str, **given: Any) -> dict[str, Any]:
    return scene.request(name, FOREVER, service="greedy", **given)


async def waits_for_its_time(scene: Scene) -> None:
    """The neighbour has a request that has to wait, and it is done in its time."""
    async with Observer.connected(scene.site.source, scene.instance) as eyes:
        soon = (datetime.now(UTC) + timedelta(seconds=10 if LONG else 4)).isoformat()
        await eyes.publish(request("soon", image=scene.site.image, service=SERVICE, runAt=soon))
        assert detail(await eyes.reached("soon", "queued"))["reason"] == "runAt"
        await eyes.reached("soon", "succeeded")


def deferred(broker: str) -> str:
    return f'jobrelay_messages_deferred_total{{broker="{broker}",reason="share"}}'
