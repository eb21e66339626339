"""Long work lets others run."""

import asyncio
import time

from k8s.informer.slices import in_slices


async def test_others_run_between_the_slices_and_every_object_comes() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    seen = []
    async for number in in_slices(range(20), held=0.001):
        seen.append(number)
        time.sleep(0.002)  # noqa: ASYNC251 - this is the work
    beside.cancel()
    assert seen == list(range(20))
    assert turns >= 15


async def test_short_work_is_not_interrupted() -> None:
    order: list[str] = []
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(lambda _: order.append("other"))
    order += [str(number) async for number in in_slices(range(3), held=60)]
    assert order == ["0", "1", "2"]
    await task
