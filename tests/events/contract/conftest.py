"""The fixtures of the relay in this process, whose events are compared with the contract."""

from tests.handler.conftest import broker, cluster, devcluster, running_options, told

__all__ = ["broker", "cluster", "devcluster", "running_options", "told"]
