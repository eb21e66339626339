"""Replayed requests get the answers, and lead to the states, that were recorded from a real Kubernetes."""

import asyncio
from typing import Any

import pytest

from k8s.devcluster.loops import Options
from k8s.devcluster.server import ServerOptions, serve
from tests.k8s.devcluster.replay import Result, replay_all
from tests.k8s.devcluster.states import agrees, pod_state
from tests.k8s.devcluster.traces import WEAK_USER, Trace, load

TRACES = load()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """All scenarios, each half at once against a server whose retries are faster than a real cluster's.

    On a busy machine two changes may come so close together that the controllers see them as one, as real ones would.
    So a scenario that differs is replayed once more, alone.
    """

    async def replay(traces: list[Trace]) -> dict[str, Result]:
        # The recorded cluster had no metrics server. Minutes are short, but longer than the life of a minute's Job.
        # With a real node, there are looks at what there is while a Job waits with its next pod.
        running = Options(backoff=4.0 if traces[0].by_kubelet else 0.5, cron_minute=6.0)
        options = ServerOptions(restricted={"weak": WEAK_USER}, metrics=False, running=running)
        async with serve(tmp_path_factory.mktemp("cluster"), options=options) as cluster:
            return await replay_all(cluster, traces)

    found: dict[str, Result] = {}
    for by_kubelet in (False, True):
        traces = [trace for trace in TRACES if trace.by_kubelet is by_kubelet]
        found |= asyncio.run(replay(traces))
    for trace in TRACES:
        if found[trace.scenario].story or found[trace.scenario].steps:
            found |= asyncio.run(replay([trace]))
    return found


@pytest.mark.parametrize("scenario", [trace.scenario for trace in TRACES])
def test_requests_get_the_recorded_answers(results: dict[str, Result], scenario: str) -> None:
    assert not results[scenario].steps, "\n".join(results[scenario].steps)


@pytest.mark.parametrize("scenario", [trace.scenario for trace in TRACES if trace.watch])
def test_watches_show_the_recorded_states_in_order(results: dict[str, Result], scenario: str) -> None:
    assert not results[scenario].story, "\n".join(results[scenario].story)


A, B = {"conditions": (), "active": 0}, {"conditions": ("Complete",), "active": 2}


@pytest.mark.parametrize(
    ("ours", "same"),
    [
        ([A, B], True),
        ([A, {"conditions": (), "active": 1}, B], True),
        ([A, {"conditions": ("Complete",), "active": 0}, B], True),
        ([A, {"conditions": ("Failed",), "active": 0}, B], False),
        ([A, {"conditions": (), "active": 3}, B], False),
        ([A], False),
        ([B], False),
        ([], False),
    ],
)
def test_additional_states_must_lie_between_recorded_states(ours: list[dict[str, object]], same: bool) -> None:
    assert agrees([A, B], ours) is same


def test_only_a_recorded_state_between_others_may_be_missing() -> None:
    assert agrees([A, {"conditions": (), "active": 1}, B], [A, B])
    assert not agrees([A, {"conditions": ("Criteria",), "active": 0}, B], [A, B])


def pod(phase: str, **state: Any) -> dict[str, Any]:
    """What a pod with a single container tells."""
    status = {"name": "main", "restartCount": state.pop("restarts", 0), "state": state}
    return pod_state({"metadata": {}, "status": {"phase": phase, "containerStatuses": [status]}})


CREATING = pod("Pending", waiting={"reason": "ContainerCreating"})
RUNNING = pod("Running", running={})
ENDED = pod("Failed", terminated={"exitCode": 1, "reason": "Error", "message": "gone"})
AGAIN = pod("Running", running={}, restarts=1)


@pytest.mark.parametrize(
    ("ours", "same"),
    [
        ([CREATING, RUNNING, ENDED], True),
        ([CREATING, ENDED], True),
        ([CREATING, pod("Pending", waiting={"reason": "CreateContainerError"}), ENDED], False),
        ([CREATING, AGAIN, ENDED], False),
        ([CREATING, RUNNING, pod("Failed", terminated={"exitCode": 1, "reason": "Error", "message": "?"})], False),
        ([CREATING, RUNNING, pod("Failed", terminated={"exitCode": 2, "reason": "Error", "message": "gone"})], False),
    ],
)
def test_only_short_states_of_a_container_may_be_missing(ours: list[dict[str, Any]], same: bool) -> None:
    assert agrees([CREATING, RUNNING, ENDED], ours) is same
