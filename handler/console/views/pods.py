"""Pods of a request: those that were recorded, and those that the cluster has now."""

import asyncio
import logging
from collections.abc import Mapping

from events.jobs.pods import Pod as Running
from handler.console.backend import Backend
from handler.console.views.models import Pod, PodList
from handler.console.views.request import request_of
from handler.history.base import PodRun, Request
from handler.history.logs.watching import run_of
from handler.operations.jobs import pods_in, selector_of
from handler.operations.records import pod_document
from k8s.base import KubernetesError

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 2.0
"""How long a page waits for the cluster."""
PODS_MOST = 200
"""Pods that are shown: the newest."""


async def pods_view(backend: Backend, number: int) -> PodList:
    """Pods of a request, oldest first; what the cluster does not tell is a problem of the list.

    Raises `Problem` if there is no such request, and `StoreUnavailable`.
    """
    return await pods_of(backend, await request_of(backend, number))


async def pods_of(backend: Backend, request: Request) -> PodList:
    """Pods of this request. Raises `StoreUnavailable`."""
    problems: list[str] = []
    live = await _live(backend, request, problems)
    runs = {pod.uid: pod for pod in await backend.reader.pods(request.pk)}
    runs |= {uid: run_of(pod, request.attempt) for uid, pod in live.items()}
    newest = sorted(runs.values(), key=_begun)[-PODS_MOST:]
    if len(runs) > len(newest):
        problems.append(f"{len(runs) - len(newest)} older pods are not shown")
    return PodList(pods=[await _shown(backend, run, live.get(run.uid)) for run in newest], problems=problems)


async def _live(backend: Backend, request: Request, problems: list[str]) -> Mapping[str, Running]:
    """Pods that the cluster has, by uid. Of what has ended, the record says all."""
    if request.terminal or request.job is None or request.namespace is None:
        return {}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            selector = selector_of(backend.settings, request.key.id)
            pods = await pods_in(backend.cluster, request.namespace, selector)
    except (KubernetesError, TimeoutError) as error:
        logger.info("a page has no pods from the cluster: %s", error)
        problems.append("the cluster does not answer now: pods are shown as they were recorded")
        return {}
    # Other sources may use its id.
    return {pod.uid: pod for pod in pods if request.job_uid in (None, pod.job_uid)}


async def _shown(backend: Backend, run: PodRun, live: Running | None) -> Pod:
    logs = await backend.reader.logs(run.uid)
    document = pod_document(run, logs, where=backend.settings.log_store or "database")
    if live is not None and live.main is not None and run.reason is None:
        document["reason"] = live.main.waiting_reason
    names = [one.name for one in live.containers] if live is not None else []
    containers = list(dict.fromkeys([*names, *(log.container for log in logs)]))
    return Pod.model_validate({**document, "live": live is not None, "containers": containers})


def _begun(pod: PodRun) -> tuple[float, str]:
    """What has not started comes last."""
    return (float("inf") if pod.started is None else pod.started, pod.name)
