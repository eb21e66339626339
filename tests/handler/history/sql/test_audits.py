"""Pages of actions, the same on every database."""

from collections.abc import AsyncIterator, Sequence

import pytest

from handler.history.base import Action, BadCursor, Store, WantedActions
from handler.history.sql import audits
from tests.handler.history.sql.entries import BROKER, batch
from tests.handler.history.stores import KINDS, opened

ACTIONS = [
    Action(
        id=f"action {number:02}",
        time=1000.0 + number // 5,
        actor=("ada", "grace")[number % 2],
        verb=("cancel", "suspend", "run")[number % 3],
        request_id=f"task {number % 4}",
        outcome="accepted" if number % 7 else "rejected",
        code=None,
    )
    for number in range(20)
]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with opened(str(request.param)) as made, made.writing() as writer:
        await writer.add(batch(1, actions=ACTIONS), broker=BROKER, after=None)
        yield made


async def paged(store: Store, wanted: WantedActions, *, limit: int) -> Sequence[Action]:
    """All of them, a page after the other."""
    page = await store.actions(wanted, limit=limit)
    found = list(page.actions)
    while page.next is not None:
        page = await store.actions(wanted, limit=limit, after=page.next)
        assert len(page.actions) <= limit
        found += page.actions
    return found


@pytest.mark.parametrize("limit", [1, 3, 5, 20, 50])
async def test_no_action_is_left_out_where_several_have_the_same_time(store: Store, limit: int) -> None:
    assert await paged(store, WantedActions(), limit=limit) == ACTIONS[::-1]


async def test_actions_are_chosen_by_all_that_is_asked(store: Store) -> None:
    for wanted in (
        WantedActions(actor="ada"),
        WantedActions(verb="run", outcome="accepted"),
        WantedActions(request="task 3", newer=1001.0, older=1003.0),
        WantedActions(actor="no\0body"),
    ):
        chosen = [
            action
            for action in ACTIONS[::-1]
            if wanted.actor in (None, action.actor)
            and wanted.verb in (None, action.verb)
            and wanted.request in (None, action.request_id)
            and wanted.outcome in (None, action.outcome)
            and (wanted.newer is None or wanted.newer <= action.time)
            and (wanted.older is None or action.time < wanted.older)
        ]
        assert await paged(store, wanted, limit=2) == chosen


async def test_a_page_looks_at_a_bounded_number_and_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "WINDOW", 3)
    first = await store.actions(WantedActions(request="task 0"), limit=5)
    assert (first.actions, first.next is None) == ([], False)
    assert await paged(store, WantedActions(request="task 0"), limit=5) == ACTIONS[16::-4]


async def test_tokens_belong_to_their_question(store: Store) -> None:
    token = (await store.actions(limit=1)).next
    assert token is not None
    for bad in ("", "A", "!", token[:-4], "B" + token[1:]):
        with pytest.raises(BadCursor):
            await store.actions(limit=1, after=bad)
    with pytest.raises(BadCursor):
        await store.actions(WantedActions(actor="ada"), limit=1, after=token)
