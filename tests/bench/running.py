"""A run of the benchmark on one API server: its brokers, and the parts that are measured there."""

import asyncio
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.servers.process import ServerFailed
from adapters.servers.release import chosen
from tests.bench.bench import API_SERVER, AT_ONCE, BROKERS, ROOMY, Bench, Size, bench
from tests.bench.load.jobs import Jobs
from tests.bench.parts.parts import PARTS
from tests.bench.report.figures import OWN, REAL, Figures
from tests.bench.report.machine import broker_of, machine
from tests.bench.report.rows import Row
from tests.e2e.site import NATS, VARIABLES, Site, on_broker, site

NOT_BEGUN, BROKEN_OFF = "not begun", "broken off"
CLEAR_SECONDS = 300.0
"""How long deleting the Jobs of a part that ended early may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`environ`: names the servers. `only`: the parts that are wanted. `against`: a checkout of another version."""

    server: str
    size: Size
    environ: Mapping[str, str]
    directory: Path
    only: Sequence[str] = ()
    against: Path | None = None

    def parts(self, broker: str) -> list[str]:
        """What is measured with this broker."""
        whole = [name for name, part in PARTS.items() if self.server == OWN or (part.real and broker == NATS)]
        return [name for name in self.only or whole if broker in PARTS[name].brokers]


def environs(environ: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """What each API server is measured with: our own, and that of KUBECONFIG if it is given."""
    without = {name: value for name, value in environ.items() if name != "KUBECONFIG"}
    return {OWN: without, **({REAL: dict(environ)} if environ.get("KUBECONFIG") else {})}


async def measure(run: Run, figures: Figures) -> None:
    """Add to `figures` what is found as it is found; progress goes to standard error.

    Whatever ends this early, `figures.missing` says which parts are not complete, and why. Raises `Exception` for
    what was no part's.
    """
    brokers = {broker: run.parts(broker) for broker in BROKERS}
    figures.missing |= {_title(name, broker): NOT_BEGUN for broker, names in brokers.items() for name in names}
    known: list[str] = []
    errors: list[Exception] = []
    async with site(run.directory, run.environ, api_server=API_SERVER, broker=None) as cluster:
        for broker, names in brokers.items():
            if not names or not _is_there(broker, run.environ, figures):
                continue
            try:
                await _with(broker, cluster, run, figures, known)
            except Exception as error:  # noqa: BLE001 - raised below: the other broker is measured all the same
                errors.append(error)
    if errors:
        raise ExceptionGroup("something did not start, or was not cleared away", errors)


async def _with(broker: str, cluster: Site, run: Run, figures: Figures, known: list[str]) -> None:
    """`known`: the brokers with their versions, to which this one is added."""
    async with on_broker(cluster, run.environ, broker) as found:
        known.append(await broker_of(found))
        figures.machine = await machine(cluster, known, run.size, run.against)
        there = await _bench(found, run)
        for name in run.parts(broker):
            await _part(name, there, figures)


async def _bench(found: Site, run: Run) -> Bench:
    """`found` with the settings of the benchmark, and beside it the same with the other version."""
    ours = replace(found, settings={**AT_ONCE, **(ROOMY if found.own_broker else {})})
    before = None if run.against is None else replace(ours, program=program_of(run.against))
    return await bench(ours, run.size, before=before)


async def _part(name: str, where: Bench, figures: Figures) -> None:
    """Whatever ends a part early, the others are measured all the same: together they take long."""
    title, known = _title(name, where.site.broker), len(where.site.instances)
    figures.missing[title] = BROKEN_OFF
    limit = asyncio.timeout(PARTS[name].seconds)
    with _timed(title):
        try:
            async with limit:
                async for found in PARTS[name].measure(where):
                    if isinstance(found, Row):
                        before = f" (before: {found.before})" if found.before else ""
                        _say(f"{name}: {found.what}: {found.result}{before}")
                    figures.add(found)
        except Exception as raised:  # noqa: BLE001 - said here, on the page, and by the exit code
            error = _first(raised)
            late = f"not ended after {PARTS[name].seconds:g} s"
            figures.missing[title] = late if limit.expired() else _reason(error)
            _say(f"incomplete: {title}: {figures.missing[title]}")
            traceback.print_exception(error)
            await _clear(where.site, where.site.instances[known:])
        else:
            del figures.missing[title]


async def _clear(found: Site, instances: Sequence[str]) -> None:
    """Delete the Jobs of these installations: the next part makes Jobs of the same names."""
    try:
        async with asyncio.timeout(CLEAR_SECONDS):
            for instance in instances:
                await Jobs(found).clear(instance)
    except Exception:  # noqa: BLE001 - the next part says if it cannot be measured for that
        traceback.print_exc()


@contextmanager
def _timed(title: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        _say(f"{title} took {time.monotonic() - begun:.0f} s")


def _title(name: str, broker: str) -> str:
    return f"{name} on {BROKERS[broker]}"


def _first(error: Exception) -> Exception:
    """Of many that go wrong at a time, one says what there is to know."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: Exception) -> str:
    """Its kind, and the first line of what it says."""
    first, _, _ = str(error).partition("\n")
    return f"{type(error).__name__}{f' ({first})' if first else ''}"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _is_there(broker: str, environ: Mapping[str, str], figures: Figures) -> bool:
    """NATS always is."""
    if broker == NATS or environ.get(VARIABLES[broker]):
        return True
    try:
        return bool(chosen().program())
    except ServerFailed:
        reason = "no RABBITMQ_URL, and no rabbitmq-server"
        figures.missing |= {title: reason for title in figures.missing if title.endswith(BROKERS[broker])}
        _say(f"RabbitMQ is not measured: {reason}")
        return False


def program_of(checkout: Path) -> list[str]:
    """The command `jobrelay` of a checkout. Raises `SystemExit`, with the reason, if it would run other code."""
    where = checkout.resolve()
    python = where / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{where} has no .venv: run `make .venv/.ready` there")
    command = [str(python), "-P", "-c", "import handler; print(handler.__file__)"]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(code).is_relative_to(where):
        raise SystemExit(f"{where}/.venv runs the code of {code}")
    return [str(python), "-P", "-c", "import sys; from handler.cli.main import main; sys.exit(main())"]
