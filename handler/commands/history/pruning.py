"""`jobrelay history prune`: deletes what is too old now, a batch at a time."""

import asyncio
import time
from datetime import timedelta

import click

from handler.commands.errors import FAILED, OK, Failed
from handler.commands.history.opening import opened
from handler.commands.showing.output import say
from handler.history.base import Bodies, Store
from handler.history.logs.objects import open_bodies
from handler.operations.wording import duration
from handler.settings.settings import Settings

_BATCH = 100
"""Requests or logs that are deleted at once: whoever records waits that long."""


async def history_prune(
    settings: Settings, *, requests_older: timedelta | None, logs_older: timedelta | None, confirmed: bool
) -> int:
    """Delete requests and logs that are older, by default than the settings allow. Returns 1 if some logs stay.

    Raises `Failed` if the user says no; without a shorter time than that of the settings nobody is asked.
    """
    kept = timedelta(days=settings.history_days), timedelta(days=settings.log_days)
    requests = kept[0] if requests_older is None else requests_older
    logs = kept[1] if logs_older is None else logs_older
    async with opened(settings) as store, open_bodies(settings.log_store) as bodies:
        sooner = requests < kept[0] or logs < kept[1]
        ages = [duration(age.total_seconds()) for age in (requests, logs)]
        question = f"Delete for good requests that ended more than {ages[0]} ago, and logs older than {ages[1]}?"
        if sooner and not confirmed and not click.confirm(question, err=True):
            raise Failed("nothing was deleted")
        now = time.time()
        return await _prune(store, bodies, now - requests.total_seconds(), now - logs.total_seconds())


async def _prune(store: Store, bodies: Bodies | None, requests_before: float, logs_before: float) -> int:
    requests = logs = failed = 0
    more = True
    try:
        while more:
            pruned = await store.prune(
                requests_before=requests_before, logs_before=logs_before, limit=_BATCH, bodies=bodies
            )
            requests, logs = requests + pruned.requests, logs + len(pruned.logs)
            failed = max(failed, pruned.failed)
            more = pruned.more
            # Whoever records gets its turn.
            await asyncio.sleep(pruned.seconds if more else 0)
    finally:
        click.echo(f"deleted: {requests} requests, {logs} logs")
    if failed:
        say(f"logs stay ({failed} or more), as they cannot be deleted from JOBRELAY_LOG_STORE now")
    return FAILED if failed else OK
