/* Conversations, kept in this browser only: one entry each, so that two tabs do not overwrite each other's. */

const PREFIX = "pellucid.conversation.";
const ROLES = ["user", "assistant"];
const memory = new Map();

/** False once the browser refuses to keep anything: conversations then last as long as the page. */
export let isKept = true;

/** An entry of any name; null where there is none. */
export function read(name, fallback = null) {
  try {
    return localStorage.getItem(name) ?? memory.get(name) ?? fallback;
  } catch {
    return memory.get(name) ?? fallback;
  }
}

/** Keep an entry. */
export function write(name, text) {
  try {
    localStorage.setItem(name, text);
    memory.delete(name);
    return true;
  } catch {
    memory.set(name, text);
    return false;
  }
}

/** A new conversation, which is not kept before it has a message. */
export function create(settings) {
  // crypto.randomUUID is missing on pages that come over plain HTTP from another machine.
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { version: 1, id, changed: Date.now(), settings: { ...settings }, messages: [] };
}

/** All conversations, the newest first. What is no conversation is left alone. */
export function all() {
  const names = new Set(memory.keys());
  try {
    for (let at = 0; at < localStorage.length; at++) names.add(localStorage.key(at));
  } catch {
    // Storage is closed to this page: memory is all there is.
  }
  const found = [...names].filter((name) => name.startsWith(PREFIX)).map((name) => parsed(read(name)));
  return found.filter(Boolean).sort((one, other) => other.changed - one.changed);
}

/** Keep a conversation. When the browser has no more room, the probabilities of all the others are given up first. */
export function save(conversation) {
  if (!conversation.messages.length) return;
  conversation.changed = Date.now();
  const text = JSON.stringify(conversation);
  if (write(PREFIX + conversation.id, text)) return;
  for (const other of all().filter((one) => one.id !== conversation.id)) {
    for (const message of other.messages) delete message.segments;
    write(PREFIX + other.id, JSON.stringify(other));
  }
  isKept = write(PREFIX + conversation.id, text);
}

/** Put a conversation back as it was, with its date. */
export function restore(conversation) {
  write(PREFIX + conversation.id, JSON.stringify(conversation));
}

/** Keep conversations that come from elsewhere, and return those that were not here; one whose name is taken gets a new one. */
export function merge(conversations) {
  const said = (one) => JSON.stringify(one.messages.map(({ role, content }) => [role, content]));
  return conversations.filter((one) => {
    const own = all().find((other) => other.id === one.id);
    if (own && said(own) === said(one)) return false;
    if (own) one.id = create({}).id;
    restore(one);
    return true;
  });
}

/** Forget a conversation. */
export function remove(id) {
  memory.delete(PREFIX + id);
  try {
    localStorage.removeItem(PREFIX + id);
  } catch {
    // Storage is closed to this page.
  }
}

/** What a conversation is called: how its first message begins. */
export function titleOf(conversation) {
  const text = (conversation.messages[0]?.content ?? "").trim().replace(/\s+/g, " ");
  if (!text) return "New conversation";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** Hand a value to the reader as a file. */
export function download(name, value) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    const isWhole = typeof value.id === "string" && typeof value.settings === "object" && Array.isArray(value.messages);
    return isWhole && value.messages.every((one) => ROLES.includes(one.role) && typeof one.content === "string") ? value : null;
  } catch {
    return null;
  }
}
