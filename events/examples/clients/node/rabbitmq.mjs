// Publish a request on RabbitMQ and wait for its outcome.
//   npm install && node rabbitmq.mjs [URL]
import amqp from "amqplib";

import { makeRequest, outcome } from "./request.mjs";

const event = makeRequest("node-rabbitmq");
const connection = await amqp.connect(process.argv[2] ?? "amqp://guest:guest@127.0.0.1/");
const channel = await connection.createConfirmChannel();
// Before the request is out: then nothing of it can be missed. The queue goes with this connection.
const { queue } = await channel.assertQueue("", { exclusive: true });
await channel.bindQueue(queue, "jobrelay.lifecycle", `examples.${event.data.id}.*`);
const over = new Promise((resolve) => {
  const take = (message) => {
    const code = outcome(message.content, event);
    if (code !== undefined) resolve(code);
  };
  channel.consume(queue, take, { noAck: true });
});
channel.publish("jobrelay.requests", "", Buffer.from(JSON.stringify(event)), {
  contentType: "application/cloudevents+json",
  persistent: true,
  messageId: event.id,
});
// RabbitMQ confirms it: only then is it on disk.
await channel.waitForConfirms();
process.exitCode = await over;
await connection.close();
