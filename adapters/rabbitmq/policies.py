"""What the policies of a RabbitMQ server can do to our queues, and how an operator sees them. Pure text.

AMQP shows no policies: declaring a queue, passively or not, answers with counts, and compares arguments alone.
"""

import shlex

from adapters.rabbitmq.options import RULES
from adapters.urls import parse


def commands_of(vhost: str) -> tuple[str, ...]:
    """Commands that list all policies of a virtual host."""
    where = shlex.quote(vhost)
    return f"`rabbitmqctl list_policies -p {where}`", f"`rabbitmqctl list_operator_policies -p {where}`"


def unseen(url: str, instance: str) -> tuple[str, ...]:
    """What `jobrelay check` cannot see of this installation, and what to look at instead."""
    vhost = parse(url, RULES).path or "/"
    applied = f"`rabbitmqctl list_queues -p {shlex.quote(vhost)} name policy`"
    return (
        f"policies cannot be seen over AMQP. {applied} says which applies to the queues {instance}.*, "
        f"{' and '.join(commands_of(vhost))} say what it does: `expires` deletes queues with what waits in them, "
        "`message-ttl`, `max-length`, `max-length-bytes`, `overflow` and `delivery-limit` remove messages, "
        "`dead-letter-routing-key` changes the lane of retries",
    )


def why_dead(reason: str) -> str:
    """What it means that RabbitMQ itself made a dead letter, for one of its reasons."""
    meanings = {
        "expired": "it was older than its `expiration`, or than `message-ttl` of a policy allows",
        "maxlen": "the queue was full, and a policy with `overflow` removed its oldest message",
        "delivery_limit": "it was delivered more often than `delivery-limit` of a policy allows",
    }
    return f"dead-lettered by the broker: {reason}" + (f" ({meanings[reason]})" if reason in meanings else "")
