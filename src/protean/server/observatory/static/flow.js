// Steps as they happen. While somebody reads (pointer on the rows, scrolled down, or Space) nothing moves: what comes
// is kept, counted, and shown at a click. Filters live in the address.

import { base } from "./bind.js";
import { duration } from "./format.js";
import { onKey } from "./keys.js";

// Rows kept, rows drawn in one go, and milliseconds between two drawings. More is slower to read than to draw.
const KEPT = 400;
const AT_ONCE = 120;
const EVERY = 250;
// Seconds until it is tried again, at first and at most.
const FIRST_WAIT = 0.5;
const LONGEST_WAIT = 15;

const SIGNS = {
  "outbox.published": ["↑", "published"],
  "outbox.failed": ["✗", "not published"],
  "handler.started": ["▸", "started"],
  "handler.completed": ["✓", "completed"],
  "handler.failed": ["✗", "failed"],
  "message.acked": ["·", "acked"],
  "message.retried": ["↻", "will be retried"],
  "message.dlq": ["☠", "dead letter"],
};
const BAD = new Set(["outbox.failed", "handler.failed", "message.dlq"]);

const form = document.getElementById("wanted");
const panel = document.getElementById("flow");
const body = panel.querySelector("tbody");
const scroller = panel.querySelector(".scroll");
const state = document.getElementById("flow-state");
const news = document.getElementById("flow-news");
const freeze = document.getElementById("flow-freeze");
const empty = document.getElementById("flow-empty");

let source = null;
let waiting = [];
let skipped = 0;
let wait = FIRST_WAIT;
let retry = null;
let frozen = false;
let reading = false;
let hiddenAt = null;

const lane = () => form.elements.lane.value;
const suffix = `:${panel.dataset.backfill}`;
const laneOf = (stream) => (panel.dataset.backfill && stream.endsWith(suffix) ? "backfill" : "primary");
const away = () => scroller.scrollTop > 4 || (scroller.scrollHeight <= scroller.clientHeight && scrollY > 4);
const held = () => frozen || reading || away();

function wanted() {
  const found = new URLSearchParams();
  for (const name of ["category", "lane", "event", "type"]) {
    const value = form.elements[name].value.trim();
    if (value) found.set(name, value);
  }
  return found;
}

function open() {
  close();
  if (document.hidden) return;
  const query = wanted();
  query.delete("lane"); // either lane's stream has a name of its own, which prefixes may change: told apart here
  source = new EventSource(`${base}/stream?${query}`);
  source.onopen = () => {
    wait = FIRST_WAIT;
  };
  source.addEventListener("trace", (event) => {
    const trace = JSON.parse(event.data);
    if (!lane() || laneOf(trace.stream ?? "") === lane()) take(trace);
  });
  source.addEventListener("dropped", (event) => note(`${JSON.parse(event.data).count} steps were left out: there are more than this page can show`));
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return; // the browser goes on by itself, from where it was
    close();
    retry = setTimeout(open, wait * (0.5 + Math.random()) * 1000);
    wait = Math.min(LONGEST_WAIT, wait * 2);
  };
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function take(trace) {
  waiting.push(trace);
  if (waiting.length > KEPT) {
    waiting.shift();
    skipped += 1;
  }
}

function note(text) {
  take({ note: text });
}

function draw() {
  const count = waiting.length + skipped;
  const moving = !held();
  panel.dataset.held = moving ? "" : "held";
  news.hidden = moving || count === 0;
  if (!news.hidden) news.textContent = `${count.toLocaleString("en-US")} new`;
  say();
  if (!moving || count === 0) return;
  show(AT_ONCE);
}

function show(most) {
  const left = skipped + Math.max(0, waiting.length - most);
  const shown = waiting.slice(-most);
  waiting = [];
  skipped = 0;
  const rows = shown.map((trace) => (trace.note ? line(trace.note) : row(trace)));
  if (left) rows.unshift(line(`${left.toLocaleString("en-US")} steps more, too fast to be shown`));
  body.prepend(...rows.reverse());
  while (body.children.length > KEPT) body.lastElementChild.remove();
  empty.hidden = body.children.length > 0;
}

function say() {
  let text = "connecting";
  if (frozen) text = "frozen";
  else if (held()) text = "stands still while you read";
  else if (source?.readyState === EventSource.OPEN) text = "live";
  else if (source === null) text = "connection lost, tried again by itself";
  if (state.textContent !== text) state.textContent = text;
}

function cell(text, name = "") {
  const element = document.createElement("td");
  element.className = name;
  element.textContent = text ?? "";
  return element;
}

function row(trace) {
  const element = document.createElement("tr");
  const [sign, said] = SIGNS[trace.event] ?? ["", trace.event];
  if (BAD.has(trace.event)) element.className = "failed";
  const step = cell("", "nowrap step");
  const mark = document.createElement("span");
  mark.className = "mark";
  mark.setAttribute("aria-hidden", "true");
  mark.textContent = sign;
  step.title = trace.event;
  step.append(mark, said);
  if (trace.error) step.append(` ${trace.error}`);

  const message = cell("");
  const link = document.createElement("a");
  link.href = `${base}/messages/${encodeURIComponent(trace.message_id ?? "")}`;
  link.textContent = trace.message_type ?? "unknown";
  const id = document.createElement("span");
  id.className = "id";
  id.textContent = (trace.message_id ?? "").slice(0, 8);
  message.append(link, " ", id);

  const stream = cell("", "nowrap");
  const shape = document.createElement("span");
  shape.className = "lane";
  shape.dataset.lane = laneOf(trace.stream ?? "");
  shape.textContent = trace.stream;
  stream.append(shape);

  const milliseconds = (value) => (value === null || value === undefined ? "" : duration(Math.max(0, value) / 1000));
  element.append(
    cell((trace.timestamp ?? "").slice(11, 23), "nowrap mono"),
    step,
    message,
    stream,
    cell(trace.handler),
    cell(milliseconds(trace.duration_ms), "num"),
    cell(milliseconds(trace.latency_ms), "num"),
    cell(trace.priority, "num"),
  );
  return element;
}

function line(text) {
  const element = document.createElement("tr");
  const whole = cell(text, "muted note");
  whole.colSpan = 8;
  element.append(whole);
  return element;
}

function toggle() {
  frozen = !frozen;
  freeze.firstChild.textContent = frozen ? "Go on " : "Freeze ";
  draw();
}

function restart() {
  const query = wanted().toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
  body.replaceChildren();
  empty.hidden = false;
  waiting = [];
  skipped = 0;
  open();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  restart();
});
form.addEventListener("change", restart);
body.addEventListener("pointerenter", (event) => {
  if (event.pointerType === "mouse") reading = true;
});
body.addEventListener("pointerleave", () => {
  reading = false;
});
body.addEventListener("focusin", () => {
  reading = true;
});
body.addEventListener("focusout", () => {
  reading = false;
});
freeze.addEventListener("click", toggle);
news.addEventListener("click", () => {
  scroller.scrollTop = 0;
  scrollTo({ top: 0 });
  show(KEPT);
  draw();
});
onKey(" ", toggle);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenAt = performance.now();
    close();
  } else if (hiddenAt !== null) {
    note(`nobody looked for ${duration((performance.now() - hiddenAt) / 1000)}: what happened then is not shown`);
    hiddenAt = null;
    open();
  }
});
addEventListener("pagehide", close);
setInterval(draw, EVERY);
open();
