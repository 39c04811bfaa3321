// How far an operation is: asked each second until it has ended.

import { base } from "./bind.js";

const INTERVAL = 1000;
const PATIENCE = 30;

/** Tells `listener` each second; ends with the operation. Throws when nobody has answered for long. */
export async function follow(id, listener) {
  let failures = 0;
  for (;;) {
    try {
      const answer = await fetch(`${base}/api/operations/${encodeURIComponent(id)}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const told = await answer.json();
      failures = 0;
      listener(told);
      if (told.state !== "running") return told;
    } catch (error) {
      failures += 1;
      if (failures >= PATIENCE) throw new Error("The Observatory does not answer. See Operations for what came of it.", { cause: error });
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}
