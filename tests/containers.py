"""`python -m tests.containers COMMAND…`: run a command with NATS, RabbitMQ and a k3s cluster in containers.

The suites find them by NATS_URL, RABBITMQ_URL and KUBECONFIG. Tests that break a server start one of their own anyway.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.docker_client import DockerClient

NATS_IMAGE, RABBITMQ_IMAGE, K3S_IMAGE = "nats:2.11", "rabbitmq:4.1", "rancher/k3s:v1.34.1-k3s1"
_AMQP_PORT = 5672


class DockerAway(Exception):
    """There is no Docker, or it does not answer."""


@contextmanager
def services(directory: Path) -> Iterator[Mapping[str, str]]:
    """Run the servers; the variables by which the suites find them. Raises `DockerAway`."""
    try:
        DockerClient().client.ping()
    except (DockerException, OSError) as error:
        raise DockerAway(f"Docker does not answer: {error}") from error
    # Imported only here: the module for RabbitMQ needs pika, which nothing else does.
    from testcontainers.community.k3s import K3SContainer
    from testcontainers.community.nats import NatsContainer
    from testcontainers.community.rabbitmq import RabbitMqContainer

    with ExitStack() as stack:
        nats = stack.enter_context(NatsContainer(NATS_IMAGE, jetstream=True))
        rabbitmq = stack.enter_context(RabbitMqContainer(RABBITMQ_IMAGE, port=_AMQP_PORT))
        k3s = stack.enter_context(K3SContainer(K3S_IMAGE))
        kubeconfig = directory / "kubeconfig"
        kubeconfig.write_text(k3s.config_yaml())
        address = f"{rabbitmq.get_container_host_ip()}:{rabbitmq.get_exposed_port(_AMQP_PORT)}"
        yield {
            "NATS_URL": nats.nats_uri(),
            "RABBITMQ_URL": f"amqp://{rabbitmq.username}:{rabbitmq.password}@{address}/",
            "KUBECONFIG": str(kubeconfig),
        }


def main(command: Sequence[str]) -> int:
    """The command's exit code; 1 without Docker, and the reason is printed."""
    with tempfile.TemporaryDirectory(prefix="jobrelay-containers-") as directory:
        try:
            with services(Path(directory)) as variables:
                return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode
        except DockerAway as error:
            print(f"{error}\nSERVICES=containers needs Docker; without it, leave SERVICES out.", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
