"""The forms in which clusters are tested: brokers, versions, addresses, and how clients log in."""

from adapters.servers.release import Release, chosen
from tests.chaos.clusters.scene import Form
from tests.processes import NATS, RABBITMQ


def releases() -> list[Release]:
    """The RabbitMQ that is installed, and the one that is named. Without ERLANG_HOME one Erlang has to suit both."""
    named = chosen()
    if not named.home:
        return [named]
    return [Release(), named] if named.erlang else [named]


FORMS = [
    Form(broker=broker, release=release, one_address=one_address, secure=secure)
    for broker, kinds in ((NATS, [None]), (RABBITMQ, releases()))
    for release in kinds
    for one_address, secure in ((False, False), (True, False), (False, True))
]
