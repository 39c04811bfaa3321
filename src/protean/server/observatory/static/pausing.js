// Pausing a handler on a lane, and letting it go on. What comes of it shows with the next figures.

import { post } from "./post.js";

const dialog = document.getElementById("pausing");
const form = dialog.querySelector("form");
const title = dialog.querySelector("h2");
const error = dialog.querySelector(".error");
const asking = [...form.querySelectorAll("label, .muted")];
const submit = form.querySelector(".act");
let chosen = null;

document.getElementById("content").addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const handler = button.closest("tr").dataset.item;
  ask(button.dataset.act, handler, button.dataset.lane);
});

function ask(action, handler, lane) {
  chosen = { action, handler, lane };
  const pausing = action === "pause";
  title.textContent = pausing ? `Pause ${handler} on the ${lane} lane` : `Let ${handler} go on, on the ${lane} lane?`;
  submit.textContent = pausing ? "Pause" : "Resume";
  for (const element of asking) element.hidden = !pausing;
  for (const input of form.querySelectorAll("input")) input.disabled = !pausing;
  form.reset();
  error.hidden = true;
  dialog.showModal();
}

dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { action, ...body } = chosen;
  if (action === "pause") {
    body.reason = form.elements.reason.value;
    body.minutes = Number(form.elements.minutes.value);
  }
  submit.disabled = true;
  error.hidden = true;
  try {
    await post(`/api/actions/${action}`, body);
    dialog.close();
  } catch (failure) {
    error.textContent = failure.message;
    error.hidden = false;
  } finally {
    submit.disabled = false;
  }
});
