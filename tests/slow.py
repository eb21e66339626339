"""Slower parts for the development cluster, for what only shows where Kubernetes takes its time."""

from collections.abc import Hashable
from typing import TypeVar

from k8s.devcluster.controllers.workqueue import WorkQueue

K = TypeVar("K", bound=Hashable)
SECONDS = 0.3


class SlowQueue(WorkQueue[K]):
    """A controller with this queue looks at an object some time after a change, never at once."""

    def add(self, key: K, *, delay: float = 0.0) -> None:
        super().add(key, delay=max(delay, SECONDS))
