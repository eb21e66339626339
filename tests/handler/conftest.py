"""Each test has its own development cluster, and a broker in memory."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.memory import MemoryBroker, connect
from events.cloudevent.event import build, from_parts
from events.names import JOB_TYPE
from events.phases import Phase
from k8s.api.cluster import Cluster, connect as connect_cluster
from k8s.devcluster.loops import Options
from k8s.devcluster.server import DevCluster, ServerOptions, serve
from tests.events.contract.declared import undeclared


@pytest.fixture
def running_options() -> Options:
    """How the development cluster runs Jobs. A module that needs other options overrides this fixture."""
    return Options(backoff=0.5)


@pytest.fixture
async def devcluster(tmp_path: Path, running_options: Options) -> AsyncIterator[DevCluster]:
    options = ServerOptions(bookmark_interval=1.0, running=running_options)
    async with serve(tmp_path / "cluster", options=options) as cluster:
        yield cluster


@pytest.fixture
async def cluster(devcluster: DevCluster) -> AsyncIterator[Cluster]:
    async with connect_cluster(kubeconfig=devcluster.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def broker() -> AsyncIterator[MemoryBroker]:
    async with connect() as connected:
        await connected.declare()
        yield connected


@pytest.fixture(autouse=True)
def contract_problems(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Events of this test that break the contract. Checked at its end: an error at once would make a relay retry."""
    problems: list[str] = []

    def checked(make: Callable[..., Any]) -> Callable[..., Any]:
        def building(attributes: Any, data: Any = None) -> Any:
            type_ = str(attributes["type"])
            problems.extend(undeclared(type_, data))
            # What is rejected may have a source that cannot be read.
            if type_.startswith(JOB_TYPE) and not type_.endswith(Phase.REJECTED) and "requestsource" not in attributes:
                problems.append(f"{type_}: no requestsource")
            return make(attributes, data)

        return building

    def keeping_the_rules(attributes: dict[str, Any], data: Any) -> Any:
        """What `from_own` makes, which looks at nothing itself."""
        event = build(attributes, data)
        if event.get_attributes() != attributes:
            problems.append(f"{attributes['type']}: not as the rules of CloudEvents leave it: {attributes}")
        return event

    monkeypatch.setattr("events.lifecycle.events.from_own", checked(keeping_the_rules))
    monkeypatch.setattr("events.lifecycle.events.from_parts", checked(from_parts))
    monkeypatch.setattr("events.request.control.build", checked(build))
    yield problems
    assert problems == []
