// Replaying and discarding: what was shown is counted, confirmed, begun, and followed to its end.

import { follow } from "./following.js";
import { post } from "./post.js";

const dialog = document.getElementById("deciding");
const form = dialog.querySelector("form");
const title = dialog.querySelector("h2");
const error = dialog.querySelector(".error");
const underWay = dialog.querySelector(".under-way");
const bar = dialog.querySelector("progress");
const said = underWay.querySelector("p");
const submit = form.querySelector(".act");
const close = dialog.querySelector("[data-close]");
const number = new Intl.NumberFormat("en");
let chosen = null;
let changed = false;

document.getElementById("content").addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide]");
  if (!button) return;
  const { decide, scope, expected, what } = button.dataset;
  chosen = { action: decide, scope: JSON.parse(scope), expected: Number(expected) };
  title.textContent = `${decide === "replay" ? "Replay" : "Discard"} ${what}?`;
  form.reset();
  show("asking");
  dialog.showModal();
});

function show(stage) {
  const asking = stage === "asking";
  const many = chosen.expected > 1;
  for (const part of form.querySelectorAll("[data-part]")) {
    const wanted = part.dataset.part === "count" ? many : part.dataset.part === chosen.action;
    part.hidden = !asking || !wanted;
  }
  form.querySelector(".expected").textContent = String(chosen.expected);
  form.elements.reason.required = asking && chosen.action === "discard";
  form.elements.count.required = asking && many;
  underWay.hidden = asking;
  error.hidden = true;
  submit.hidden = !asking;
  submit.disabled = false;
  submit.textContent = chosen.action === "replay" ? "Replay" : "Discard";
  submit.classList.toggle("danger", chosen.action === "discard");
  close.textContent = asking ? "Cancel" : "Close";
}

function complain(text) {
  error.textContent = text;
  error.hidden = false;
}

close.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  if (changed) location.reload();
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { action, scope, expected } = chosen;
  if (expected > 1 && Number(form.elements.count.value) !== expected) {
    complain(`It is about ${number.format(expected)}. Type ${expected} to confirm that.`);
    return;
  }
  const body = { scope, expected };
  if (action === "discard") body.reason = form.elements.reason.value;
  submit.disabled = true;
  try {
    const { operation } = await post(`/api/actions/${action}`, body);
    changed = true;
    show("under way");
    const ended = await follow(operation, tell);
    if (ended.error) complain(ended.error);
  } catch (failure) {
    submit.disabled = false;
    complain(failure.message);
  }
});

function tell(operation) {
  bar.max = Math.max(1, operation.total);
  bar.value = operation.state === "running" ? operation.done : bar.max;
  const far = `${number.format(operation.done)} of ${number.format(operation.total)}`;
  said.textContent = operation.state === "running" ? `${far}. You may close this: it goes on, and is under Operations.` : operation.result;
}
