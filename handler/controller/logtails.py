"""Reads the end of a failed container's log where the API server allows it. Its message is mostly that end already."""

import asyncio
import logging

from events.jobs.pods import Container, Pod
from events.lifecycle.results import LOG_BYTES, LOG_LINES
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, NotFound, Refused

logger = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds until an event goes out without it: the node that has the log may not answer."""
ASK_AGAIN_SECONDS = 300.0
"""Seconds until we try again after the API server has refused us, or a log did not come."""


class LogTails:
    """Ends of logs, in one term of leadership. Without permission to read logs nothing but them is missing."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ask_at = 0.0

    async def of(self, asked: tuple[Pod, Container] | None) -> str | None:
        """The last `LOG_LINES` lines of the container's log, `LOG_BYTES` bytes at most; None if they are not to be had.

        Text as Kubernetes makes it a termination message: what is no UTF-8 is replaced.
        """
        now = asyncio.get_running_loop().time()
        if asked is None or now < self._ask_at:
            return None
        pod, container = asked
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._read(pod, container)
        except (NotFound, Refused):
            return None  # The pod is gone, or its node has dropped the log.
        except (KubernetesError, TimeoutError) as error:
            self._ask_at = now + ASK_AGAIN_SECONDS
            reason = str(error) or f"no answer within {TIMEOUT} s"
            logger.info("events tell no more of logs than messages do for %.0f s: %s", ASK_AGAIN_SECONDS, reason)
            return None

    async def _read(self, pod: Pod, container: Container) -> str:
        end = b""
        async for piece in self._cluster.pod_log(pod.namespace, pod.name, container=container.name, tail=LOG_LINES):
            end = (end + piece)[-LOG_BYTES:]
        return end.decode(errors="replace")
