"""Publish a request on RabbitMQ and wait for its outcome: aio-pika alone, nothing of jobrelay's.

pip install aio-pika
python python_rabbitmq.py [URL]
"""

import asyncio
import json
import sys
import uuid

import aio_pika

TERMINAL = ("succeeded", "failed", "cancelled", "rejected")


def concerns(told: dict[str, object], event: dict[str, object]) -> bool:
    """Whether what is told is about this request: others may use the same id, and share its topic."""
    if told.get("requestsource", event["source"]) != event["source"]:
        return False
    # That another event was rejected is not the end of this request.
    return told["type"] != "dev.jobrelay.job.rejected" or told.get("causationid") == event["id"]


async def main(url: str) -> int:
    request_id = f"python-rabbitmq-{uuid.uuid4()}"
    event_id = str(uuid.uuid4())
    event: dict[str, object] = {
        "specversion": "1.0",
        "type": "dev.jobrelay.job.requested",
        "source": "/examples/python-rabbitmq",
        "id": event_id,
        "datacontenttype": "application/json",
        "data": {
            "id": request_id,
            "service": "examples",
            "job": {
                "image": "busybox:1.37",
                "command": ["sh", "-c", 'echo "{\\"sum\\": $((17 + 25))}" >"$JOBRELAY_RESULT_PATH"'],
            },
        },
    }
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        # Before the request is out: then nothing of it can be missed. The queue goes with this connection.
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("jobrelay.lifecycle", routing_key=f"examples.{request_id}.*")
        message = aio_pika.Message(
            json.dumps(event).encode(),
            content_type="application/cloudevents+json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event_id,
        )
        requests = await channel.get_exchange("jobrelay.requests")
        await requests.publish(message, routing_key="", timeout=10)
        async with asyncio.timeout(600), queue.iterator(no_ack=True) as outcome:
            async for received in outcome:
                told = json.loads(received.body)
                if not concerns(told, event):
                    continue
                phase = told["type"].rpartition(".")[2]
                print(phase, json.dumps(told["data"]["detail"].get("result")))
                if phase in TERMINAL:
                    return 0 if phase == "succeeded" else 1
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1/")))
