// Operations that are under way, followed to their end.

import { follow } from "./following.js";

for (const row of document.querySelectorAll("[data-operation]")) {
  const bar = row.querySelector("progress");
  const text = row.querySelector(".result span");
  follow(row.dataset.operation, (operation) => {
    bar.value = operation.done;
    text.textContent = `${operation.done} of ${operation.total}`;
  }).then(
    (operation) => {
      const pill = row.querySelector(".pill");
      pill.textContent = operation.state;
      pill.className = `pill ${operation.state === "done" ? "good" : "bad"}`;
      bar.hidden = true;
      text.textContent = operation.error || operation.result;
      text.classList.toggle("bad", Boolean(operation.error));
    },
    (failure) => {
      text.textContent = failure.message;
    },
  );
}
