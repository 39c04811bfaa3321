// The keyboard: `/` filter, `?` help, `g` and a letter for a page. Silent while somebody writes.

// Milliseconds within which the letter must follow `g`.
const CHORD = 1200;

const help = document.getElementById("keys");
const actions = new Map();
let going = -Infinity;

/** Have a key do something on this page. */
export function onKey(key, action) {
  actions.set(key, action);
}

export function begin() {
  const button = document.getElementById("show-keys");
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && event.target.matches("input")) event.target.blur();
    if (event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
    if (press(event.key, event.timeStamp, event.target)) event.preventDefault();
  });
}

function press(key, now, target) {
  if (now - going < CHORD) {
    going = -Infinity;
    const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
    link?.click();
    return Boolean(link);
  }
  if (key === "g") going = now;
  else if (key === "?") help.showModal();
  else if (key === "/") return focusFilter();
  else if (actions.has(key) && !(key === " " && target.matches("button, a, summary"))) actions.get(key)();
  else return false;
  return true;
}

function focusFilter() {
  const filter = document.querySelector("[data-filter]");
  filter?.focus();
  filter?.select?.();
  return Boolean(filter);
}
