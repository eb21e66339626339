"""What the policies of a RabbitMQ server can do to our queues, and how an operator sees them. Pure text.

AMQP shows no policies: declaring a queue, passively or not, answers with counts, and compares arguments alone.
"""

import json
import re
import shlex
from collections.abc import Mapping

from adapters.rabbitmq.options import RULES
from adapters.rabbitmq.topology import QueueNames, queues
from adapters.urls import parse


def commands_of(vhost: str) -> tuple[str, ...]:
    """Commands that list all policies of a virtual host."""
    where = shlex.quote(vhost)
    return f"`rabbitmqctl list_policies -p {where}`", f"`rabbitmqctl list_operator_policies -p {where}`"


def unseen(url: str, instance: str) -> tuple[str, ...]:
    """What `jobrelay check` cannot see of this installation, and what to look at instead."""
    vhost = parse(url, RULES).path or "/"
    arguments = f"`rabbitmqctl list_queues -p {shlex.quote(vhost)} name arguments`"
    applied = f"`rabbitmqctl list_queues -p {shlex.quote(vhost)} name policy`"
    members = f"`rabbitmqctl list_queues -p {shlex.quote(vhost)} name members online`"
    return (
        f"policies cannot be seen over AMQP. {applied} says which applies to the queues {instance}.*, "
        f"{' and '.join(commands_of(vhost))} say what it does: `expires` deletes queues with what waits in them, "
        "`message-ttl`, `max-length`, `max-length-bytes`, `overflow` and `delivery-limit` remove messages, "
        "`dead-letter-routing-key` changes the lane of retries",
        f"bounds of the dead letters and of the log cannot be seen over AMQP. {arguments} shows them; queues that "
        f"earlier versions made have none: {' and '.join(bounding(instance, vhost))} set them",
        "which nodes of a cluster have members of the queues cannot be seen over AMQP, only with "
        f"JOBRELAY_RABBITMQ_MANAGEMENT_URL. {members} shows them",
    )


def bounding(instance: str, vhost: str) -> tuple[str, ...]:
    """Commands that bound the queues which only a new installation bounds by itself."""
    names = QueueNames(instance)
    return tuple(
        f"`rabbitmqctl set_policy -p {shlex.quote(vhost)} {queue.name} '^{re.escape(queue.name)}$' "
        f"'{_definition(queue.bounds)}' --apply-to queues`"
        for queue in queues(names)
        if queue.bounds
    )


def _definition(bounds: Mapping[str, object]) -> str:
    return json.dumps({name.removeprefix("x-"): value for name, value in bounds.items()}, separators=(",", ":"))


def why_dead(reason: str) -> str:
    """What it means that RabbitMQ itself made a dead letter, for one of its reasons."""
    meanings = {
        "expired": "it was older than its `expiration`, or than `message-ttl` of a policy allows",
        "maxlen": "the queue was full, and a policy with `overflow` removed its oldest message",
        "delivery_limit": "it was delivered more often than `delivery-limit` of a policy allows",
    }
    return f"dead-lettered by the broker: {reason}" + (f" ({meanings[reason]})" if reason in meanings else "")
