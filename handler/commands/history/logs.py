"""`jobrelay history logs`: the logs that were kept of a request's pods."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from events.phases import Phase
from handler.commands.errors import FAILED, OK, Failed
from handler.commands.history.opening import chosen, opened
from handler.commands.showing.output import say
from handler.history.base import Bodies, KeptLog, PodRun, Reader, Request, Wanted
from handler.history.logs.bodies import NoLog, kept
from handler.history.logs.objects import open_bodies
from handler.operations.wording import clean
from handler.settings.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to print. `container`: only the logs of containers of this name. `tail`: only the last lines of each."""

    container: str | None
    tail: int | None


async def history_logs(
    settings: Settings,
    *,
    request_id: str,
    source: str | None,
    number: int | None,
    container: str | None,
    tail: int | None,
) -> int:
    """Print the logs of a request's pods. Returns 1 if nothing of them is kept. Raises `Failed`."""
    wish = Wish(container=container, tail=tail)
    async with opened(settings) as store, open_bodies(settings.log_store) as bodies:
        request = await run_of(store, await chosen(store, request_id, source=source, number=number))
        return OK if await print_logs(store, bodies, request, wish) else FAILED


async def run_of(store: Reader, request: Request) -> Request:
    """Of a schedule its last run, else the request itself. Raises `Failed` where it has not run."""
    if request.phase not in (Phase.SCHEDULED, Phase.UNSCHEDULED):
        return request
    runs = Wanted(text=f"{request.key.id}@", source=request.key.source)
    page = await store.page(runs, limit=1)
    if not page.requests:
        raise Failed(f"no run of schedule {request.key.id} is in the history")
    say(f"of its last run, {page.requests[0].key.id}")
    return page.requests[0]


async def print_logs(store: Reader, bodies: Bodies | None, request: Request, wish: Wish) -> bool:
    """Print what is kept and say what is not. Returns whether anything is. Raises `Failed` for an unknown container."""
    pods = [(pod, await store.logs(pod.uid)) for pod in await store.pods(request.pk)]
    _check_name(pods, wish.container, request.key.id)
    if not any(logs for _, logs in pods):
        say(f"no log of request {request.key.id} was kept")
        return False
    for pod, logs in pods:
        if not logs:
            say(f"{clean(pod.name)}: no log was kept")
    printed = [await _print_log(store, bodies, log, wish.tail) for log in _named(pods, wish.container)]
    return any(printed)


def _check_name(pods: Sequence[tuple[PodRun, Sequence[KeptLog]]], container: str | None, request_id: str) -> None:
    names = {log.container: None for _, logs in pods for log in logs}
    if container is not None and names and container not in names:
        raise Failed(f"request {request_id} has no log of a container {container}: it has {', '.join(names)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """`name`: what notes call it. `prefix`: stands before each of its lines."""

    kept: KeptLog
    name: str
    prefix: str


def _named(pods: Sequence[tuple[PodRun, Sequence[KeptLog]]], container: str | None) -> Iterator[_Log]:
    """All logs in the order to print them, their lines named as those of `jobrelay logs`."""
    several = sum(bool(logs) for _, logs in pods) > 1
    for pod, logs in pods:
        for log in logs:
            if container not in (None, log.container):
                continue
            alone = f"{clean(pod.name)}: " if several else ""
            name = f"[pod/{clean(pod.name)}/{clean(log.container)}]"
            prefix = f"{name} " if len(logs) > 1 and container is None else alone
            yield _Log(kept=log, name=name, prefix=prefix)


async def _print_log(store: Reader, bodies: Bodies | None, log: _Log, tail: int | None) -> bool:
    out = _Lines(log.prefix.encode())
    try:
        async for piece in kept(store, bodies, log.kept.pod, log.kept.container, tail=tail):
            out.write(piece)
    except NoLog as error:
        say(f"{log.name}: {clean(error)}")
        return False
    finally:
        out.end()
    return True


class _Lines:
    """Writes bytes as they are to standard output, each line after a prefix."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._fresh = True

    def write(self, piece: bytes) -> None:
        if not piece:
            return
        body, newline = (piece[:-1], b"\n") if piece.endswith(b"\n") else (piece, b"")
        first = self._prefix if self._fresh else b""
        sys.stdout.buffer.write(first + body.replace(b"\n", b"\n" + self._prefix) + newline)
        sys.stdout.buffer.flush()
        self._fresh = bool(newline)

    def end(self) -> None:
        """End a line that its container did not end."""
        if not self._fresh:
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
