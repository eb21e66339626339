"""Finds what a word may become within a moment. Whatever goes wrong, there is less to offer, and nothing is said."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from typing import Any

from handler.commands.completing.asked import Asked
from handler.commands.completing.offers import MOST, Offer, chosen, dated, fits
from handler.commands.environment import variables_of
from handler.settings.reach import Reach


def offers(asked: Asked, *, seconds: float) -> list[Offer]:
    """The last ones first; within this time, as far as they are known by then.

    Raises anything for wrong settings, and for a cluster or a database that does not answer.
    """
    reach = Reach.from_env(variables_of(asked.options)[0])
    found: list[Offer] = []
    if asked.what == "contexts":
        from handler.commands.completing.contexts import contexts

        names = contexts(reach.kubeconfig, asked.options.environ)
        found += [Offer(value=name) for name in names if fits(name, asked.beginning)]
    elif asked.recorded and reach.history is not None:
        asyncio.run(_bounded(_from_history(reach.history, asked, found), seconds))
    else:
        asyncio.run(_bounded(_from_cluster(reach, asked, found), seconds))
    return chosen(found)


async def _bounded(work: Coroutine[Any, Any, None], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


async def _from_cluster(reach: Reach, asked: Asked, found: list[Offer]) -> None:
    from handler.commands.completing.cluster import from_cluster
    from k8s.api.glance import glancing

    access = glancing(
        kubeconfig=reach.kubeconfig,
        context=reach.kube_context,
        environ=asked.options.environ,
        user_agent="jobrelay-completion",
    )
    async with access as glance:
        await from_cluster(glance, reach, asked, found)


async def _from_history(url: str, asked: Asked, found: list[Offer]) -> None:
    from handler.history.sql.glance import containers, requests

    if asked.what == "containers":
        names = await containers(url, asked.request_id or "", limit=MOST)
        found += [Offer(value=name) for name in names if fits(name, asked.beginning)]
        return
    beginning = asked.beginning if asked.what == "requests" else asked.request_id or ""
    for row in await requests(url, beginning, limit=MOST):
        found += _offered(row, asked)


def _offered(row: Mapping[str, Any], asked: Asked) -> Iterator[Offer]:
    if asked.request_id not in (None, row["id"]) or asked.source not in (None, row["source"]):
        return
    service = row["service"] or ""
    values: dict[str, tuple[str, str]] = {"sources": (row["source"], row["phase"]), "services": (service, "")}
    value, about = values.get(asked.what, (row["id"], f"{service} {row['phase']}"))
    if fits(value, asked.beginning):
        yield dated(value, about=about, time_=row["updated"])
