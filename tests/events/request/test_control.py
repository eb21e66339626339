"""Control events and the answers to them."""

import pytest

from events.cloudevent.attributes import shown
from events.problems import InvalidRequest
from events.request.control import (
    ABOUT_LETTERS,
    ControlVerb,
    Letter,
    accepted,
    control_key,
    parse_control,
    refused,
)
from tests.events.samples import make_event


@pytest.mark.parametrize("verb", list(ControlVerb))
def test_command_is_the_last_word_of_the_type(verb: ControlVerb) -> None:
    subject = "12" if verb in ABOUT_LETTERS else "r1"
    event = make_event(type=f"dev.jobrelay.control.{verb}", subject=subject, id="c1", source="/ops")
    command = parse_control(event)
    assert (command.verb, command.subject, command.event_id, command.source) == (verb, subject, "c1", "/ops")
    assert command.letter == (Letter(12, None) if verb in ABOUT_LETTERS else None)
    assert command.request_source is None
    assert command.event is event


def test_request_source_is_the_extension_requestsource() -> None:
    event = make_event(type="dev.jobrelay.control.cancel", subject="r1", requestsource="/shop")
    assert parse_control(event).request_source == "/shop"


@pytest.mark.parametrize("type_", ["dev.jobrelay.control.explode", "dev.jobrelay.control.", "cancel.x", "com.example"])
def test_unknown_type_is_refused_naming_the_known_types(type_: str) -> None:
    with pytest.raises(InvalidRequest, match=r"dev\.jobrelay\.control\.suspend"):
        parse_control(make_event(type=type_, subject="r1"))


def test_every_error_of_a_command_is_reported_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_control(make_event(requestsource=5, jobname=True))
    assert [error.path for error in caught.value.errors] == ["type", "subject", "requestsource", "jobname"]


def test_a_command_may_name_one_of_several_jobs() -> None:
    event = make_event(type="dev.jobrelay.control.cancel", subject="r1", jobname="mail-abc", jobnamespace="jobs")
    command = parse_control(event)
    assert (command.job_name, command.job_namespace) == ("mail-abc", "jobs")


def test_a_command_may_say_which_letter_is_meant() -> None:
    event = make_event(type="dev.jobrelay.control.drop", subject="12", letterdigest="0" * 32)
    assert parse_control(event).letter == Letter(12, "0" * 32)


@pytest.mark.parametrize("subject", ["", "r1", "-1", "1.0", "\u0663", "1" * 20, None])
@pytest.mark.parametrize("digest", [5, "", "A" * 32, "0" * 31, "0" * 33])
def test_a_command_about_no_letter_is_refused(subject: str | None, digest: object) -> None:
    event = make_event(type="dev.jobrelay.control.replay", subject=subject, letterdigest=digest)
    with pytest.raises(InvalidRequest) as caught:
        parse_control(event)
    assert [error.path for error in caught.value.errors] == ["subject", "letterdigest"]


def test_the_answer_to_a_run_names_the_run() -> None:
    command = parse_control(make_event(type="dev.jobrelay.control.run", subject="s"))
    answer = accepted(command, instance="jobrelay", jobs=["s-abc"], source="/shop", run="s@2026-11-21T12:00:05Z")
    detail = {"verb": "run", "subject": "s", "jobs": ["s-abc"], "run": "s@2026-11-21T12:00:05Z"}
    assert answer.get_data() == {"id": "e1", "status": None, "detail": detail}


def test_accepted_answers_with_the_jobs() -> None:
    event = make_event(type="dev.jobrelay.control.cancel", subject="r1", id="c1", traceparent="00-aa-bb-01")
    answer = accepted(parse_control(event), instance="team-a", jobs=["mail-abc"], source="/shop")
    assert answer.get_type() == "dev.jobrelay.control.accepted"
    assert answer.get_source() == "/jobrelay/team-a"
    assert (answer.get_subject(), answer.get_extension("causationid")) == ("c1", "c1")
    assert answer.get_extension("traceparent") == "00-aa-bb-01"
    assert answer.get_extension("requestsource") == "/shop"
    assert answer.get_data() == {
        "id": "c1",
        "status": None,
        "detail": {"verb": "cancel", "subject": "r1", "jobs": ["mail-abc"]},
    }


def test_refused_answers_with_the_error() -> None:
    command = parse_control(make_event(type="dev.jobrelay.control.resume", subject="r1"))
    answer = refused(command, instance="jobrelay", code="UNKNOWN", message="no Job")
    assert answer.get_type() == "dev.jobrelay.control.rejected"
    assert answer.get_data() == {
        "id": "e1",
        "status": 99,
        "detail": {"error": {"errorCode": "UNKNOWN", "message": "no Job"}, "verb": "resume", "subject": "r1"},
    }


@pytest.mark.parametrize(("named", "echoed"), [("ada@example.com", "ada@example.com"), (5, None), (None, None)])
def test_answers_say_who_asked(named: object, echoed: object) -> None:
    command = parse_control(make_event(type="dev.jobrelay.control.cancel", subject="r1", actor=named))
    for answer in (
        accepted(command, instance="jobrelay", jobs=["job"], source="/shop"),
        refused(command, instance="jobrelay", code="FINISHED", message=""),
        refused(command.event, instance="jobrelay", code="INVALID_REQUEST", message=""),
    ):
        assert answer.get_extension("actor") == echoed


def test_event_that_is_no_command_can_be_refused_too() -> None:
    answer = refused(make_event(id="c1"), instance="jobrelay", code="INVALID_REQUEST", message="type is no control")
    assert answer.get_subject() == "c1"
    assert "verb" not in str(answer.get_data())


def test_a_refusal_names_the_source_that_was_found_else_the_one_asked_for() -> None:
    def named(found: str | None = None, **asked: object) -> object:
        event = make_event(type="dev.jobrelay.control.cancel", subject="r1", **asked)
        answer = refused(event, instance="jobrelay", code="FINISHED", message="", source=found)
        return answer.get_extension("requestsource")

    assert named() is None
    assert named("/shop") == "/shop"
    assert named(requestsource="/shop/ä") == "/shop/ä"
    assert named(requestsource=5) is None


def test_answers_to_one_event_share_an_id_and_those_to_different_events_differ() -> None:
    def answer_id(**attributes: str) -> str:
        return refused(make_event(**attributes), instance="jobrelay", code="X", message="").get_id()

    assert answer_id() == answer_id()
    assert len({answer_id(), answer_id(id="e2"), answer_id(source="/other")}) == 3


def test_topic_of_the_answer_is_that_of_the_control_event() -> None:
    assert control_key("a.b", "accepted") == "_control.a%2Eb.accepted"


def test_shown_values_are_short_and_printable() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 500)) == 80
