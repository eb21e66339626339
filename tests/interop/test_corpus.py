"""The corpus itself: large enough, and such that one event is not taken for another."""

import pytest
import yaml

from tests.interop.corpus import NATS, PRODUCERS, RABBITMQ, events, rows

LEAST = 45
each_broker = pytest.mark.parametrize("broker", [NATS, RABBITMQ])


def test_the_corpus_holds_enough_events_of_each_fate_on_both_brokers() -> None:
    assert len(rows()) >= LEAST
    for broker in (NATS, RABBITMQ):
        codes = [event.outcome.code for event in events(broker) if event.outcome.runs is None]
        assert len(events(broker)) - len(codes) >= LEAST / 2
        assert {"INVALID_EVENT", "INVALID_REQUEST", "NO_FUNCTION"} <= set(codes)


def test_every_producer_names_where_its_shapes_are_documented() -> None:
    for path in PRODUCERS.glob("*.yaml"):
        document = yaml.safe_load(path.read_text())
        assert document["producer"], path.name
        assert document["documented"], path.name
        assert "://" not in document["documented"], f"{path.name}: names, no addresses"


@each_broker
def test_events_are_told_apart_by_their_ids_and_their_bodies(broker: str) -> None:
    taken = [event.attributes["id"] for event in events(broker) if event.outcome.taken]
    refused = [event.body for event in events(broker) if event.outcome.runs is None]
    assert len(set(taken)) == len(taken)
    assert len(set(refused)) == len(refused)


@each_broker
def test_every_refusal_says_something(broker: str) -> None:
    assert [event.name for event in events(broker) if event.outcome.runs is None and not event.outcome.says] == []
