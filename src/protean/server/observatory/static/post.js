// Actions: a POST with what shows that this page sent it. Says what went wrong in words.

import { base } from "./bind.js";

const csrf = document.querySelector('meta[name="csrf"]').content;

/** The answer of `/api/actions/...`. Throws an Error whose message is for people. */
export async function post(path, body) {
  let answer;
  try {
    answer = await fetch(`${base}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The Observatory does not answer. It may have been done all the same: look at Operations before you try again.");
  }
  const told = await answer.json().catch(() => null);
  if (answer.ok) return told;
  const { message, remedy } = told?.error ?? { message: `the answer was ${answer.status}`, remedy: "load the page again" };
  throw new Error(`Not done: ${message}. To do: ${remedy}.`);
}
