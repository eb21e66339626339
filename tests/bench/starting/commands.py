"""How long a person waits for a command, from the start of its process to its end."""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from handler.local.stack import clean_environ
from tests.bench.load.events import IDLE, make_events
from tests.bench.load.relays import declare
from tests.e2e.site import Site

VERSION, HELP, SUBMIT = "--version", "--help", "submit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Seconds: the best of some processes, and their median."""

    best: float
    middle: float


async def commands(site: Site, *, starts: int) -> Mapping[str, Waited]:
    """Each command is run `starts` times, after once that does not count. `submit`: until the broker has confirmed."""
    instance = site.new_instance()
    await declare(site, instance)
    environ = {"JOBRELAY_SOURCES": site.source, "JOBRELAY_INSTANCE": instance}
    environ |= {"JOBRELAY_KUBECONFIG": str(site.kubeconfig), "JOBRELAY_NAMESPACES": site.namespace}
    path = site.directory / f"{instance}.json"
    given = {VERSION: (VERSION,), HELP: (HELP,), SUBMIT: (SUBMIT, str(path))}
    took: dict[str, list[float]] = {name: [] for name in given}
    for number in range(starts + 1):
        _write(path, site, number)
        for name, arguments in given.items():
            took[name].append(await _seconds([*site.program, *arguments], {**clean_environ(), **environ}))
    return {name: Waited(best=min(counted), middle=statistics.median(counted)) for name, (_, *counted) in took.items()}


def _write(path: Path, site: Site, number: int) -> None:
    (event,) = make_events(1, command=IDLE, image=site.image, name="submitted", first=number)
    path.write_bytes(event)


async def _seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Raises AssertionError, with its output, if the command fails."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    seconds = time.perf_counter() - begun
    assert process.returncode == 0, output.decode(errors="replace")
    return seconds
