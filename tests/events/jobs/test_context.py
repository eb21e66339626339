"""The stored context: what is written is what is read, and its form never changes."""

from events.jobs.annotation import MAX_STORED
from events.jobs.context import MAX_REMEMBERED, asking, context_annotation, echoes, kept_context, read_context
from tests.events.samples import make_event, make_job


def test_context_is_written_as_in_the_first_version() -> None:
    event = make_event(
        {"not": "kept"},
        subject="s",
        time="2026-11-21T13:00:00+01:00",
        correlationid=5,
        traceparent="00-a-b-01",
        tracestate="x=y",
        other="not kept",
    )
    assert context_annotation(event) == (
        '{"id":"e1","type":"com.example.made","subject":"s","time":"2026-11-21T13:00:00+01:00",'
        '"correlationid":"5","traceparent":"00-a-b-01","tracestate":"x=y"}'
    )


def test_context_is_read_as_it_was_written() -> None:
    assert read_context(context_annotation(make_event(subject="ü"))) == {
        "id": "e1",
        "type": "com.example.made",
        "subject": "ü",
    }


def test_who_asked_is_remembered_after_what_earlier_versions_wrote() -> None:
    written = context_annotation(make_event(tracestate="x=y", replayof="r0", actor="ada@example.com"))
    assert written.endswith('"replayof":"r0","tracestate":"x=y","actor":"ada@example.com"}')
    assert asking(read_context(written)) == {"actor": "ada@example.com", "replayof": "r0"}


def test_nobody_asked_where_an_annotation_names_what_is_no_text() -> None:
    assert asking(read_context('{"actor":5,"replayof":""}')) == {}
    assert asking({"actor": True, "replayof": "a\nb"}) == {}


def test_unknown_members_of_a_context_are_left_out() -> None:
    assert read_context('{"id":"e1","new":"x","subject":null}') == {"id": "e1"}


def test_of_a_long_context_the_short_attributes_are_remembered() -> None:
    event = make_event(subject="x" * 4000, correlationid="c" * MAX_REMEMBERED, tracestate="y" * (MAX_REMEMBERED + 1))
    kept = kept_context(context_annotation(event))
    assert read_context(kept) == {
        "id": "e1",
        "type": "com.example.made",
        "correlationid": "c" * MAX_REMEMBERED,
    }
    assert kept_context("x" * 262_144) == "{}"
    usual = context_annotation(make_event(correlationid="c" * 2000))
    assert kept_context(usual) is usual


def test_what_is_too_long_to_be_ours_is_neither_read_nor_repeated() -> None:
    long = "x" * MAX_STORED
    assert read_context(f'{{"id":"{long}"}}') == {}
    assert echoes(make_job(tags=f'["{long}"]', metadata=f'{{"a":"{long}"}}')) == {}
    assert echoes(make_job(tags='["a"]', metadata='{"a":1}')) == {"tags": ["a"], "metadata": {"a": 1}}
