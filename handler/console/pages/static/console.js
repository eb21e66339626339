// Lists and logs that follow, forms checked as they are typed, keys. All works without.
// Served without comments and indentation (assets.py): no literal may span lines.
const base = document.documentElement.dataset.base ?? "", MOST = 50;
const one = (query, within = document) => within.querySelector(query);
const every = (query, within = document) => [...within.querySelectorAll(query)];
const on = (target, names, work) => names.split(" ").forEach((name) => target.addEventListener(name, work));
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const say = (words, className) => put(Object.assign(one("#live"), { hidden: false, className }), words);

// Values as wording.py has them. Texts are from outside: what nobody sees, or turns lines around, is spelt.
const spell = (it) => `\\u${it.codePointAt().toString(16).padStart(4, 0)}`;
const lines = (text) => text.replace(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu, spell);
const shown = (text) => lines(`${text ?? ""}`).replace(/[\n\t]/g, (it) => (it === "\n" ? "\\n" : "\\t"));
const clipped = (text, most) => shown(text?.length > most ? `${text.slice(0, most - 1)}…` : text);
const span = (seconds, exact) => {
  const parts = [86400, 3600, 60, 1].map((size) => Math.floor(seconds / size)), at = (parts.findIndex(Boolean) + 4) % 4;
  const rest = exact && at % 3 ? `${parts[at + 1] % 60}`.padStart(2, 0) + "dhms"[at + 1] : "";
  return parts[at] + "dhms"[at] + rest;
};
const lasted = (it) => (it == null ? "" : it > 0 && it < 1 ? `${Math.round(it * 1e3) || 1}ms` : span(it, true));
const ago = (when) => {
  const passed = (Date.now() - Date.parse(when)) / 1e3;
  return passed < 0 ? `in ${span(-passed)}` : `${span(passed)} ago`;
};

// Goes on where it was when the server is back, or the page is seen again: until then it needs no stream.
function follow(path, last, takes) {
  let source, timer, over;
  const close = () => { clearTimeout(timer); source?.close(); source = null; };
  const open = () => {
    if (source || over || document.hidden) return;
    const address = new URL(base + path, location);
    if (last) address.searchParams.set("lastEventId", last);
    source = new EventSource(address);
    source.onopen = () => say("Live", "on");
    source.onerror = () => {
      say("Reconnecting…", "off");
      if (source.readyState < 2) return;
      close();
      timer = setTimeout(open, 2e3 + Math.random() * 3e3);
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

function fetched(take) {
  const asked = Object.assign(new XMLHttpRequest(), { onload: () => asked.status === 200 && take(asked.response) });
  asked.open("GET", location);
  asked.responseType = "document";
  asked.send();
}
// Makes a part of the page what the server has now, but for what somebody is at, and a log that is followed.
function morph(old, now) {
  if (!old || !now || old.isEqualNode(now)) return;
  if (old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType !== 1) return (old.data = now.data);
  if (old.dataset.log || (old.matches("a, button, form, pre, details") && old.contains(document.activeElement))) return;
  for (const name of old.getAttributeNames()) if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of now.attributes) old.setAttribute(name, value);
  const was = [...old.childNodes], made = [...now.childNodes];
  made.forEach((node, at) => (was[at] ? morph(was[at], node) : old.append(node)));
  was.slice(made.length).forEach((node) => node.remove());
}

function fill(row, it) {
  const cell = (name) => one(`[data-cell=${name}]`, row), link = one("a", row), box = one("input", row), id = `r${it.number}`;
  if (link.id !== id) {
    row.dataset.number = it.number;
    Object.assign(link, { id, href: `${base}/requests/${it.number}`, textContent: clipped(it.id, 64) });
    box?.setAttribute("aria-labelledby", id);
    box?.setAttribute("value", it.number);
  }
  put(cell("service"), clipped(it.service, 28));
  put(cell("duration"), lasted(it.duration));
  put(cell("exitCode"), shown(it.exitCode));
  put(cell("says"), clipped(it.says, 90));
  const phase = one(".phase", row), time = one("time", row) ?? document.createElement("time");
  phase.className = `phase phase-${it.phase}`;
  put(phase, it.phase);
  time.dateTime = it.updated;
  put(time, ago(it.updated));
  cell("updated").append(time);
}

// Rows change in place. They move, and new ones come, only while nobody points at the list, is in it or has chosen.
function list(table) {
  const news = new Map(), gone = new Set(), rows = new Map(), path = table.dataset.live, blank = one("#row").content.firstElementChild;
  const fresh = one("#fresh");
  let body = table.tBodies[0], pointed, asked, stale, frame;
  const soon = () => { frame ||= requestAnimationFrame(draw); };
  const drop = (row) => { rows.delete(+row?.dataset.number); row?.remove(); };
  const renew = (page) => {
    const now = one("[data-live] tbody", page);
    if (!now) return location.reload();
    body.replaceWith(now);
    body = now;
    rows.clear();
    for (const row of body.rows) rows.set(+row.dataset.number, row);
  };
  function draw() {
    const waits = !asked && (pointed || body.contains(document.activeElement) || one(":checked", body));
    let count = frame = 0;
    for (const [number, it] of news) {
      const row = rows.get(number) ?? (waits ? count++ : blank.cloneNode(true));
      if (row.nodeType) fill(row, it);
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
    fresh.hidden = !count && !stale;
    put(fresh, `Show ${count > MOST || stale ? "many" : count} new`);
  }
  on(fresh, "click", () => soon(asked = true));
  on(table, "focusout change", soon);
  on(table, "pointerenter pointerleave", (event) => {
    soon(pointed = event.pointerType === "mouse" && event.type === "pointerenter");
  });
  renew(document);
  follow(`${path}${path.includes("?") ? "&" : "?"}limit=${MOST}`, table.dataset.position, {
    requests: (them) => soon(them.forEach((it) => {
      gone.delete(it.number);
      news.delete(it.number);
      news.set(it.number, it);
      if (news.size > 200) news.delete(news.keys().next().value);
    })),
    gone: (them) => soon(them.forEach((it) => { news.delete(it); gone.add(it); })),
    resync: () => soon(stale = true),
  });
  setInterval(() => document.hidden || fetched((page) => morph(one(".cards"), one(".cards", page))), 3e4);
}

function story(main) {
  let timer;
  const renew = () => { timer ||= setTimeout(() => {
    timer = 0;
    fetched((page) => { morph(main, one("main", page)); every("[data-log]").forEach(log); });
  }, 500); };
  follow(`/api/v1/requests/${main.dataset.request}/stream`, main.dataset.position, {
    told(it) { say(`Live: ${it.phase}`, "on"); renew(); }, resync: renew,
  });
  on(main, "over", renew);
}

const ended = new Set();
function log(pre) {
  const box = one("#follow"), label = box?.parentElement, end = () => { if (box.checked) pre.scrollTop = pre.scrollHeight; };
  const path = pre.dataset.log;
  let begun, waiting = "";
  if (!box || ended.has(path)) return;
  label.hidden = false;
  if (pre.dataset.begun) return;
  const draw = () => {
    if (!begun) put(pre, "");
    pre.append(waiting.slice(-2e5));
    waiting = "";
    while (pre.childNodes.length > 500) pre.firstChild.remove();
    begun = true;
    end();
  };
  pre.dataset.begun = box.checked = true;
  on(box, "change", end);
  end();
  follow(path, "", {
    log(text) { if (!waiting) requestAnimationFrame(draw); waiting += lines(text); },
    end() { ended.add(path); delete pre.dataset.log; label.hidden = true; pre.dispatchEvent(new Event("over", { bubbles: true })); },
  });
}

function check(form) {
  const typed = new Set();
  let timer;
  on(form, "input change", ({ target }) => {
    typed.add(target.name);
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const body = new URLSearchParams(new FormData(form)), answer = await fetch(base + form.dataset.check, { method: "POST", body });
      const { fields } = answer.ok ? await answer.json() : {};
      if (fields) for (const slot of every("[data-error-for]", form)) {
        const name = slot.dataset.errorFor, words = (typed.has(name) && fields[name]) || "";
        slot.hidden = !words;
        put(slot, words);
        form.elements[name]?.setAttribute?.("aria-invalid", !!words);
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
  const enabled = one("#keys");
  enabled.checked = !localStorage.keysOff;
  on(enabled, "change", () => { localStorage.keysOff = enabled.checked ? "" : "1"; });
  on(document, "keydown", (event) => {
    const { target, key } = event, links = every(".rows tbody a"), at = links.indexOf(target);
    const to = { "/": one("[type=search]"), "?": help, j: links[at + 1], k: links[at - 1] }[key];
    if (!to || !enabled.checked || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
    event.preventDefault();
    to === help ? help.showModal() : to.focus();
  });
}

const parts = { "[data-live]": list, "[data-request]": story, "[data-log]": log, "[data-check]": check, "#select-all": bulk, "#help": keys,
  "#pending": () => setInterval(() => document.hidden || fetched((page) => one("#pending", page) || location.reload()), 3e3) };
// Each by itself: where one fails, the others do not.
for (const query in parts) every(query).forEach((it) => queueMicrotask(() => parts[query](it)));
setInterval(() => every("time").forEach((it) => { if (/ ago$|^in \d/.test(it.textContent)) put(it, ago(it.dateTime)); }), 1e3);
