from hypothesis import given, strategies

from handler.history.sql.packing import pack, pack_event, unpack


@given(strategies.binary(max_size=20_000))
def test_gives_back_what_was_packed(body: bytes) -> None:
    assert unpack(pack(body)) == body
    assert unpack(pack_event(body)) == body


def test_finds_in_its_dictionary_what_events_say() -> None:
    stored = (
        b'{"specversion":"1.0","type":"dev.jobrelay.job.started","datacontenttype":"application/json","subject":"a",'
        b'"id":"u/started","source":"/namespaces/default/jobs/a","data":{"id":"a","status":1,"detail":{"podName":"b"}}}'
    )
    assert len(pack_event(stored)) < len(pack(stored)) / 2


def test_reads_what_was_stored_by_the_first_program() -> None:
    assert unpack(bytes.fromhex(STORED)) == b'{"specversion":"1.0","type":"dev.jobrelay.job.started","id":"u/started"}'


STORED = "01232dfc11110b7658292c2c956a01"
