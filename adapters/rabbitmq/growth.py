"""What an operator runs so that queues have members on more nodes. Pure text."""

import re
import shlex
from collections.abc import Sequence, Set as AbstractSet
from dataclasses import dataclass

from adapters.rabbitmq.topology import Queue, QueueNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """For the queues of one installation. `nodes`: all of the cluster, of which some are `running`."""

    vhost: str
    names: QueueNames
    nodes: Sequence[str]
    running: AbstractSet[str]
    wanted: int

    def remedy(self, queue: Queue, members: Sequence[str]) -> str:
        """What to do for one that has these members; empty if they are as many as wanted."""
        missing = self.wanted - len(members)
        if missing <= 0:
            return ""
        without = sorted(
            (node for node in self.nodes if node not in members), key=lambda node: node not in self.running
        )
        chosen = without[:missing]
        steps = [
            f"`{self._command(queue, node)}`{'' if node in self.running else ' (once it is up)'}" for node in chosen
        ]
        if joining := missing - len(chosen):
            more = "1 more node has" if joining == 1 else f"{joining} more nodes have"
            steps.append(f"what is said here once {more} joined the cluster")
        return " and ".join(steps)

    def _command(self, queue: Queue, node: str) -> str:
        if queue.arguments["x-queue-type"] == "stream":
            return f"rabbitmq-streams add_replica {queue.name} {node} --vhost {shlex.quote(self.vhost)}"
        # Where all nodes get a member of each, one command does for all queues.
        which = (
            rf"^{re.escape(self.names.instance)}\." if self.wanted >= len(self.nodes) else f"^{re.escape(queue.name)}$"
        )
        return (
            f"rabbitmq-queues grow {node} all --vhost-pattern {shlex.quote(f'^{re.escape(self.vhost)}$')} "
            f"--queue-pattern {shlex.quote(which)}"
        )
