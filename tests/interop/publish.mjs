// Publishes CloudEvents of their SDK to jobrelay, and prints each message as it was sent.
//   node publish.mjs nats|rabbitmq URL
import { jetstream } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import amqp from "amqplib";
import { CloudEvent, HTTP } from "cloudevents";

const PREFIXES = { "node-ce": "ce-", "node-colon": "cloudEvents:", "node-underscore": "cloudEvents_" };

const [broker, url] = process.argv.slice(2);
const send = await { nats: toNats, rabbitmq: toRabbitMQ }[broker]();
const data = { text: "Grüße", list: [1.5, 2] };
await send("node-structured", HTTP.structured(made("node-structured", { data })));
await send("node-text", HTTP.binary(made("node-text", { datacontenttype: "text/plain", data: "Grüße aus Node" })));
await send("node-bytes", HTTP.structured(made("node-bytes", { datacontenttype: "text/plain", data: Buffer.from("Grüße") })));
for (const [id, prefix] of Object.entries(broker === "nats" ? { "node-ce": "ce-" } : PREFIXES)) {
  await send(id, prefixed(HTTP.binary(made(id, { data })), prefix));
}
await send();

function made(id, fields) {
  return new CloudEvent({ id, type: "com.example.made", source: "/node", subject: "für dich", urgent: true, count: 7, ...fields });
}

// The SDK writes the headers of HTTP: other bindings have other prefixes.
function prefixed({ headers, body }, prefix) {
  const renamed = Object.entries(headers).map(([name, value]) => [name.replace(/^ce-/, prefix), value]);
  return { headers: Object.fromEntries(renamed), body };
}

function print(id, headers, contentType, body) {
  console.log(JSON.stringify({ id, headers, contentType, body: Buffer.from(body).toString("base64") }));
}

// NATS has headers of text.
async function toNats() {
  const client = await connect({ servers: url });
  return async (id, message) => {
    if (message === undefined) return client.close();
    const header = headers();
    for (const [name, value] of Object.entries(message.headers)) header.set(name, String(value));
    await jetstream(client).publish("jobrelay.requests", message.body, { headers: header });
    print(id, Object.fromEntries([...header].map(([name, [value]]) => [name, value])), null, message.body);
  };
}

// RabbitMQ has a property for the content type, and headers of several types.
async function toRabbitMQ() {
  const connection = await amqp.connect(url);
  const channel = await connection.createConfirmChannel();
  return async (id, message) => {
    if (message === undefined) return connection.close();
    const { "content-type": contentType, ...rest } = message.headers;
    channel.publish("jobrelay.requests", "", Buffer.from(message.body), { contentType, headers: rest, persistent: true });
    await channel.waitForConfirms();
    print(id, rest, contentType, message.body);
  };
}
