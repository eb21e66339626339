"""The proxies see every request once, complete and with the right name, and the trap springs at the right call."""

import pytest
from pamqp import commands, frame, header, heartbeat
from pamqp.body import ContentBody

from tests.chaos.calls import Call, Ledger, When
from tests.chaos.table import Rows, judged, markdown
from tests.chaos.wires import AmqpWire, NatsWire, Wire

NATS_TALK = (
    b'CONNECT {"verbose": false}\r\n'
    b"SUB _INBOX.abc.* 1\r\n"
    b"PING\r\n"
    b"PUB jobrelay.requests _INBOX.abc.x 7\r\nPUB a 1\r\n"
    b"HPUB jobrelay.lifecycle.a 14 16\r\nNATS/1.0\r\n\r\n\r\nhi\r\n"
    b"PUB $JS.ACK.JOBRELAY_REQUESTS.jobrelay-normal.1.5.5.1690000000.0 4\r\n+ACK\r\n"
)
NATS_CALLS = [
    ("CONNECT", ""),
    ("SUB", "_INBOX"),
    ("PUB", "jobrelay.requests"),
    ("HPUB", "jobrelay.lifecycle.a"),
    ("PUB", "$JS.ACK.JOBRELAY_REQUESTS.jobrelay-normal.+ACK"),
]
BODY = b"x" * 300
AMQP_TALK = b"".join(
    [
        b"AMQP\x00\x00\x09\x01",
        frame.marshal(commands.Channel.Open(), 1),
        frame.marshal(heartbeat.Heartbeat(), 0),
        frame.marshal(commands.Basic.Publish(exchange="jobrelay.lifecycle", routing_key="a.b.created"), 1),
        frame.marshal(header.ContentHeader(body_size=len(BODY)), 1),
        frame.marshal(ContentBody(BODY[:100]), 1),
        frame.marshal(ContentBody(BODY[100:]), 1),
        frame.marshal(commands.Basic.Publish(exchange="", routing_key="q"), 1),
        frame.marshal(header.ContentHeader(body_size=0), 1),
        frame.marshal(commands.Basic.Ack(delivery_tag=7), 1),
    ]
)
AMQP_CALLS = [
    ("protocol", ""),
    ("channel.open", ""),
    ("basic.publish", "jobrelay.lifecycle a.b.created"),
    ("basic.publish", "q"),
    ("basic.ack", ""),
]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("wire", "talk", "calls"), [(NatsWire, NATS_TALK, NATS_CALLS), (AmqpWire, AMQP_TALK, AMQP_CALLS)]
)
def test_what_a_client_sends_is_cut_into_requests_however_it_arrives(
    wire: type[Wire], talk: bytes, calls: list[tuple[str, str]], size: int
) -> None:
    made = wire()
    pieces = [piece for start in range(0, len(talk), size) for piece in made.feed(talk[start : start + size])]
    assert [(piece.verb, piece.path) for piece in pieces if piece.verb] == calls
    assert b"".join(piece.data for piece in pieces) == talk


def _noted(ledger: Ledger) -> Call:
    return ledger.note(by="both", where="api", verb="POST", path="/jobs")


def test_a_trap_springs_once_at_its_moment_of_its_call() -> None:
    ledger, struck = Ledger(), list[Call]()
    early = ledger.note(by="both", where="api", verb="GET", path="/jobs")
    ledger.begin(number=1, when=When.AFTER, act=struck.append)
    first, second = _noted(ledger), _noted(ledger)
    assert not ledger.strikes(early, When.AFTER), "it is from an earlier count"
    assert not ledger.strikes(second, When.AFTER)
    assert not ledger.strikes(first, When.BEFORE)
    assert ledger.aims_at(first, When.AFTER)
    assert not struck
    assert ledger.strikes(first, When.AFTER)
    assert not ledger.strikes(first, When.AFTER)
    assert struck == [first] == [ledger.struck]


def test_a_table_shows_every_row_and_which_do_not_hold() -> None:
    rows = Rows()
    rows.add("kill", "nats", done="twice", outcome="3 repeated")
    good = judged("a", rows.cells, passed=True)
    bad = judged("b", [["cut", "nats", "once", ""]], passed=False)
    assert good == [["kill", "nats", "twice", "holds; 3 repeated"]]
    assert judged("c", [], passed=False) == [["c", "", "", "**does not hold**"]]
    lines = markdown([*good, *bad])
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["cut", "kill"]
    assert "does not hold" in lines[2]
    assert markdown([]) == []
