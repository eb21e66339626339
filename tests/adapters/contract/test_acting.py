"""Claims about what the page publishes, on every broker: sent twice, an action is one."""

from pathlib import Path
from typing import Any

import pytest

from handler.console.actions.controls import made
from handler.console.actions.sending import page_source, send
from handler.console.actions.submitting import Submission, submit
from handler.console.backend import Backend
from handler.console.http.person import Person
from handler.console.http.problems import Problem
from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics
from k8s.api.cluster import Cluster, connect
from tests.adapters.harness import CONTROL, REQUESTS, Harness, emptied, take
from tests.handler.commandline import make_environ

_CHOSEN: dict[str, Any] = {"role": "console", "ui_address": None}
SETTINGS = Settings(**_CHOSEN)


def _backend(harness: Harness, cluster: Cluster) -> Backend:
    """As of another process each time."""
    broker = harness.broker
    return Backend(SETTINGS, cluster=cluster, brokers={broker.name: broker}, metrics=Metrics(role="console"))


async def test_an_action_that_is_sent_twice_is_one(harness: Harness, tmp_path: Path) -> None:
    async with connect(kubeconfig=Path(make_environ(tmp_path)["JOBRELAY_KUBECONFIG"])) as away:
        first, second = _backend(harness, away), _backend(harness, away)
        for backend in (first, first, second):
            event = made("cancel", "a b/c", source=page_source(SETTINGS), event_id="one", actor="ada")
            await send(backend, CONTROL, event)
        with pytest.raises(Problem, match="named another action"):
            await send(first, CONTROL, made("suspend", "a b/c", source=page_source(SETTINGS), event_id="one"))
        submission = Submission(document={"job": {"image": "a"}}, event_id="two")
        for backend in (first, first, second):
            await submit(backend, Person(name="ada", operator=True), submission)
    expected = 1 if harness.drops_repeats else 2
    for topic in (CONTROL, REQUESTS):
        async with harness.broker.subscribe(topic.kind, prefetch=5) as subscription:
            found = await take(subscription, expected, ack=True)
            await emptied(harness.broker, topic)
        assert {delivery.event().get_extension("actor") for delivery in found} == {"ada"}
