"""The fixtures of the relay in this process, whose events are compared with the contract."""

from tests.handler.conftest import broker, cluster, contract_problems, devcluster, running_options

__all__ = ["broker", "cluster", "contract_problems", "devcluster", "running_options"]
