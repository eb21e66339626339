"""A server that is killed while requests change: whoever comes back misses nothing."""

import asyncio
import signal
from pathlib import Path

from aiohttp import ClientError, ClientSession, test_utils

from events.phases import Phase
from k8s.background import beside
from tests.handler.commandline import end, make_environ, started
from tests.handler.commands.history.records import told
from tests.handler.console.live.feeds import Record, Stream, recording, rows, streaming
from tests.handler.samples import until

REQUESTS = 600


async def changing(record: Record) -> None:
    """Requests come, and end: so many a second that some change in every moment of the test."""
    for number in range(REQUESTS):
        ended = [told(f"r-{number - 5}", Phase.SUCCEEDED, at=number)] if number >= 5 else []
        await record.add(told(f"r-{number}", Phase.CREATED, at=number), *ended)
        await asyncio.sleep(0.005)


async def answered(url: str) -> bool:
    try:
        async with ClientSession() as session, session.get(f"{url}/api/v1/requests") as answer:
            return answer.status == 200
    except ClientError:
        return False


async def followed(stream: Stream, known: dict[str, str], count: int) -> None:
    """Keep what is told, until so many requests are known."""
    while len(known) < count:
        known.update(rows(await stream.until("requests")))


async def test_no_row_is_missed_by_who_was_there_when_the_server_was_killed(tmp_path: Path) -> None:
    database, port = f"sqlite://{tmp_path}/history.db", test_utils.unused_port()
    environ = make_environ(tmp_path, JOBRELAY_HISTORY=database, JOBRELAY_UI_ADDRESS=f"127.0.0.1:{port}")
    url, known, last = f"http://127.0.0.1:{port}", dict[str, str](), "0"
    # The test is the one that records: the server is one of several replicas, which waits for its turn.
    async with recording(database) as record, beside(changing(record)):
        with started("run", "--role", "console", environ=environ, output=tmp_path / "first") as process:
            await until(lambda: answered(url))
            async with streaming(f"{url}/api/v1/stream", last=last) as stream:
                await followed(stream, known, REQUESTS // 4)
                last = stream.last
                await asyncio.to_thread(end, process, signal.SIGKILL)
        assert len(known) < REQUESTS
        with started("run", "--role", "console", environ=environ, output=tmp_path / "second") as process:
            await until(lambda: answered(url))
            async with streaming(f"{url}/api/v1/stream", last=last) as stream:
                await followed(stream, known, REQUESTS)
                while list(known.values()).count("succeeded") < REQUESTS - 5:
                    known.update(rows(await stream.until("requests")))
        page = await record.store.changes(0, limit=10 * REQUESTS)
        there = await record.store.requests(list({one.request for one in page}))
    assert known == {one.request.key.id: str(one.request.phase) for one in there}
