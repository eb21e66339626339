"""Publish a request on NATS and wait for its outcome: nats-py alone, nothing of jobrelay's.

pip install nats-py
python python_nats.py [URL]
"""

import asyncio
import json
import sys
import uuid

import nats

TERMINAL = ("succeeded", "failed", "cancelled", "rejected")


def concerns(told: dict[str, object], event: dict[str, object]) -> bool:
    """Whether what is told is about this request: others may use the same id, and share its topic."""
    if told.get("requestsource", event["source"]) != event["source"]:
        return False
    # That another event was rejected is not the end of this request.
    return told["type"] != "dev.jobrelay.job.rejected" or told.get("causationid") == event["id"]


async def main(url: str) -> int:
    request_id = f"python-nats-{uuid.uuid4()}"
    event_id = str(uuid.uuid4())
    event: dict[str, object] = {
        "specversion": "1.0",
        "type": "dev.jobrelay.job.requested",
        "source": "/examples/python-nats",
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
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        # Before the request is out: then nothing of it can be missed.
        outcome = await client.subscribe(f"jobrelay.lifecycle.examples.{request_id}.*")
        # JetStream confirms it; the same Nats-Msg-Id within ten minutes is stored once, so a repeat does no harm.
        headers = {"Content-Type": "application/cloudevents+json", "Nats-Msg-Id": event_id}
        await stream.publish("jobrelay.requests", json.dumps(event).encode(), headers=headers, timeout=10)
        while True:
            message = await outcome.next_msg(timeout=600)
            told = json.loads(message.data)
            if not concerns(told, event):
                continue
            phase = told["type"].rpartition(".")[2]
            print(phase, json.dumps(told["data"]["detail"].get("result")))
            if phase in TERMINAL:
                return 0 if phase == "succeeded" else 1
    finally:
        await client.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222")))
