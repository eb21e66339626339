"""A whole installation with a history: what a request did and printed outlives its Job."""

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from handler.local.stack import Stack, start
from k8s.api.cluster import Cluster
from tests.handler.commandline import Done, asked, run, shell, wait_for


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    async with start(directory, console=True, settings={"JOBRELAY_LOG_BYTES": "4000"}) as running:
        yield running


def submitted(stack: Stack, script: str) -> str:
    done = run(stack, "submit", "--watch", "-o", "json", *shell(script))
    assert done.returncode == 3, done.stderr
    return str(orjson.loads(done.stdout.splitlines()[-1])["subject"])


def kept(stack: Stack, request: str) -> Done | None:
    done = run(stack, "history", "logs", request)
    return done if done.returncode == 0 else None


async def delete_jobs(cluster: Cluster) -> None:
    path = "/apis/batch/v1/namespaces/default/jobs"
    for job in orjson.loads(await cluster.client.request("GET", path))["items"]:
        await cluster.client.request("DELETE", f"{path}/{job['metadata']['name']}?propagationPolicy=Background")


@pytest.mark.long
def test_what_a_request_printed_outlives_its_job(stack: Stack) -> None:
    request = submitted(stack, "seq 1 2000; echo over; exit 3")
    whole = run(stack, "logs", request).stdout.splitlines()
    assert (whole[0], whole[-1], len(whole)) == ("1", "over", 2001)
    cut = wait_for(lambda: kept(stack, request)).stdout.splitlines()
    asked(stack.environ, delete_jobs)
    gone = wait_for(lambda: from_history(stack, request))
    assert gone.stdout.splitlines() == cut
    assert (cut[0], cut[-1]) == ("1", "over")
    assert len([line for line in cut if line.startswith("[jobrelay: ")]) == 1
    assert set(cut) - set(whole) == {line for line in cut if line.startswith("[jobrelay: ")}
    shown = run(stack, "get", request)
    assert (shown.returncode, shown.stderr) == (0, f"from the history: no Job of request {request}\n")
    assert shown.stdout.splitlines()[1].split()[:2] == [request, "failed"]
    assert "exit 3" in run(stack, "history", "show", request).stdout


def from_history(stack: Stack, request: str) -> Done | None:
    done = run(stack, "logs", request)
    return done if done.stderr.startswith("from the history: ") else None
