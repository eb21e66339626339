"""The figures, and the machine they were taken on, as Markdown: for the terminal and for BENCHMARKS.md."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiormq
import nats
import orjson

from tests.e2e.site import NATS, Site

METHOD = """\
`jobrelay run` with default settings, but without `progress`. Rates and CPU are medians of alternating rounds, ratios
those of neighbouring rounds. All processes share the cores, the broker and the API server too: where together they need
more of them than a bare client and the API server do, the ratio shows that, however little of it is jobrelay's.

- *Created*: one handler, from a full queue until every request is acknowledged, against the same Jobs posted by the
  same HTTP client; their pods do not run ({pods}).
- *Whole life*: one handler and one controller, until every terminal event is stored and every Job released, against
  POST and PATCH of the same Jobs until they are complete. {life}.
  Both sides have their connections to the API server open.
- *Caught up*: what happened to Jobs while jobrelay was down is published.
- *Decision*: of Jobs with 1,001 priorities in 20 services, half of them on 50 keys, while one has changed.
- *Let go*: Jobs that wait for a Job to end, from its end to the last answer, against PATCHes of the same Jobs beside a
  watch that is read and thrown away: whoever lets Jobs go has to see them end.
- *Adapter alone*: in one process with nothing else, events of 1 kB, 64 in flight; decoding is part of consuming."""
_OWN = {"pods": "the API server runs no controllers", "life": "Pods are shown to run for 0.2 s, no process is started"}
_REAL = {"pods": "a quota of no pods", "life": "Real pods run `true`"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`what` was measured, and the result; `aim` is the budget, if there is one."""

    what: str
    result: str
    aim: str = ""


async def broker_of(site: Site) -> str:
    """Name and version of the broker."""
    if site.broker == NATS:
        client = await nats.connect(site.source)
        version = client.connected_server_version
        await client.close()
        return f"nats-server {version.major}.{version.minor}.{version.patch}"
    connection = await aiormq.connect(site.source)
    found = connection.server_properties["version"]
    await connection.close()
    return f"RabbitMQ {found.decode() if isinstance(found, bytes) else found}"


async def machine(site: Site, brokers: Sequence[str]) -> list[str]:
    """A paragraph about the machine and what ran on it, and a text about what was measured."""
    kubernetes = orjson.loads(await site.cluster.client.request("GET", "/version"))["gitVersion"]
    server = "its own API server without controllers" if site.own_cluster else "a Kubernetes API server"
    return [
        hardware(*brokers, f"{server} ({kubernetes})"),
        "",
        METHOD.format(**(_OWN if site.own_cluster else _REAL)),
    ]


def hardware(*servers: str) -> str:
    """A line about this machine, what ran on it, and the date."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{_cpu_model()}, {cores} cores for everything together, {_memory_gib():.0f} GiB, "
        f"{platform.system()} {platform.release().partition('-')[0]}; "
        f"Python {platform.python_version()}, {', '.join(servers)}; {datetime.now(UTC).date().isoformat()}."
    )


def markdown(rows: Sequence[Row], machine: Sequence[str]) -> str:
    lines = ["| what | measured | aim |", "|---|---|---|"]
    lines += [f"| {row.what} | {row.result} | {row.aim} |" for row in rows]
    return "\n".join([*lines, "", *machine])


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    return next(names, platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
