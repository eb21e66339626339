"""What still holds after jobrelay was stopped, was killed, or did not run. Holds on any cluster and broker."""

import pytest

from events.names import FINALIZER
from tests.e2e.confined import Confined
from tests.e2e.conftest import Stage, each_broker
from tests.e2e.kueue import Kueue
from tests.e2e.observer import TERMINAL, Observer, detail, phase
from tests.e2e.scenes import Downtime, Drain, Measured, Takeover
from tests.patience import within

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]


def ended_once(observer: Observer, request_id: str) -> bool:
    """Whether there is exactly one terminal event, not counting repeats of its id."""
    ids = {e.get_id() for e in observer.events if e.get_subject() == request_id and phase(e) in TERMINAL}
    return len(ids) == 1


@pytest.mark.stricter
@each_broker
async def test_sigterm_drains_and_exits_0_and_nothing_is_lost(stage: Stage) -> None:
    found: Drain = await stage.scene("drain")
    assert found.exit_code == 0
    assert found.seconds < within(20)
    assert all(ended_once(found.observer, name) for name in found.requests)
    expected = ["created", "started", "succeeded"]
    assert [found.observer.phases(name) for name in found.requests] == [expected] * len(found.requests)


@each_broker
async def test_result_and_exit_code_arrive_once_even_if_jobrelay_was_down_when_the_jobs_ended(stage: Stage) -> None:
    found: Downtime = await stage.scene("downtime")
    assert found.exit_codes == {0}
    ends, breaks = [detail(await found.observer.ended(name)) for name in ("ends", "breaks")]
    assert (ends["result"], ends["exitCode"]) == ({"seven": 7}, 0)
    assert (breaks["logTail"], breaks["exitCode"]) == ("no\n", 7)
    assert ended_once(found.observer, "ends")
    assert ended_once(found.observer, "breaks")


async def test_a_finished_job_has_no_time_to_live_before_its_end_is_published(stage: Stage) -> None:
    found: Downtime = await stage.scene("downtime")
    for job in found.jobs.values():
        assert FINALIZER in job["metadata"]["finalizers"]
        assert "ttlSecondsAfterFinished" not in job["spec"]


async def test_a_job_deleted_while_jobrelay_was_down_is_cancelled_once(stage: Stage) -> None:
    found: Downtime = await stage.scene("downtime")
    assert detail(await found.observer.ended("goes"))["error"]["errorCode"] == "DELETED"
    assert found.observer.phases("goes") == ["created", "started", "cancelled"]
    assert ended_once(found.observer, "goes")


@pytest.mark.stricter
async def test_one_of_several_processes_leads_and_another_takes_over(stage: Stage) -> None:
    found: Takeover = await stage.scene("takeover")
    print(f"takeover: {found.after_sigterm:.1f} s after SIGTERM, {found.after_kill:.1f} s after kill -9")
    assert found.leaders_at_once == 1
    assert found.exit_code == 0
    assert found.after_sigterm <= within(2)
    assert found.after_kill <= within(15)
    for name in ("second-term", "third-term"):
        assert found.observer.phases(name) == ["created", "started", "succeeded"]


async def test_usage_of_a_running_job_is_reported_in_order_and_with_stable_ids(stage: Stage) -> None:
    found: Measured = await stage.scene("measured")
    if found.why_not:
        pytest.skip(f"the cluster serves no metrics.k8s.io: {found.why_not}")
    phases = found.observer.phases("busy")
    assert (phases[:2], set(phases[2:-1]), phases[-1]) == (["created", "started"], {"progress"}, "cancelled")
    progress = [event for event in found.observer.of("busy") if phase(event) == "progress"]
    for event in progress:
        uid = str(found.observer.of("busy")[0].get_id()).partition("/")[0]
        time = event.get_time()
        assert time is not None
        assert event.get_id() == f"{uid}/progress/{time:%Y-%m-%dT%H:%M:%SZ}"
    peaks = [detail(event)["peaks"] for event in progress]
    assert peaks == sorted(peaks, key=lambda peak: (peak["cpu"], peak["memory"]))
    assert peaks[-1]["cpu"] > 0.1
    assert peaks[-1]["memory"] > 0
    usage = detail(await found.observer.ended("busy"))["usage"]
    assert usage["samples"] >= len(progress)
    assert usage["peaks"]["cpu"] >= peaks[-1]["cpu"]


async def test_default_jobs_are_admitted_where_pod_security_restricted_is_enforced(stage: Stage) -> None:
    found = await confined(stage)
    for name in found.admitted:
        assert found.observer.phases(name)[-1] == "succeeded"
        assert "stalled" not in found.observer.phases(name)


async def test_a_job_whose_pods_a_quota_forbids_stalls_and_says_why(stage: Stage) -> None:
    observer = (await confined(stage)).observer
    assert observer.phases("blocked") == ["created", "stalled", "cancelled"]
    error = detail(await observer.reached("blocked", "stalled"))["error"]
    assert error["errorCode"] == "QUOTA"
    assert "exceeded quota: none" in error["message"]


async def test_a_job_that_kueue_evicts_runs_again_and_succeeds(stage: Stage) -> None:
    found = await kueue(stage)
    assert found.queue == "e2e"
    events = {phase(event): event for event in found.observer.of("moved")}
    assert list(events) == ["created", "queued", "started", "suspended", "resumed", "succeeded"]
    assert detail(events["queued"])["reason"] == "kueue"
    assert [detail(events[name])["by"] for name in ("suspended", "resumed")] == ["kueue", "kueue"]
    assert ended_once(found.observer, "moved")


async def test_cancel_of_a_job_in_kueue_deletes_it(stage: Stage) -> None:
    observer = (await kueue(stage)).observer
    assert observer.phases("dropped") == ["created", "queued", "started", "cancelled"]
    assert detail(await observer.ended("dropped"))["error"]["errorCode"] == "CANCELLED"
    (answer,) = observer.of("cancel-dropped")
    assert answer.get_type() == "dev.jobrelay.control.accepted"


async def kueue(stage: Stage) -> Kueue:
    found: Kueue | str = await stage.scene("kueue")
    if isinstance(found, str):
        pytest.skip(found)
    return found


async def confined(stage: Stage) -> Confined:
    found: Confined | str = await stage.scene("confined")
    if isinstance(found, str):
        pytest.skip(found)
    return found
