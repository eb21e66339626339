"""What is rendered belongs to one Job alone: whatever is done to it, the next Job and the options stay as they were."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from events.cloudevent.event import build
from events.functions.file import parse_functions
from events.functions.functions import Call
from k8s.kueue import KueueOptions
from k8s.manifests.function import render_call
from k8s.manifests.job import Rendered, render
from k8s.manifests.options import ManifestOptions
from k8s.manifests.schedule import render_schedule
from tests.k8s.manifests.test_function import make_job
from tests.k8s.manifests.test_job import FULL
from tests.k8s.manifests.test_pod import WHOLE
from tests.k8s.requests import make_request, options

OPTIONS = {
    "plain": options(),
    "all": options(
        run_as_user=7, limits={"cpu": "1"}, kueue=KueueOptions(queue="q", classes=((0, "low"),)), default_deadline=9
    ),
    "free": options(run_as_user=None, app_label=False, governs=lambda queueing, service: True, inline_bytes=0),
}
TRACE = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
LEAST: dict[str, Any] = {"image": "busybox:1"}
WRITTEN = {"name": "thumb", "filters": [], "env": {"A": "{id}"}, "job": make_job(metadata={"annotations": {"a": "b"}})}
(FUNCTION,) = parse_functions({"functions": [WRITTEN]})
CALL = Call.of(FUNCTION, build({"specversion": "1.0", "id": "e1", "source": "/shop", "type": "t"}))
ASKED = [make_request(job=job, service="s", tags=["t"]) for job in (LEAST, FULL, {**LEAST, **WHOLE})]
REPEATED = make_request(job=LEAST, schedule="@daily")
MAKERS: dict[str, Callable[[ManifestOptions], Rendered]] = {
    "least": lambda given: render(ASKED[0], options=given),
    "full": lambda given: render(ASKED[1], options=given),
    "whole": lambda given: render(ASKED[2], options=given, trace=TRACE, reply_to="r"),
    "schedule": lambda given: render_schedule(REPEATED, options=given),
    "function": lambda given: render_call(CALL, options=given),
}


def spoil(value: Any) -> None:
    """Change every object and list in it."""
    if isinstance(value, dict):
        for inner in value.values():
            spoil(inner)
        value.clear()
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            spoil(inner)
        value[:] = ["spoilt"]


@pytest.mark.parametrize("given", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_done_to_one_manifest_changes_no_other(
    make: Callable[[ManifestOptions], Rendered], given: ManifestOptions
) -> None:
    first = make(given)
    wanted = orjson.dumps(first.job)
    spoil(first.job)
    assert orjson.dumps(first.job) != wanted
    assert orjson.dumps(make(given).job) == wanted
