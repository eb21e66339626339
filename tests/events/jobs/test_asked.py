"""What `created` says of a request, from what stands on its Job."""

import json
from typing import Any

import pytest

from events.identity import Identity, job_name
from events.jobs.asked import PodRequests, asked_for
from events.jobs.queueing import Queueing
from tests.events.samples import make_job

NOTHING = {"parallelism": 1, "priority": 0}


def context(**attributes: str) -> str:
    return json.dumps({"id": "e", **attributes})


def test_all_that_was_asked_for_is_told() -> None:
    pod = PodRequests(image="busybox:1", cpu=0.5, memory=1 << 30)
    queueing = Queueing(priority=7, gpus=6)
    job = make_job(
        name=job_name("thumb", Identity("/tests", "1", "thumb")),
        request_id="thumb/1",
        context=context(type="com.example.uploaded", time="2026-11-21T22:16:57.25Z", replayof="r0"),
        asked=pod.to_text(),
        queueing=queueing.to_annotation(),
        parallelism=3,
    )
    assert asked_for(job) == {
        "type": "com.example.uploaded",
        "eventTime": "2026-11-21T22:16:57.25Z",
        "replayOf": "r0",
        "function": "thumb",
        "image": "busybox:1",
        "cpu": 0.5,
        "memory": 1 << 30,
        "gpus": 2,
        "parallelism": 3,
        "priority": 7,
    }


def test_id_with_a_slash_names_no_function() -> None:
    name = job_name("thumb", Identity("/tests", "thumb/1"))
    assert "function" not in asked_for(make_job(name=name, request_id="thumb/1"))


@pytest.mark.parametrize(
    "fields",
    [
        {"context": "", "asked": ""},
        {"context": "[]", "asked": "[]", "queueing": "{"},
        {"context": context(time="soon"), "asked": '{"cpu":"much"}', "queueing": '{"gpus":-1}'},
        {"context": context(time="9999-99-99T00:00:00Z"), "asked": "\x00"},
        {"context": context(), "parallelism": 1, "queueing": None},
    ],
)
def test_what_is_missing_or_unreadable_is_absent(fields: dict[str, Any]) -> None:
    assert asked_for(make_job(**fields)) == NOTHING


def test_job_of_no_pods_tells_so() -> None:
    asked = asked_for(make_job(parallelism=0, context="", queueing=Queueing(gpus=2).to_annotation()))
    assert asked == {"gpus": 2, "parallelism": 0, "priority": 0}


def test_long_texts_are_cut() -> None:
    asked = asked_for(make_job(context=context(type="t" * 1000, replayof="r" * 1000)))
    assert (asked["type"], asked["replayOf"]) == ("t" * 512, "r" * 512)
