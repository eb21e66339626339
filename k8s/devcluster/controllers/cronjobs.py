"""The CronJob controller: notes which CronJobs to reconcile, and when. How that works is in cronpass.py."""

import asyncio
import logging
from dataclasses import dataclass

from k8s.devcluster.controllers.cronpass import CronJobPass, timetable
from k8s.devcluster.controllers.crontimes import Clock, NeverDue
from k8s.devcluster.controllers.owners import Owners, Ref, controller_of, current
from k8s.devcluster.controllers.workqueue import WorkQueue
from k8s.devcluster.errors import ApiError
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    uid: str
    schedule: str
    zone: str | None


class CronJobController:
    """`observe` notes which CronJobs have changed; `run` reconciles them, at once and whenever a run is due."""

    def __init__(self, store: Store, owners: Owners, *, clock: Clock) -> None:
        self._store = store
        self._owners = owners
        self._clock = clock
        self._queue: WorkQueue[Ref] = WorkQueue()
        self._plans: dict[Ref, _Plan] = {}

    def observe(self, resource: str, obj: Obj, *, gone: bool = False) -> None:
        if resource == "cronjobs":
            self._observe_cron_job(obj, gone=gone)
        elif resource == "jobs":
            owner = controller_of(obj)
            if owner is not None and owner["kind"] == "CronJob":
                self._queue.add(("cronjobs", obj["metadata"]["namespace"], owner["name"]))

    async def run(self) -> None:
        while True:
            ref = await self._queue.get()
            try:
                self._reconcile(ref)
            except Exception:  # A bad CronJob must not stop the others.
                logger.exception("cannot process %s %s/%s", *ref)
                self._queue.retry(ref)
            await asyncio.sleep(0)

    def _observe_cron_job(self, cron_job: Obj, *, gone: bool) -> None:
        metadata, spec = cron_job["metadata"], cron_job["spec"]
        ref = ("cronjobs", metadata["namespace"], metadata["name"])
        if gone:
            self._plans.pop(ref, None)
            return
        plan = _Plan(metadata["uid"], spec["schedule"], spec.get("timeZone"))
        before = self._plans.get(ref)
        self._plans[ref] = plan
        changed = before is not None and before.uid == plan.uid and before != plan
        self._queue.add(ref, delay=self._until_due(cron_job) if changed else 0.0)

    def _until_due(self, cron_job: Obj) -> float:
        """Seconds until a changed schedule is due. It counts from now on: earlier times are not made up for."""
        try:
            return self._clock.wait(timetable(cron_job, self._clock).upcoming(self._clock.now()))
        except NeverDue:
            return 0.0

    def _reconcile(self, ref: Ref) -> None:
        cron_job = current(self._store, ref)
        if cron_job is None:
            self._queue.forget(ref)
            return
        look = CronJobPass(self._store, self._owners, cron_job=cron_job, clock=self._clock)
        try:
            again = look.make()
        except ApiError as error:
            logger.info("cron job %s/%s: %s", ref[1], ref[2], error.message)
            self._queue.retry(ref)
        else:
            self._queue.forget(ref)
            if again is not None:
                self._queue.add(ref, delay=again)
