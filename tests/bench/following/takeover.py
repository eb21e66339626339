"""How soon another leads when the leader ends."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tests.bench.load.relays import LONG, says_it_leads
from tests.e2e.scenes import leader_of
from tests.e2e.site import Relay, Site, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """Seconds from the leader's end until the standby leads."""

    crash: float
    exit: float


async def taking_over(site: Site, *, lease: float) -> Takeover:
    """Start three controllers, and end the leader twice. `lease`: how long a Lease lasts, in seconds."""
    found = replace(site, settings={**site.settings, **leasing(lease)})
    async with found.relays(found.new_instance(), "controller", "controller", "controller") as relays:
        leader, left = await _parted(relays)
        crashed = await crash(leader, left)
        leader, left = await _parted(left)
        return Takeover(crash=crashed, exit=await _ended(leader, left, signal.SIGTERM))


async def crash(leader: Relay, left: Sequence[Relay]) -> float:
    """Kill the leader. Returns after how many seconds another one leads."""
    return await _ended(leader, left, signal.SIGKILL)


async def _ended(leader: Relay, left: Sequence[Relay], number: signal.Signals) -> float:
    begun = time.perf_counter()
    os.kill(leader.process.pid, number)
    await until(partial(_any_leads, left), seconds=LONG, every=0.02)
    return time.perf_counter() - begun


async def _any_leads(relays: Sequence[Relay]) -> bool:
    return any([await says_it_leads(relay) for relay in relays])


async def _parted(relays: Sequence[Relay]) -> tuple[Relay, list[Relay]]:
    """The leader, and the others."""
    leader = await until(partial(leader_of, list(relays)), seconds=LONG)
    return leader, [relay for relay in relays if relay is not leader]


def leasing(seconds: float) -> Mapping[str, float]:
    """The settings of a Lease of so many seconds, with the other times in the usual proportion."""
    shares = {"lease_seconds": 1.0, "lease_renew_seconds": 0.7, "lease_retry_seconds": 0.2, "lease_call_seconds": 0.3}
    return {name: round(share * seconds, 3) for name, share in shares.items()}
