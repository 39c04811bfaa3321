// One stream of figures for the tab: open while somebody can see it, tried again at growing intervals when it breaks.

import { base } from "./bind.js";
import { duration } from "./format.js";
import { shape } from "./shape.js";

// Seconds without news after which the page says so: more than the server is silent for when it is well. And seconds
// until it is tried again, at first and at most.
const STALE = 12;
const FIRST_WAIT = 0.5;
const LONGEST_WAIT = 15;

const connection = document.getElementById("connection");
const stale = document.getElementById("stale");
const listeners = new Set();

let source = null;
let wait = FIRST_WAIT;
let retry = null;
let heardAt = performance.now();
let latest = null;

/** Be told each second's figures, shaped as shape.js does; at once if there are some already. */
export function onFigures(listener) {
  listeners.add(listener);
  if (latest) listener(latest);
}

export function begin() {
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  setInterval(tell, 1000);
  open();
}

function open() {
  if (source || document.hidden) return;
  clearTimeout(retry);
  say("waiting", "connecting");
  source = new EventSource(`${base}/live`);
  source.addEventListener("snapshot", (event) => {
    heardAt = performance.now();
    wait = FIRST_WAIT;
    latest = shape(JSON.parse(event.data));
    for (const listener of listeners) listener(latest);
    tell();
  });
  source.onerror = () => {
    close();
    const jittered = wait * (0.5 + Math.random());
    wait = Math.min(LONGEST_WAIT, wait * 2);
    retry = setTimeout(open, jittered * 1000);
    tell();
  };
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function tell() {
  const silent = (performance.now() - heardAt) / 1000;
  const late = silent > STALE && !document.hidden;
  stale.hidden = !late;
  document.body.classList.toggle("stale", late);
  if (late) {
    stale.textContent = `No news for ${duration(Math.floor(silent))}: the Observatory does not answer. What is shown is as it last was; it is tried again by itself.`;
    say("lost", `no news for ${duration(Math.floor(silent))}`);
  } else if (latest && source) say("live", "live");
}

function say(state, text) {
  if (connection.dataset.state !== state) connection.dataset.state = state;
  if (connection.textContent !== text) connection.textContent = text;
}
