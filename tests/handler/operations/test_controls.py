"""What control events say: those of the command line, and those of people who ask through a page."""

from datetime import UTC, datetime

import pytest

from events.cloudevent.event import InvalidEvent
from handler.operations.controls import control_event


def test_names_the_request_and_its_job() -> None:
    event = control_event("cancel", "invoice-4711", "/billing", "team/invoice")
    found = {name: event.get_extension(name) for name in ("requestsource", "jobname", "jobnamespace", "actor")}
    assert found == {"requestsource": "/billing", "jobname": "invoice", "jobnamespace": "team", "actor": None}
    assert event.get_type() == "dev.jobrelay.control.cancel"
    assert event.get_subject() == "invoice-4711"


def test_each_is_a_command_of_its_own_unless_its_id_is_given() -> None:
    first, second = control_event("run", "nightly"), control_event("run", "nightly")
    assert first.get_id() != second.get_id()
    given = control_event("run", "nightly", source="/jobrelay/console", event_id="e-1")
    assert (given.get_source(), given.get_id()) == ("/jobrelay/console", "e-1")


def test_says_who_asks_which_letter_and_until_when() -> None:
    until = datetime(2026, 5, 1, 12, tzinfo=UTC)
    event = control_event("drop", "12", actor="ada@example.com", letter_digest="0a1b", expiry=until)
    found = {name: event.get_extension(name) for name in ("actor", "letterdigest", "expirytime")}
    assert found == {"actor": "ada@example.com", "letterdigest": "0a1b", "expirytime": "2026-05-01T12:00:00Z"}


def test_an_actor_that_no_attribute_can_hold_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="actor"):
        control_event("cancel", "1", actor="ada\nroot")
