"""Attacks on the memory and the time of the controller: what pods leave."""

import pytest

from tests.chaos.table import Rows
from tests.e2e.observer import detail
from tests.e2e.site import Site
from tests.hostile.neighbour import attacked

# In short: tests/events/lifecycle/test_keeping.py, tests/k8s/informer/test_memory.py.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.broker, pytest.mark.long]

PODS = 100
RESULT = """head -c 4096 /dev/zero | tr '\\0' x > "$JOBRELAY_RESULT_PATH" """


async def test_a_job_whose_pods_all_leave_long_results_is_not_noticed(on_nats: Site, rows: Rows) -> None:
    size = f"{PODS} pods that each leave 4 KiB"
    async with attacked(on_nats, rows) as scene, scene.neighbour("results of many pods", size=size):
        many = {"completions": PODS, "parallelism": 4, "completionMode": "Indexed"}
        await scene.observer.publish(scene.request("many", RESULT, job=many))
        told = detail(await scene.observer.ended("many"))
    assert told["resultsTruncated"]
    assert [one["index"] for one in told["results"]] == [0, 1, 2]
