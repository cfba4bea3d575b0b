/* Saying what is wrong, and what can be done. */

import { Refused } from "./api.js";
import { askForKey, currentKey } from "./settings.js";

const at = (id) => document.getElementById(id);
let countdown = 0;

/** Say something in the line above the message field, with one thing to do about it. */
export function notice(text, label = null, action = null) {
  clearInterval(countdown);
  at("notice").hidden = false;
  at("notice-text").textContent = text;
  Object.assign(at("notice-action"), { hidden: !label, textContent: label ?? "", disabled: false });
  at("notice-action").onclick = () => {
    hideNotice();
    action();
  };
}

/** Take the line away. */
export function hideNotice() {
  clearInterval(countdown);
  at("notice").hidden = true;
}

/** Say why something failed; `again()` tries it once more. */
export function complain(error, again) {
  if (!(error instanceof Refused)) {
    console.error(error);
    notice(`This page met an error of its own: ${error.message}`, "Try again", again);
    return;
  }
  if (error.status === 401) {
    const isWrong = currentKey() !== null;
    const asking = () => askForKey(again);
    notice(isWrong ? "The server does not take this key." : error.advice, "Enter the key", asking);
    asking();
    return;
  }
  notice(error.advice, "Try again", again);
  if (error.retryAfter_s === undefined) return;
  let left = error.retryAfter_s;
  at("notice-action").disabled = true;
  const tick = () => {
    at("notice-action").textContent = left > 0 ? `Try again (${left})` : "Try again";
    at("notice-action").disabled = left > 0;
    if (left-- <= 0) clearInterval(countdown);
  };
  tick();
  countdown = setInterval(tick, 1000);
}
