"""The fixtures of the relay in this process, and the events it builds held to what is declared."""

from tests.handler.conftest import broker, cluster, devcluster, running_options, told

__all__ = ["broker", "cluster", "devcluster", "running_options", "told"]
