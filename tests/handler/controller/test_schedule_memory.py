"""What a leader keeps in memory about schedules."""

from typing import cast

from handler.controller.schedules import NO_OWNER, Schedules
from handler.settings.settings import Settings
from k8s.api.cluster import Cluster
from k8s.informer.informer import JobCache
from k8s.informer.jobs import Contents
from k8s.informer.schedules import ScheduleCache
from tests.events.samples import make_job
from tests.handler.parts import make_services, make_term


async def test_nothing_is_kept_about_a_schedule_whose_runs_are_gone() -> None:
    contents = Contents()
    services = make_services(cast("Cluster", None), Settings.model_validate({"namespaces": ("jobs",)}))
    schedules = Schedules(services, make_term(JobCache(contents, ScheduleCache(), {})))
    for schedule in ("mail-a", "mail-b", None):
        run = make_job(name="mail-1", has_finalizer=True, run="2026-01-01T00:00:00Z", schedule=schedule)
        key, owner = (run.namespace, run.name), (run.namespace, schedule or NO_OWNER)
        contents.put_job(run)
        schedules.changed([key])
        assert schedules._runs == {owner: {key}}
        contents.drop_job(key)
        schedules.changed([key])
        await schedules._look(owner)
        assert schedules._runs == {}
