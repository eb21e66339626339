"""Processes at rest, and commands that a person waits for."""

from collections.abc import AsyncIterator

from tests.bench.bench import BEFORE, OURS, Bench
from tests.bench.report.rows import Curve, Row
from tests.bench.starting.commands import HELP, SUBMIT, VERSION, Waited, commands
from tests.bench.starting.idling import idling

Found = AsyncIterator[Row | Curve]

COMMAND_AIMS = {VERSION: "≤ 0.15 s", HELP: "≤ 0.15 s", SUBMIT: "≤ 0.4 s"}


async def idle(bench: Bench) -> Found:
    used = {who: await idling(site, seconds=bench.size.idle) for who, site in bench.relays.items()}
    for process in used[OURS]:
        result, before = (f"{used[who][process] / 1e6:.0f} MB" if who in used else "" for who in (OURS, BEFORE))
        yield Row(what=f"memory of an idle {process}", result=result, before=before, aim="≤ 60 MB")


async def waited(bench: Bench) -> Found:
    took = {who: await commands(site, starts=bench.size.starts) for who, site in bench.relays.items()}
    for name, aim in COMMAND_AIMS.items():
        result, before = (_seconds(took[who][name]) if who in took else "" for who in (OURS, BEFORE))
        yield Row(what=f"`jobrelay {name}`", result=result, before=before, aim=aim)


def _seconds(found: Waited) -> str:
    return f"{found.best:.2f} s, median {found.middle:.2f} s"
