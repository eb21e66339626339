"""A run of the benchmark: each API server with each broker, and the parts that are measured there."""

import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapters.servers.process import ServerFailed
from adapters.servers.rabbitmq import executable
from tests.bench.bench import API_SERVER, AT_ONCE, ROOMY, Bench, Size, bench
from tests.bench.load.jobs import Jobs
from tests.bench.parts.parts import PARTS
from tests.bench.report.figures import OWN, REAL, Figures
from tests.bench.report.machine import broker_of, machine
from tests.bench.report.rows import Row
from tests.e2e.site import NATS, RABBITMQ, VARIABLES, Site, on_broker, site


async def measured(
    size: Size,
    environ: Mapping[str, str],
    *,
    directory: Path,
    only: Sequence[str] = (),
    against: Path | None = None,
) -> dict[str, Figures]:
    """The figures of our own API server, and of that of KUBECONFIG if it is given; progress goes to standard error.

    `only`: the parts that are wanted. `against`: a checkout of another version.
    """
    without = {name: value for name, value in environ.items() if name != "KUBECONFIG"}
    servers = {OWN: without, **({REAL: dict(environ)} if environ.get("KUBECONFIG") else {})}
    return {
        name: await _on(name, size, given, directory=directory / name, only=only, against=against)
        for name, given in servers.items()
    }


async def _on(
    server: str,
    size: Size,
    environ: Mapping[str, str],
    *,
    directory: Path,
    only: Sequence[str],
    against: Path | None,
) -> Figures:
    figures, brokers = Figures(), []
    async with site(directory, environ, api_server=API_SERVER, broker=None) as cluster:
        for broker in (NATS, RABBITMQ):
            wanted = [name for name in _wanted(server, only) if broker in PARTS[name].brokers]
            if not wanted or not _is_there(broker, environ):
                continue
            async with on_broker(cluster, environ, broker) as found:
                brokers.append(await broker_of(found))
                there = await _bench(found, size, against)
                for name in wanted:
                    await _measure(name, there, figures)
        figures.machine = await machine(cluster, brokers, against)
    return figures


def _wanted(server: str, only: Sequence[str]) -> list[str]:
    return [name for name, part in PARTS.items() if (name in only if only else server == OWN or part.real)]


async def _bench(found: Site, size: Size, against: Path | None) -> Bench:
    """`found` with the settings of the benchmark, and beside it the same with the other version."""
    ours = replace(found, settings={**AT_ONCE, **(ROOMY if found.own_broker else {})})
    before = None if against is None else replace(ours, program=program_of(against))
    return await bench(ours, size, before=before)


async def _measure(name: str, where: Bench, figures: Figures) -> None:
    """Whatever ends a part early, the others are measured all the same: together they take long."""
    known = len(where.site.instances)
    try:
        async for found in PARTS[name].measure(where):
            if isinstance(found, Row):
                before = f" (before: {found.before})" if found.before else ""
                print(f"{name}: {found.what}: {found.result}{before}", file=sys.stderr, flush=True)
            figures.add(found)
    except Exception:  # noqa: BLE001 - said here, and by the exit code
        figures.failed.append(f"{name} on {where.broker}")
        traceback.print_exc()
        # Jobs of the same names are made again.
        for instance in where.site.instances[known:]:
            await Jobs(where.site).clear(instance)


def _is_there(broker: str, environ: Mapping[str, str]) -> bool:
    """NATS always is."""
    if broker == NATS or environ.get(VARIABLES[broker]):
        return True
    try:
        return bool(executable())
    except ServerFailed:
        print("RabbitMQ is not measured: no RABBITMQ_URL, and no rabbitmq-server", file=sys.stderr)
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
