"""What becomes of real producers' events on NATS: each is run or refused as `producers/` says."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.servers import nats as natsserver
from tests.interop.corpus import NATS, Event, events
from tests.interop.judging import assert_became
from tests.interop.running import SEEN, Ran, Refused, functions_for, site

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def became(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, Ran | Refused]]:
    directory: Path = tmp_path_factory.mktemp("interop")
    functions = functions_for(events(NATS), directory / SEEN)
    async with natsserver.run(directory / "nats") as server, site(server.url, directory, functions) as running:
        yield await running.nats(events(NATS))


@pytest.mark.parametrize("event", events(NATS), ids=lambda event: event.name)
async def test_an_event_is_run_or_refused_as_its_producer_needs(
    became: Mapping[str, Ran | Refused], event: Event
) -> None:
    assert_became(event, became[event.name])
