// What every page does: keeps its figures fresh and listens to the keyboard.

import { fill } from "./bind.js";
import { begin as beginFilter } from "./filter.js";
import { begin as beginKeys } from "./keys.js";
import { begin as beginLive, onFigures } from "./live.js";

// Buttons are shown when every script of the page listens, and not before: a click in between would be lost.
addEventListener("load", () => document.documentElement.classList.add("js"));
document.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
beginKeys();
beginFilter();
onFigures((figures) => {
  for (const element of document.querySelectorAll("[data-live]")) fill(element, figures);
});
beginLive();
