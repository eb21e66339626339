"""Reads the end of a failed container's log where the API server allows it. Its message is mostly that end already."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from events.jobs.pods import Container, Pod
from events.lifecycle.results import LOG_BYTES, LOG_LINES
from k8s.api.cluster import Cluster
from k8s.base import KubernetesError, NotFound, Refused, Unavailable

logger = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds until an event goes out without it: the node that has the log may not answer."""
ASK_AGAIN_SECONDS = 300.0
"""Seconds until we try again after a namespace's logs were refused to us, or a log of a node did not come."""
SLOW = 0.5
"""Seconds that a node may take until nothing more is asked of it before it has answered."""
MOST_READ = 1_048_576
"""Bytes that are read of a log: its last lines may be of any length. Of a log that has more, nothing is told."""

Where = tuple[str, str]


class LogTails:
    """Ends of logs, in one term of leadership. Without permission to read logs nothing but them is missing.

    What one node does not answer, or one namespace refuses, keeps nobody from the logs of another.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ask_at: dict[Where, float] = {}
        self._asked: defaultdict[str, dict[object, float]] = defaultdict(dict)

    async def of(self, asked: tuple[Pod, Container] | None) -> str | None:
        """The last `LOG_LINES` lines of the container's log, `LOG_BYTES` bytes at most; None if they are not to be had.

        Text as Kubernetes makes it a termination message: what is no UTF-8 is replaced.
        """
        if asked is None or not self._may_ask(asked[0]):
            return None
        pod, container = asked
        try:
            with self._asking(pod.node or ""):
                return await self._ask(pod, container)
        except (NotFound, Refused):
            return None  # The pod is gone, or its node has dropped the log.
        except KubernetesError as error:
            # Permission is a matter of namespaces. All else comes from the node, or from the way to it.
            where = ("namespace", pod.namespace) if str(error).startswith("403") else ("node", pod.node or "")
            self._pause(where, str(error))
            return None

    async def _ask(self, pod: Pod, container: Container) -> str | None:
        """Raises `KubernetesError`, if no byte has come in time too: what comes slowly is the log's own affair."""
        end, read = b"", 0
        try:
            async with asyncio.timeout(TIMEOUT):
                pieces = self._cluster.pod_log(pod.namespace, pod.name, container=container.name, tail=LOG_LINES)
                async for piece in pieces:
                    end, read = (end + piece)[-LOG_BYTES:], read + len(piece)
                    if read > MOST_READ:
                        return None
        except TimeoutError:
            if not read:
                raise Unavailable(f"no answer within {TIMEOUT} s") from None
            return None
        return end.decode(errors="replace")

    @contextmanager
    def _asking(self, node: str) -> Iterator[None]:
        mine = object()
        self._asked[node][mine] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            del self._asked[node][mine]
            if not self._asked[node]:
                del self._asked[node]

    def _may_ask(self, pod: Pod) -> bool:
        now = asyncio.get_running_loop().time()
        self._ask_at = {where: at for where, at in self._ask_at.items() if at > now}
        if {("namespace", pod.namespace), ("node", pod.node or "")} & self._ask_at.keys():
            return False
        # Whoever waits for an answer has a place among the Jobs that are looked at.
        return now - min(self._asked.get(pod.node or "", {}).values(), default=now) <= SLOW

    def _pause(self, where: Where, reason: str) -> None:
        if where not in self._ask_at:
            logger.info("events tell no more of a %s's logs for %.0f s: %s", where[0], ASK_AGAIN_SECONDS, reason)
        self._ask_at[where] = asyncio.get_running_loop().time() + ASK_AGAIN_SECONDS
