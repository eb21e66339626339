"""A site, a running jobrelay and an observer that all tests share; the scenes are played meanwhile."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from tests.adapters.conftest import need_rabbit
from tests.e2e import cases
from tests.e2e.observer import Observer
from tests.e2e.scenes import SCENES, WITH_BROKER
from tests.e2e.site import DEVCLUSTER, NATS, RABBITMQ, VARIABLES, Relay, Site, on_broker, site as open_site
from tests.patience import PATIENCE

AUDIT = "audit.log"
"""The audit log of our own API server, in the site's directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that the tests of a session share."""

    site: Site
    relays: list[Relay]
    observer: Observer
    scenes: dict[str, asyncio.Task[Any]]

    async def scene(self, name: str) -> Any:
        """The result of a scene. If the scene failed, so does this call."""
        return await asyncio.shield(self.scenes[name])

    async def counted(self, sample: str) -> float:
        """The value of a counter, named with its labels, summed over all processes."""
        return sum([(await relay.metrics()).get(sample, 0.0) for relay in self.relays])

    def seconds(self, seconds: float = PATIENCE) -> float:
        """How long to wait for what should take less."""
        return seconds * self.site.patience


# On brokers that were given, every claim is tested on each. On our own, all claims are tested on NATS, and on RabbitMQ
# those in which the broker plays a part.
GIVEN = tuple(name for name, variable in VARIABLES.items() if os.environ.get(variable))
SEPARATE = (GIVEN or (NATS,))[0]
"""On this broker, controller and handlers are separate processes; on the other broker, one process does everything."""
each_broker = pytest.mark.parametrize("broker", GIVEN or (NATS, RABBITMQ))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = [mark for mark in metafunc.definition.iter_markers("parametrize") if mark.args[0] == "broker"]
    if "stage" in metafunc.fixturenames and not chosen:
        metafunc.parametrize("broker", GIVEN or (NATS,))


@pytest.fixture
def stage(broker: str, request: pytest.FixtureRequest) -> Stage:
    """The stage on this broker. Both stages share the cluster, and run at the same time."""
    if broker == RABBITMQ and RABBITMQ not in GIVEN:
        need_rabbit()
    found: Stage = request.getfixturevalue(f"{broker}_stage")
    return found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("e2e")
    api_server = (*DEVCLUSTER, "--audit", str(directory / AUDIT))
    async with open_site(directory, os.environ, api_server=api_server, broker=None) as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def nats_stage(cluster: Site) -> AsyncIterator[Stage]:
    async with on_broker(cluster, os.environ, NATS) as site, staged(site) as made:
        yield made


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def rabbitmq_stage(cluster: Site) -> AsyncIterator[Stage]:
    async with on_broker(cluster, os.environ, RABBITMQ) as site, staged(site) as made:
        yield made


@asynccontextmanager
async def staged(on: Site) -> AsyncIterator[Stage]:
    """Start jobrelay, the requests of `cases`, and the scenes."""
    site = replace(on, separate=on.broker == SEPARATE)
    roles = (site.leading_role, site.handling_role, site.handling_role) if site.separate else site.roles
    instance = site.new_instance()
    async with site.observer(instance) as observer, site.relays(instance, *roles) as relays:
        for event in cases.at_once(site).values():
            await observer.publish(event)
        # Only now, with the image on the node: a request that counts seconds must not wait for a pull.
        await observer.reached("double", "started", seconds=PATIENCE * site.patience)
        await observer.publish(cases.retried(site))
        scenes = {
            name: asyncio.create_task(play(site))
            for name, play in SCENES.items()
            if site.broker in (GIVEN or (NATS,)) or name in WITH_BROKER
        }
        try:
            yield Stage(site=site, relays=relays, observer=observer, scenes=scenes)
        finally:
            for scene in scenes.values():
                scene.cancel()
            await asyncio.gather(*scenes.values(), return_exceptions=True)
