"""A schedule runs as often as allowed, each time as a request of its own. Holds on any cluster and broker."""

import pytest

from events.identity import request_label
from tests.e2e.conftest import Stage, each_broker
from tests.e2e.observer import detail
from tests.e2e.schedules import ONCE, YEARLY, Schedules

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]


@each_broker
async def test_of_two_jobs_created_while_no_controller_ran_only_the_first_is_a_run(stage: Stage) -> None:
    found: Schedules = await stage.scene("schedules")
    assert found.before > 1
    assert found.left == 1
    observer = found.observer
    assert observer.phases(ONCE) == ["scheduled", "unscheduled"]
    assert detail(observer.of(ONCE)[1])["runs"] == 1
    (run,) = {str(event.get_subject()) for event in observer.events} & {
        f"{ONCE}@{detail(event).get('scheduledFor')}" for event in observer.events
    }
    assert observer.phases(run) == ["created", "started", "succeeded"]
    end = observer.of(run)[-1]
    assert detail(end)["result"] == run.partition("@")[2]
    assert dict(end.get_attributes())["causationid"] == f"event-{ONCE}"


@each_broker
async def test_a_schedule_is_suspended_resumed_and_cancelled(stage: Stage) -> None:
    found: Schedules = await stage.scene("schedules")
    assert found.observer.phases(YEARLY) == ["scheduled", "unscheduled"]
    assert detail(found.observer.of(YEARLY)[1])["runs"] == 0
    # The CronJob of the first schedule stays, so that a repeat of its request finds it.
    assert found.cron_jobs == [request_label(ONCE)]
