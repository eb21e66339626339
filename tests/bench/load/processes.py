"""What processes of this machine use: CPU and memory of ours, and of the servers that we can see."""

import gc
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.load.clients import configuration_of
from tests.e2e.site import NATS, Relay, Site

HERE = "benchmark"
"""This process: what publishes, and what posts where plain requests are measured."""
HANDLER, CONTROLLER = "handler", "controller"
API_SERVER, ETCD, KUBERNETES = "API server", "etcd", "controllers of Kubernetes"
BROKERS = ("nats-server", "RabbitMQ")
_CONTROLLERS = ("kube-controller", "kube-scheduler")
"""The first 15 characters of their names."""
_LISTENS = "0A"
_CPUCLOCK_SCHED = 2

Pids = Mapping[str, Sequence[int]]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its ended threads included, to the nanosecond.

    The number of its clock is made as clock_getcpuclockid(3) makes it: /proc counts in ticks of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def paused(relays: Sequence[Relay]) -> Iterator[None]:
    """Stop the processes during the block, so that a queue can fill up before they continue and the clock starts."""
    for relay in relays:
        os.kill(relay.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for relay in relays:
            os.kill(relay.process.pid, signal.SIGCONT)


@contextmanager
def settled() -> Iterator[None]:
    """During the block, the garbage collector of this process leaves alone what there is already.

    A program that posts has not made thousands of Jobs before: looking through them would count as its CPU.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round took: Jobs a second, and CPU seconds per Job of each process that took part."""

    rate: float
    cpu: Mapping[str, float]

    @property
    def busy(self) -> float:
        """How many cores all of them kept busy."""
        return self.rate * sum(self.cpu.values())


class Meter:
    """Runs from when it is made. `pids`: the processes that take part, by what they are called in the table."""

    def __init__(self, pids: Pids) -> None:
        self._pids = {HERE: [os.getpid()], **pids}
        self._before = self._spent()
        self._begun = time.perf_counter()

    def round(self, jobs: int) -> Round:
        """What it was until now, for so many Jobs."""
        seconds = time.perf_counter() - self._begun
        spent = {name: (now - self._before[name]) / jobs for name, now in self._spent().items()}
        return Round(rate=jobs / seconds, cpu=spent)

    def _spent(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}


async def servers_of(site: Site) -> Pids:
    """The servers of a site that run on this machine, by name. What runs elsewhere is not seen."""
    found = {}
    if (broker := _listening(site.source)) is not None:
        found[BROKERS[site.broker != NATS]] = [broker]
    if (server := _listening((await configuration_of(site)).host)) is None:
        return found
    found[API_SERVER] = [server]
    for url in _argument(server, "--etcd-servers").split(","):
        if url and (etcd := _listening(url)) is not None:
            found[ETCD] = [etcd]
    if ETCD in found:
        # Neither says which API server it uses: they were started where that was started.
        found[KUBERNETES] = [
            pid for pid in _processes() if _name(pid) in _CONTROLLERS and _place(pid) == _place(server)
        ]
    return found


def _listening(url: str) -> int | None:
    """The process of this machine that listens on the port of this URL, if its host is this machine."""
    parts = urlsplit(url)
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"} or parts.port is None:
        return None
    sockets = {f"socket:[{inode}]" for inode in _inodes(parts.port)}
    return next((pid for pid in _processes() if sockets & set(_files(pid))), None)


def _inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _files(pid: int) -> list[str]:
    found = []
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(entry.readlink()))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _place(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _argument(pid: int, name: str) -> str:
    """The value of `name=value` among its arguments, or nothing."""
    given = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return next((text.partition("=")[2] for text in given if text.startswith(f"{name}=")), "")
