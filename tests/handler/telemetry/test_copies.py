"""Streams and queues with too few replicas are told of once, together, and with what to run."""

import logging

import pytest

from adapters.base import Replicas
from handler.telemetry.copies import Copies
from handler.telemetry.metrics import Metrics


def replicas(number: int, *, members: int = 1, online: int | None = None, wanted: int = 3) -> list[Replicas]:
    remedy = f"grow --to {wanted}" if members < wanted else ""
    up = members if online is None else online
    return [
        Replicas(store=f"queue q{one}", members=members, online=up, wanted=wanted, remedy=remedy)
        for one in range(number)
    ]


def test_what_all_lack_is_one_line_and_told_once_until_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    copies = Copies(Metrics())
    copies.seen("rabbitmq", replicas(13, members=3))
    assert (copies.notes, caplog.messages) == ([], [])
    for _ in range(3):
        copies.seen("rabbitmq", replicas(13))
    line = (
        "broker rabbitmq: 1 replica where there should be 3: queue q0, queue q1, queue q2 and 10 more; run: grow --to 3"
    )
    assert (copies.notes, caplog.messages) == ([line], [line])
    copies.unknown("rabbitmq", "timeout")
    assert copies.notes == [line, "broker rabbitmq: its replicas are not known now: timeout"]
    for _ in range(2):
        copies.seen("rabbitmq", replicas(13, members=3))
    assert copies.notes == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records[1:]] == [
        ("INFO", "broker rabbitmq: its streams and queues have as many replicas as they should")
    ]


def test_replicas_that_are_away_are_noted() -> None:
    copies = Copies(Metrics())
    copies.seen("nats", [*replicas(1, members=3, online=2), *replicas(2, members=2, wanted=3)[1:]])
    assert copies.notes == [
        "broker nats: 2 replicas where there should be 3: queue q1; run: grow --to 3",
        "broker nats: 2 of 3 replicas are up: queue q0",
    ]


def test_metrics_show_each_store_for_as_long_as_it_is_there() -> None:
    metrics = Metrics()
    copies = Copies(metrics)
    copies.seen("nats", replicas(2, members=3, online=2))

    def value(name: str, number: int) -> float | None:
        labels = {"broker": "nats", "store": f"queue q{number}"}
        return metrics.registry.get_sample_value(f"jobrelay_broker_{name}", labels)

    assert (value("members", 1), value("members_online", 1), value("members_wanted", 1)) == (3, 2, 3)
    copies.seen("nats", replicas(1, members=3))
    assert (value("members_online", 0), value("members", 1), value("members_online", 1)) == (3, None, None)
