"""What KEDA and the autoscaler behind it would do for a ScaledObject, from the numbers of a real broker.

The formulas are those of KEDA's scalers `nats-jetstream` and `rabbitmq` (protocol amqp), of its scale loop, and of the
horizontal pod autoscaler for metrics of type AverageValue. Left out: the fallback for a broker that does not answer,
and the limits on how fast an autoscaler adds pods, which begin above four.
"""

import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import yaml

from adapters.servers.nats import NatsServer
from tests.amqp import Client
from tests.paths import DEPLOY

SHIPPED = DEPLOY / "components" / "keda"
TOLERANCE = 0.1
"""The autoscaler ignores smaller differences."""
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """`threshold`: messages per replica. Above `activation` messages, the trigger is active."""

    metadata: Manifest
    threshold: int
    activation: int

    @classmethod
    def of(cls, raw: Manifest) -> "Trigger":
        """A trigger of a ScaledObject, with KEDA's defaults."""
        metadata = raw["metadata"]
        if raw["type"] == "nats-jetstream":
            names, default = ("lagThreshold", "activationLagThreshold"), 10
        else:
            assert (raw["type"], metadata["protocol"], metadata["mode"]) == ("rabbitmq", "amqp", "QueueLength")
            names, default = ("value", "activationValue"), 20
        threshold, activation = (
            int(metadata.get(name, number)) for name, number in zip(names, (default, 0), strict=True)
        )
        return cls(metadata=metadata, threshold=threshold, activation=activation)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObject:
    """Times are in seconds. `stabilization`: how long the autoscaler waits before it removes replicas."""

    triggers: tuple[Trigger, ...]
    polling: float
    cooldown: float
    stabilization: float
    minimum: int
    maximum: int

    @classmethod
    def shipped(cls, broker: str) -> "ScaledObject":
        """The ScaledObject that is shipped for this broker."""
        manifests = yaml.safe_load_all((SHIPPED / broker / "scaledobject.yaml").read_text())
        spec = next(manifest for manifest in manifests if manifest["kind"] == "ScaledObject")["spec"]
        behavior = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
        return cls(
            triggers=tuple(map(Trigger.of, spec["triggers"])),
            polling=spec.get("pollingInterval", 30),
            cooldown=spec.get("cooldownPeriod", 300),
            stabilization=behavior.get("scaleDown", {}).get("stabilizationWindowSeconds", 300),
            minimum=spec.get("minReplicaCount", 0),
            maximum=spec.get("maxReplicaCount", 100),
        )


class Scaler:
    """Decides from successive readings. Time is an argument, so that a test can let it run faster."""

    def __init__(self, scaled: ScaledObject) -> None:
        self._scaled = scaled
        self._active_at = -math.inf
        self._recommended: deque[tuple[float, int]] = deque()

    def desired(self, current: int, readings: Sequence[int], *, now: float) -> int:
        """How many replicas there should be. `readings`: the number for each trigger, in their order."""
        scaled = self._scaled
        if any(value > trigger.activation for value, trigger in zip(readings, scaled.triggers, strict=True)):
            self._active_at = now
        active = self._active_at == now
        if current == 0:
            # KEDA starts the first replica. The autoscaler does the rest.
            return max(1, scaled.minimum) if active else 0
        if not active and now - self._active_at > scaled.cooldown:
            # KEDA again: it removes all at once, without the autoscaler.
            return scaled.minimum
        wanted = max(_average(current, *reading) for reading in zip(readings, scaled.triggers, strict=True))
        return self._stabilized(current, min(max(1, scaled.minimum, wanted), scaled.maximum), now=now)

    def _stabilized(self, current: int, wanted: int, *, now: float) -> int:
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - self._scaled.stabilization:
            self._recommended.popleft()
        return wanted if wanted >= current else min(current, max(count for _, count in self._recommended))


def _average(current: int, value: int, trigger: Trigger) -> int:
    """How many replicas the autoscaler wants for a metric of type AverageValue."""
    ratio = value / (trigger.threshold * current)
    return current if abs(1 - ratio) <= TOLERANCE else math.ceil(value / trigger.threshold)


class Readings(Protocol):
    """The current numbers of the triggers, from the broker."""

    async def __call__(self, triggers: Sequence[Trigger]) -> list[int]: ...


class JetStreamReadings:
    """From the monitoring endpoint, which needs no credentials: messages that wait or are being handled."""

    def __init__(self, session: aiohttp.ClientSession, server: NatsServer) -> None:
        self._session = session
        (ports,) = server.directory.glob("*.ports")
        self._endpoint = json.loads(ports.read_text())["monitoring"][0]

    async def __call__(self, triggers: Sequence[Trigger]) -> list[int]:
        account = {trigger.metadata["account"] for trigger in triggers}.pop()
        params = {"acc": account, "consumers": "true", "config": "true"}
        async with self._session.get(f"{self._endpoint}/jsz", params=params) as answer:
            found = await answer.json()
        (details,) = (details for details in found["account_details"] if details["name"] == account)
        return [_lag(details, trigger.metadata["stream"], trigger.metadata["consumer"]) for trigger in triggers]


def _lag(details: Manifest, stream: str, consumer: str) -> int:
    """Fails if the consumer is missing: that is an error for KEDA too."""
    (in_stream,) = (found for found in details["stream_detail"] if found["name"] == stream)
    (state,) = (found for found in in_stream["consumer_detail"] if found["name"] == consumer)
    return int(state["num_pending"]) + int(state["num_ack_pending"])


class RabbitReadings:
    """From a passive declaration: messages that no handler has taken yet."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, triggers: Sequence[Trigger]) -> list[int]:
        return [await self._client.ready(trigger.metadata["queueName"]) for trigger in triggers]
