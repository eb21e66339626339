"""A scene: a schedule that may run once but has two Jobs before a controller runs, and a schedule to cancel."""

from dataclasses import dataclass
from typing import Any

from events.identity import request_label
from events.names import Label
from tests.e2e.observer import Observer, request
from tests.e2e.site import Site, until
from tests.patience import PATIENCE

ONCE, YEARLY = "once", "yearly"
SCRIPT = 'printf %s "$JOBRELAY_SCHEDULED_FOR" > "$JOBRELAY_RESULT_PATH"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedules:
    """How many Jobs the first schedule had `before` a controller came, and how many were `left` afterwards.

    `cron_jobs`: the request label of each CronJob that is left.
    """

    observer: Observer
    before: int
    left: int
    cron_jobs: list[str]


async def schedules(site: Site) -> Schedules:
    """A controller starts once there is a Job too many; then the other schedule is suspended, resumed and cancelled."""
    instance, patience = site.new_instance(), PATIENCE * site.patience
    async with site.observer(instance) as observer:
        async with site.relay(instance, role="controller"):
            pass  # only to declare the topology of the broker
        async with site.relay(instance, role="handler"):
            once = request(ONCE, SCRIPT, image=site.image, schedule="* * * * *", maxRuns=1)
            for message_id in ("one", "two"):
                await observer.publish(once, message_id=message_id)
            await observer.publish(request(YEARLY, image=site.image, schedule="0 0 1 1 *", timeZone="Etc/UTC"))
            await until(lambda: _several(site, instance), seconds=max(180, patience))
            before = len(await _jobs(site, instance))
            async with site.relay(instance, role="controller"):
                await observer.reached(ONCE, "unscheduled", seconds=patience)
                for verb in ("suspend", "resume", "cancel"):
                    await observer.command(verb, YEARLY)
                    await observer.reached(f"{verb}-{YEARLY}", "accepted", seconds=patience)
                await observer.reached(YEARLY, "unscheduled", seconds=patience)
                await until(lambda: _only_one(site, instance), seconds=patience)
                # Its event comes before its finalizer is dropped, and only this controller drops it.
                await until(lambda: _is_gone(site, instance, YEARLY), seconds=patience)
    return Schedules(
        observer=observer,
        before=before,
        left=len(await _jobs(site, instance)),
        cron_jobs=await _cron_jobs(site, instance),
    )


async def _cron_jobs(site: Site, instance: str) -> list[str]:
    found = await site.cluster.list_cron_jobs(site.namespace, f"{Label.INSTANCE}={instance}")
    return [cron_job["metadata"]["labels"][Label.REQUEST] for cron_job in found]


async def _is_gone(site: Site, instance: str, request_id: str) -> bool:
    return request_label(request_id) not in await _cron_jobs(site, instance)


async def _jobs(site: Site, instance: str) -> list[dict[str, Any]]:
    selector = f"{Label.INSTANCE}={instance},{Label.SCHEDULE}={request_label(ONCE)}"
    return await site.cluster.list_jobs(site.namespace, selector)


async def _several(site: Site, instance: str) -> bool:
    return len(await _jobs(site, instance)) > 1


async def _only_one(site: Site, instance: str) -> bool:
    return len(await _jobs(site, instance)) == 1
