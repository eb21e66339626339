// The request that both clients send, and what they do with what comes back.
import { randomUUID } from "node:crypto";

const TERMINAL = ["succeeded", "failed", "cancelled", "rejected"];

export function makeRequest(source) {
  const id = `${source}-${randomUUID()}`;
  return {
    specversion: "1.0",
    type: "dev.jobrelay.job.requested",
    source: `/examples/${source}`,
    id: randomUUID(),
    datacontenttype: "application/json",
    data: {
      id,
      service: "examples",
      job: {
        image: "busybox:1.37",
        command: ["sh", "-c", 'echo "{\\"sum\\": $((17 + 25))}" >"$JOBRELAY_RESULT_PATH"'],
      },
    },
  };
}

// Whether what is told is about this request: others may use the same id, and share its topic.
function concerns(told, event) {
  if ((told.requestsource ?? event.source) !== event.source) return false;
  // That another event was rejected is not the end of this request.
  return told.type !== "dev.jobrelay.job.rejected" || told.causationid === event.id;
}

// The exit code once the request of this event is over, before that undefined.
export function outcome(bytes, event) {
  const told = JSON.parse(new TextDecoder().decode(bytes));
  if (!concerns(told, event)) return;
  const phase = told.type.split(".").at(-1);
  console.log(phase, JSON.stringify(told.data.detail.result ?? null));
  if (TERMINAL.includes(phase)) return phase === "succeeded" ? 0 : 1;
}
