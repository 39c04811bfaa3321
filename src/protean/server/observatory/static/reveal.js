// The data of a message, shown when asked for, which is on record.

import { post } from "./post.js";

const panel = document.getElementById("data");
const button = panel.querySelector("[data-reveal]");
const error = panel.querySelector(".error");
const shown = panel.querySelector("pre");

button.addEventListener("click", async () => {
  button.disabled = true;
  error.hidden = true;
  try {
    const told = await post(`/api/messages/${encodeURIComponent(panel.dataset.message)}/reveal`, {});
    const whole = Object.keys(told.headers).length ? { data: told.data, headers: told.headers } : told.data;
    shown.textContent = JSON.stringify(whole, null, 2);
    shown.hidden = false;
    button.hidden = true;
    shown.focus();
  } catch (failure) {
    error.textContent = failure.message;
    error.hidden = false;
    button.disabled = false;
  }
});
