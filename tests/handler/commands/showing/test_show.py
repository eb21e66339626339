"""Events as commands print them: every number in the digits that it was sent in."""

from datetime import UTC, datetime

import pytest

from events.cloudevent.event import decode_structured
from events.names import JOB_TYPE
from handler.commands.showing.progress import Board, detail_of
from handler.commands.showing.reading import Heard
from handler.commands.showing.show import shown

RESULT = b'{"id":123456789012345678901234567890,"price":1.10}'
EVENT = (
    b'{"specversion":"1.0","id":"u/succeeded","source":"/namespaces/a/jobs/b","type":"%s.succeeded","data":{"id":"r",'
    b'"detail":{"result":%s}}}' % (JOB_TYPE.encode(), RESULT)
)


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("json", RESULT.decode()),
        ("yaml", "id: 123456789012345678901234567890"),
        ("table", f"result {RESULT.decode()}"),
    ],
)
def test_numbers_of_a_result_are_printed_as_written(
    capsys: pytest.CaptureFixture[str], form: str, printed: str
) -> None:
    heard = Heard(decode_structured(EVENT), datetime(2026, 11, 28, tzinfo=UTC))
    board = Board()
    with shown(form, board) as view:
        view(heard, board.take(heard))
    assert printed in capsys.readouterr().out
    assert detail_of(heard.event)
