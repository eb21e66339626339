"""A scene: a namespace under Pod Security "restricted", in which a quota then forbids pods."""

from dataclasses import dataclass
from typing import Any

import orjson

from k8s.base import KubernetesError
from tests.e2e.observer import Observer, request
from tests.e2e.site import Site, until
from tests.patience import PATIENCE

ENFORCE = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """`admitted`: ids of requests that say nothing about security."""

    observer: Observer
    admitted: tuple[str, ...]


async def confined(site: Site) -> Confined | str:
    """Default Jobs, then a Job that waits for a pod that the quota forbids, until it is cancelled.

    Returns the reason where we may not create a namespace for it.
    """
    patience = PATIENCE * site.patience
    try:
        async with site.another_namespace({ENFORCE: "restricted"}) as namespace:
            return await _played(site, namespace, patience)
    except KubernetesError as error:
        return f"no namespace of our own: {error}"


async def _played(site: Site, namespace: str, patience: float) -> Confined:
    instance = site.new_instance()
    async with (
        site.observer(instance) as observer,
        site.relays(instance, "controller", "handler", namespaces=namespace),
    ):
        await observer.publish(request("plain", image=site.image))
        several = {"parallelism": 2, "completions": 2}
        await observer.publish(request("parallel", image=site.image, job=several))
        admitted = ("plain", "parallel")
        for name in admitted:
            await observer.ended(name, seconds=patience)
        await _quota(site, namespace, {"pods": "0"})
        await observer.publish(request("blocked", image=site.image))
        await observer.reached("blocked", "stalled", seconds=patience)
        await observer.command("cancel", "blocked")
        await observer.ended("blocked", seconds=patience)
    return Confined(observer=observer, admitted=admitted)


async def _quota(site: Site, namespace: str, hard: dict[str, Any]) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    await site.cluster.client.request("POST", path, body=quota)

    async def in_force() -> bool:
        found = orjson.loads(await site.cluster.client.request("GET", f"{path}/none"))
        return bool(found.get("status", {}).get("hard") == hard)

    # A quota forbids nothing until its controller has seen it.
    await until(in_force, seconds=PATIENCE * site.patience)
