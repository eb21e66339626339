// Publish a request on NATS and wait for its outcome.
//   npm install && node nats.mjs [URL]
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";

import { makeRequest, outcome } from "./request.mjs";

const event = makeRequest("node-nats");
const client = await connect({ servers: process.argv[2] ?? "nats://127.0.0.1:4222" });
// Before the request is out: then nothing of it can be missed.
const told = client.subscribe(`jobrelay.lifecycle.examples.${event.data.id}.*`);
const header = headers();
header.set("Content-Type", "application/cloudevents+json");
// JetStream confirms it; the same msgID within ten minutes is stored once, so a repeat does no harm.
await jetstream(client).publish("jobrelay.requests", JSON.stringify(event), { msgID: event.id, headers: header });
for await (const message of told) {
  const code = outcome(message.data, event);
  if (code !== undefined) {
    process.exitCode = code;
    break;
  }
}
await client.close();
