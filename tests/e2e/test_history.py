"""The role `console` beside an installation: what happened and what was printed outlives the Job, on any cluster."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from handler.history.base import KeptLog, Reader, Request, Told
from handler.history.logs.bodies import NoLog, kept
from handler.history.sql.store import open_store
from tests.e2e.conftest import Stage
from tests.e2e.observer import request
from tests.e2e.scenes import gone, job_name
from tests.e2e.site import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

LOG_BYTES = 4000
LINES = 2000
SCRIPT = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; sleep 1; exit 3"


async def recorded(store: Reader, name: str) -> tuple[Request, Sequence[Told]] | None:
    """The request with its events, once it has ended."""
    found = await store.find(name)
    return (found[0], await store.events(found[0].pk)) if found and found[0].terminal else None


async def log_of(store: Reader, row: Request) -> tuple[KeptLog, bytes] | None:
    """The kept log of its only pod."""
    for pod in await store.pods(row.pk):
        for log in await store.logs(pod.uid):
            try:
                return log, b"".join([piece async for piece in kept(store, None, pod.uid, log.container)])
            except NoLog:
                continue
    return None


async def test_what_happened_and_what_was_printed_outlives_the_job(stage: Stage, tmp_path: Path) -> None:
    site, observer, name = stage.site, stage.observer, "printed"
    url = f"sqlite://{tmp_path}/history.db"
    async with site.relay(observer.instance, role="console", history=url, log_bytes=LOG_BYTES):
        await observer.publish(request(name, SCRIPT, image=site.image))
        await observer.ended(name, seconds=stage.seconds())
        job = job_name(observer, name)
        async with open_store(url) as store:
            row, events = await until(lambda: recorded(store, name), seconds=stage.seconds())
            await until(lambda: log_of(store, row), seconds=stage.seconds())
            await site.cluster.delete_job(site.namespace, job)
            await until(lambda: gone(site, job), seconds=stage.seconds())
            found = await log_of(store, row)
    assert (row.job, row.exit_code, row.image) == (job, 3, site.image)
    assert [event.id for event in events] == [event.get_id() for event in observer.of(name)]
    assert found is not None
    log, text = found
    lines = text.decode().splitlines()
    assert (lines[0], lines[-1]) == ("line 0", f"line {LINES - 1}")
    assert log.dropped == sum(len(f"line {number}\n") for number in range(LINES)) - log.bytes
    assert [line for line in lines if not line.startswith("line ")] == [
        f"[jobrelay: {log.dropped / 1000:.0f} kB left out here]"
    ]
