"""Claims about how long to wait before connecting again."""

from adapters.pauses import LONGEST_SECONDS, SHORTEST_SECONDS, Pauses


def test_pauses_grow_while_connections_do_not_last() -> None:
    pauses = Pauses()
    waited = [pauses.after(0.1) for _ in range(8)]
    assert SHORTEST_SECONDS / 2 <= waited[0] <= SHORTEST_SECONDS
    assert all(LONGEST_SECONDS / 2 <= pause <= LONGEST_SECONDS for pause in waited[-3:])
    assert sum(waited) > 20


def test_there_is_no_pause_after_a_connection_that_lasted_and_the_next_is_short() -> None:
    pauses = Pauses()
    for _ in range(8):
        pauses.after(0.1)
    assert pauses.after(3600) == 0
    assert pauses.after(0.1) <= SHORTEST_SECONDS
