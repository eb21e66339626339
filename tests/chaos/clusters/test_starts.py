"""Claims about processes that start while a node of the cluster is down."""

import time
from pathlib import Path

import pytest

from adapters.base import BrokerError
from tests.adapters.conftest import need_rabbit
from tests.chaos.clusters.forms import FORMS
from tests.chaos.clusters.nodes import NODES
from tests.chaos.clusters.scene import Form, Scene, scene
from tests.chaos.table import Rows
from tests.handler.samples import until
from tests.long import LONG
from tests.patience import within
from tests.processes import RABBITMQ

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900 if LONG else 300)]

STARTING = ("controller-1", "handler-1")
READY_SECONDS = within(5.0)


@pytest.mark.parametrize("form", [form for form in FORMS if not form.one_address], ids=lambda form: form.label)
async def test_controller_and_handler_that_start_while_any_node_is_down_are_ready_soon(
    tmp_path: Path, form: Form, rows: Rows
) -> None:
    if form.broker == RABBITMQ:
        need_rabbit()
    took = {}
    async with scene(tmp_path, form, members=STARTING) as on:
        for number in range(NODES):
            await on.nodes.kill(number)
            await until(lambda: _led(on))
            for name in STARTING:
                assert await on.fleet.end(name) == 0
                begun = time.monotonic()
                await on.fleet.start(name)
                took[f"{name} without n{number + 1}"] = time.monotonic() - begun
            await on.nodes.start(number)
            await on.nodes.spare()
        version = await on.nodes.version()
    slow = {what: seconds for what, seconds in took.items() if seconds > READY_SECONDS}
    assert not slow, slow
    outcome = f"ready after {max(took.values()):.1f} s at most"
    done = "each node in turn, then controller and handler started"
    rows.add("cluster: start while a node is down", f"{form.broker} {version}, {form}", done=done, outcome=outcome)


async def _led(on: Scene) -> bool:
    """Whether the others have chosen who leads."""
    try:
        await on.stage.broker.check()
        await on.stage.broker.probe()
    except BrokerError:
        return False
    return True
