/* The settings of a conversation, the colours, and the key. */

import { read, write } from "./store.js";

const at = (id) => document.getElementById(id);
const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];
const KEY = "pellucid.key";
let key = null;

/** The settings that a new conversation gets: those that were chosen last. */
export function defaults(served) {
  const room = served ? Math.max(1, Math.min(256, Math.floor(served.context / 2))) : 256;
  const basic = { system: "", temperature: 0.7, top_p: 1, max_tokens: room, seed: null };
  try {
    return { ...basic, ...JSON.parse(read("pellucid.settings", "{}")) };
  } catch {
    return basic;
  }
}

/** Open the settings; `changed(settings)` is called when they are done or closed, and whole. */
export function openSettings(settings, isChat, changed) {
  const dialog = at("settings");
  at("system").value = settings.system;
  at("system-row").hidden = !isChat;
  for (const name of NUMBERS) at(name).value = settings[name] ?? "";
  const others = Object.entries(settings).filter(([name]) => name !== "system" && !NUMBERS.includes(name));
  at("others").hidden = !others.length;
  at("others").textContent = `Also, from the terminal: ${others.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ")}.`;
  const take = () => {
    const found = { system: at("system").value };
    for (const name of NUMBERS) found[name] = at(name).validity.valid && at(name).value !== "" ? Number(at(name).value) : null;
    for (const name of ["temperature", "top_p", "max_tokens"]) found[name] ??= settings[name];
    // New conversations begin with what can be seen here; the rest stays with its conversation.
    write("pellucid.settings", JSON.stringify(found));
    changed({ ...settings, ...found });
  };
  // Done counts at once: its close comes as a task of its own, perhaps after the next key.
  dialog.querySelector("form").onsubmit = take;
  dialog.onclose = take;
  dialog.showModal();
}

/** Make the switches of colours and shades do what they say, from the first moment on. */
export function watchLooks() {
  const root = document.documentElement;
  at("theme").value = root.dataset.theme ?? "";
  at("theme").addEventListener("change", () => {
    root.dataset.theme = at("theme").value;
    write("pellucid.theme", at("theme").value);
  });
  at("tint").checked = read("pellucid.tint") === "yes";
  const tint = () => root.classList.toggle("tinted", at("tint").checked);
  at("tint").addEventListener("change", () => {
    tint();
    write("pellucid.tint", at("tint").checked ? "yes" : "no");
  });
  tint();
}

/** The key that was given in this tab; null without one. */
export function currentKey() {
  try {
    return key ?? sessionStorage.getItem(KEY);
  } catch {
    return key;
  }
}

/** Ask for the key; `given()` is called once there is one. */
export function askForKey(given) {
  const dialog = at("key");
  if (dialog.open) return;
  at("key-input").value = "";
  at("key-cancel").onclick = () => dialog.close();
  at("key-form").onsubmit = () => {
    key = at("key-input").value.trim() || null;
    try {
      key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY);
    } catch {
      // Storage is closed to this page: the variable holds it.
    }
    given();
  };
  dialog.showModal();
}
