"""What the cluster has to offer: lists of metadata, all at the same time, each as far as there is time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime

from events.names import FINALIZER, NEW_RUN
from handler.commands.completing.asked import Asked
from handler.commands.completing.offers import Offer, dated, fits
from handler.settings.reach import Reach, selector_of
from k8s.api.glance import Glance, Metadata
from k8s.base import KubernetesError

_PAGES = 20
"""Pages of a list that are read at most: of more Jobs, some are not offered."""
Pages = AsyncIterator[list[Metadata]]
Seen = Callable[[Metadata], Iterable[Offer]]


async def from_cluster(glance: Glance, reach: Reach, asked: Asked, found: list[Offer]) -> None:
    """Add to `found` what is offered, so that it is there when the time is over."""
    namespaces = reach.namespaces or (glance.default_namespace,)
    selector = selector_of(reach.instance)
    match asked.what:
        case "namespaces":
            found += [Offer(value=name) for name in namespaces if fits(name, asked.beginning)]
            work = [] if reach.namespaces else [_read(glance.namespaces(), _named(asked), found)]
        case "containers":
            selector = f"{selector},{_label(asked)}"
            work = [_containers(glance, namespace, selector, asked, found) for namespace in namespaces]
        case _:
            see = _seen(asked)
            work = [
                _read(pages(namespace, selector), see, found)
                for namespace in namespaces
                for pages in _lists(glance, asked)
            ]
    await asyncio.gather(*(_as_far_as_it_goes(one) for one in work))


async def _as_far_as_it_goes(work: Awaitable[None]) -> None:
    """Who may list Jobs need not be allowed to list CronJobs, nor either in each namespace."""
    with suppress(KubernetesError):
        await work


async def _read(pages: Pages, see: Seen, found: list[Offer]) -> None:
    left = _PAGES
    async for page in pages:
        for one in page:
            found += see(one)
        left -= 1
        if not left:
            return


async def _containers(glance: Glance, namespace: str, selector: str, asked: Asked, found: list[Offer]) -> None:
    names = await glance.containers(namespace, selector)
    found += [Offer(value=name) for name in names if fits(name, asked.beginning)]


def _label(asked: Asked) -> str:
    # Only here: it imports the SDK of CloudEvents.
    from events.identity import request_label
    from events.names import Label

    return f"{Label.REQUEST}={request_label(asked.request_id or '')}"


def _lists(glance: Glance, asked: Asked) -> Iterable[Callable[[str, str], Pages]]:
    if asked.what == "schedules":
        return (glance.cron_jobs,)
    return (glance.jobs,) if asked.what in ("logged", "jobs") else (glance.jobs, glance.cron_jobs)


def _seen(asked: Asked) -> Seen:
    """How an object is read: what it offers."""

    def see(meta: Metadata) -> Iterable[Offer]:
        notes = meta.annotations
        if not notes.id or notes.run == NEW_RUN or not _is_meant(meta, asked):
            return
        value = _value(meta, asked)
        if fits(value, asked.beginning):
            yield dated(value, about=_about(meta, asked), time_=_epoch(meta.creation_timestamp))

    return see


def _is_meant(meta: Metadata, asked: Asked) -> bool:
    notes = meta.annotations
    if asked.what == "controlled" and (meta.deletion_timestamp is not None or FINALIZER not in meta.finalizers):
        return False
    return asked.request_id in (None, notes.id) and asked.source in (None, notes.source)


def _value(meta: Metadata, asked: Asked) -> str:
    match asked.what:
        case "sources":
            return meta.annotations.source
        case "services":
            return _service(meta)
        case "jobs":
            return f"{meta.namespace}/{meta.name}"
        case _:
            return meta.annotations.id


def _about(meta: Metadata, asked: Asked) -> str:
    return "" if asked.what == "services" else _service(meta)


def _service(meta: Metadata) -> str:
    return meta.labels.service or meta.labels.name


def _named(asked: Asked) -> Seen:
    def see(meta: Metadata) -> Iterable[Offer]:
        return [Offer(value=meta.name)] if fits(meta.name, asked.beginning) else []

    return see


def _epoch(time: datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()
