// The one script of the pages: what follows, what is checked while it is typed, keys. Everything works without it.
const base = document.documentElement.dataset.base ?? "", MOST = 50;
const one = (query, within = document) => within.querySelector(query);
const every = (query, within = document) => [...within.querySelectorAll(query)];
const on = (target, names, work) => names.split(" ").forEach((name) => target.addEventListener(name, work));
const put = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };
const make = (name, given) => Object.assign(document.createElement(name), given);
const say = (words, good) => {
  const live = one("#live");
  live.hidden = false;
  live.className = good ? "on" : "off";
  put(live, words);
};

// Values as pages/wording.py has them. Texts are from outside: what nobody sees, or turns lines around, is spelt.
const GLYPHS = Object.fromEntries(`✓succeeded ✗failed ✗rejected ▶started ▶progress ▶resumed ◷created ◷queued ◷scheduled
‖suspended ⊘cancelled !stalled ↻retrying ◌unscheduled`.split(/\s/).map((it) => [it.slice(1), it[0]]));
const spell = (it) => `\\u${it.codePointAt().toString(16).padStart(4, 0)}`;
const lines = (text) => text.replace(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu, spell);
const shown = (text) => lines(`${text ?? ""}`).replace(/[\n\t]/g, (it) => (it === "\n" ? "\\n" : "\\t"));
const clipped = (text, most) => shown(text?.length > most ? `${text.slice(0, most - 1)}…` : text);
const short = (text, most = 28, head = Math.floor((most - 1) / 3)) =>
  shown(text?.length > most ? `${text.slice(0, head)}…${text.slice(head + 1 - most)}` : text);
const split = (seconds) => [86400, 3600, 60, 1].map((size) => Math.floor(seconds / size));
const two = (number) => `${number % 60}`.padStart(2, 0);
const lasted = (seconds) => {
  if (seconds == null) return "";
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))}ms`;
  const [d, h, m, s] = split(seconds);
  return d ? `${d}d` : h ? `${h}h${two(m)}m` : m ? `${m}m${two(s)}s` : `${s}s`;
};
const ago = (when) => {
  const passed = (Date.now() - Date.parse(when)) / 1000, parts = split(Math.abs(passed));
  const at = parts.findIndex((it) => it), words = at < 0 ? "0s" : parts[at] + "dhms"[at];
  return passed < 0 ? `in ${words}` : `${words} ago`;
};

// A stream goes on where it was when the server comes back, or the page is seen again: until then it needs none.
function follow(path, last, takes, quiet) {
  let source, timer, over;
  const close = () => { clearTimeout(timer); source?.close(); source = null; };
  const open = () => {
    if (source || over || document.hidden) return;
    const address = new URL(base + path, location);
    if (last) address.searchParams.set("lastEventId", last);
    source = new EventSource(address);
    source.onopen = () => quiet || say("Live", true);
    source.onerror = () => {
      if (!quiet) say("Reconnecting…");
      if (source?.readyState !== 2) return;
      close();
      timer = setTimeout(open, 2000 + Math.random() * 3000);
    };
    for (const name in takes) on(source, name, (event) => {
      last = event.lastEventId || last;
      if (name === "end") { over = true; close(); }
      takes[name](JSON.parse(event.data));
    });
  };
  on(document, "visibilitychange", () => (document.hidden ? close() : open()));
  open();
}

// This page as the server has it now.
function fetched(take) {
  const asked = new XMLHttpRequest();
  asked.responseType = "document";
  asked.onload = () => asked.status === 200 && take(asked.response);
  asked.open("GET", location);
  asked.send();
}
// Make a part of the page what it is now, but for what somebody is at, and a log that is followed.
function morph(old, now) {
  if (!old || !now || old.isEqualNode(now)) return;
  if (old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType !== 1) return (old.data = now.data);
  if (old.dataset.log || (old.matches("a, button, form, pre, details") && old.contains(document.activeElement))) return;
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of now.attributes) old.setAttribute(name, value);
  const was = [...old.childNodes], made = [...now.childNodes];
  made.forEach((node, at) => (was[at] ? morph(was[at], node) : old.append(node)));
  was.slice(made.length).forEach((node) => node.remove());
}

function fill(row, it) {
  const cell = (name) => one(`[data-cell=${name}]`, row), link = one("a", row), box = one("input", row), id = `r${it.number}`;
  if (link.id !== id) {
    row.dataset.number = it.number;
    Object.assign(link, { id, href: `${base}/requests/${it.number}`, textContent: short(it.id, 64) });
    box?.setAttribute("aria-labelledby", id);
    if (box) box.value = it.number;
  }
  put(cell("service"), short(it.service));
  put(cell("duration"), lasted(it.duration));
  put(cell("exitCode"), shown(it.exitCode));
  put(cell("says"), clipped(it.says, 90));
  const phase = one(".phase", row), glyph = one("span", phase), time = one("time", row) ?? make("time");
  phase.className = `phase${GLYPHS[it.phase] ? ` phase-${it.phase}` : ""}`;
  put(glyph, GLYPHS[it.phase] ?? "·");
  phase.replaceChildren(glyph, ` ${shown(it.phase)}`);
  time.dateTime = it.updated;
  put(time, ago(it.updated));
  cell("updated").append(time);
}

// Rows change in place at once. They move, and new ones come, while nobody points at the list, is in it or has chosen.
function list(table) {
  const news = new Map(), gone = new Set(), rows = new Map(), path = table.dataset.live;
  const fresh = make("button", { type: "button", id: "fresh", hidden: true });
  let body = table.tBodies[0], pointed, asked, stale, frame;
  const held = () => !asked && (pointed || body.contains(document.activeElement) || one(":checked", body));
  const soon = () => { frame ||= requestAnimationFrame(draw); };
  const read = () => { for (const row of body.rows) rows.set(+row.dataset.number, row); };
  const drop = (row) => { rows.delete(+row?.dataset.number); row?.remove(); };
  const renew = (page) => {
    const now = one("[data-live] tbody", page);
    if (!now) return location.reload();
    body.replaceWith(now);
    body = now;
    rows.clear();
    read();
  };
  function draw() {
    const waits = held();
    frame = 0;
    for (const [number, it] of news) {
      const row = rows.get(number) ?? (waits ? null : one("#row").content.cloneNode(true).firstElementChild);
      if (row) fill(row, it);
      if (!waits) { rows.set(number, row); body.prepend(row); }
    }
    if (!waits) {
      gone.forEach((number) => drop(rows.get(number)));
      while (body.rows.length > MOST) drop(body.lastElementChild);
      if (rows.size) one("#empty")?.remove();
      if (stale) fetched(renew);
      news.clear();
      gone.clear();
      asked = stale = false;
    }
    for (const number of news.keys()) if (news.size > 4 * MOST) news.delete(number);
    const count = [...news.keys()].filter((number) => !rows.has(number)).length;
    fresh.hidden = !count && !stale;
    put(fresh, `Show ${count > MOST || stale ? "many" : count} new`);
  }
  table.after(fresh);
  on(fresh, "click", () => { asked = true; soon(); });
  on(table, "focusout change", soon);
  on(table, "pointerenter pointerleave", (event) => {
    pointed = event.pointerType === "mouse" && event.type === "pointerenter";
    soon();
  });
  read();
  follow(`${path}${path.includes("?") ? "&" : "?"}limit=${MOST}`, table.dataset.position, {
    requests(them) { for (const it of them) { gone.delete(it.number); news.delete(it.number); news.set(it.number, it); } soon(); },
    gone(them) { for (const number of them) { news.delete(number); gone.add(number); } soon(); },
    resync() { stale = true; soon(); },
  });
  setInterval(() => document.hidden || fetched((page) => morph(one(".cards"), one(".cards", page))), 30000);
}

function story(main) {
  let timer;
  const renew = () => { timer ??= setTimeout(() => {
    timer = null;
    fetched((page) => { morph(main, one("main", page)); every("[data-log]").forEach(log); });
  }, 500); };
  follow(`/api/v1/requests/${main.dataset.request}/stream`, main.dataset.position, {
    request(it) { say(`Live: ${shown(it.phase)}`, true); renew(); }, told() {}, resync: renew,
  });
  on(main, "over", renew);
}

function log(pre) {
  const box = one("#follow");
  let begun, waiting = "", frame;
  if (!box || pre.dataset.begun) return;
  const end = () => { if (box.checked) pre.scrollTop = pre.scrollHeight; };
  const add = (text) => {
    waiting += lines(text);
    frame ||= requestAnimationFrame(() => {
      if (!begun) put(pre, "");
      begun = true;
      pre.append(waiting.slice(-2e5));
      frame = waiting = "";
      while (pre.childNodes.length > 500) pre.firstChild.remove();
      end();
    });
  };
  pre.dataset.begun = box.checked = true;
  box.parentElement.hidden = false;
  on(box, "change", end);
  end();
  follow(pre.dataset.log, "", {
    log: add,
    gap() { add("\n[jobrelay: something is missing here]\n"); },
    resync() { begun = false; },
    end() { delete pre.dataset.log; box.parentElement.hidden = true; pre.dispatchEvent(new Event("over", { bubbles: true })); },
  }, true);
}

// Faults stand beside the fields that were typed in, and no earlier.
function check(form) {
  const typed = new Set();
  let timer, turn = 0;
  on(form, "input change", ({ target }) => {
    typed.add(target.name);
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++turn, body = new URLSearchParams(new FormData(form));
      const answer = await fetch(base + form.dataset.check, { method: "POST", body });
      const errors = answer.ok && (await answer.json()).errors;
      if (errors && mine === turn) for (const slot of every("[data-error-for]", form)) {
        const path = slot.dataset.errorFor, found = typed.has(path) && errors.find((it) => `${it.path}.`.replace("[", ".").startsWith(`${path}.`));
        put(slot, found ? shown(found.message) + (found.allowed ? `; allowed: ${clipped(found.allowed, 200)}` : "") : "");
        slot.hidden = !found;
        form.elements[path]?.setAttribute?.("aria-invalid", !!found);
      }
    }, 400);
  });
}

function bulk(whole) {
  const note = one("#chosen"), words = note.textContent;
  whole.closest("label").hidden = false;
  on(whole.form, "change", ({ target }) => {
    const boxes = every("tbody [type=checkbox]", whole.form);
    if (target === whole) for (const it of boxes) it.checked = whole.checked;
    const { length } = boxes.filter((it) => it.checked);
    whole.checked = length && length === boxes.length;
    put(note, length ? `${length} selected` : words);
  });
}

function keys(help) {
  const enabled = make("input", { type: "checkbox", checked: !localStorage.keysOff }), label = make("label", { className: "check" });
  label.append(enabled, "Keys are on");
  one("form", help).before(label);
  on(enabled, "change", () => { localStorage.keysOff = enabled.checked ? "" : "1"; });
  on(document, "keydown", (event) => {
    const { target } = event, links = every(".rows tbody a"), at = links.findIndex((it) => it.closest("tr").contains(target));
    const act = { "/": () => one("[type=search]")?.focus(), "?": () => help.showModal(),
      j: () => links[at + 1]?.focus(), k: () => links[at - 1]?.focus() }[event.key];
    if (!act || !enabled.checked || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    event.preventDefault();
    act();
  });
}

const parts = { "[data-live]": list, "[data-request]": story, "[data-log]": log, "[data-check]": check, "#select-all": bulk, "#help": keys };
for (const query in parts) every(query).forEach((it) => { try { parts[query](it); } catch (error) { console.error(error); } });
setInterval(() => every("time").forEach((it) => { if (/ ago$|^in \d/.test(it.textContent)) put(it, ago(it.dateTime)); }), 1000);
