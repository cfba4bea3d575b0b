/* Conversations, kept in this browser only: one entry each, so that two tabs do not overwrite each other's. */

const PREFIX = "pellucid.conversation.";
const ROLES = ["user", "assistant"];
const memory = new Map();

/** Whether the browser keeps a conversation. What it refuses to keep lasts as long as the page. */
export const isKept = (id) => !memory.has(PREFIX + id);

/** The name under which a conversation is kept. */
export const nameOf = (id) => PREFIX + id;

/** An entry of any name; null where there is none. */
export function read(name, fallback = null) {
  // What did not fit is newer than what is kept.
  if (memory.has(name)) return memory.get(name);
  try {
    return localStorage.getItem(name) ?? fallback;
  } catch {
    return fallback;
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

/** A conversation as it was last kept; null where there is none. */
export function get(id) {
  return parsed(read(PREFIX + id));
}

/** Keep a conversation, and date it. See `isKept` for whether that could be done. */
export function save(conversation) {
  if (!conversation.messages.length) return;
  conversation.changed = Date.now();
  restore(conversation);
}

/** Put a conversation back as it was, with its date. Where there is no room, the probabilities of all others are given up first. */
export function restore(conversation) {
  const text = JSON.stringify(conversation);
  if (write(PREFIX + conversation.id, text)) return;
  for (const other of all().filter((one) => one.id !== conversation.id)) {
    for (const message of other.messages) delete message.segments;
    write(PREFIX + other.id, JSON.stringify(other));
  }
  write(PREFIX + conversation.id, text);
}

/** Keep conversations that come from elsewhere, and return those that were not here; one whose name is taken gets a new one. */
export function merge(conversations) {
  const said = (one) => JSON.stringify(one.messages.map(({ role, content }) => [role, content]));
  const own = all();
  const names = new Set(own.map((one) => one.id));
  const texts = new Set(own.map(said));
  return conversations.filter((one) => {
    if (texts.has(said(one))) return false;
    if (names.has(one.id)) one.id = create({}).id;
    names.add(one.id);
    texts.add(said(one));
    restore(one);
    return true;
  });
}

/** Whether a conversation says nothing that another one does not say as well. */
export function isWithin(one, other) {
  return one.messages.every(({ role, content }, at) => other.messages[at]?.role === role && other.messages[at].content.startsWith(content));
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
