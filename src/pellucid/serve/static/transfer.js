/* Conversations out of a file that this page has exported. A file can hold anything, so every value is looked at and copied. */

import { create, isKept, merge } from "./store.js";

const MOST_BYTES = 50_000_000;
const MOST_STOPS = 16;
const LONGEST_STOP = 256;
const ENDS = ["length", "stopped", "broken", "empty"];

/** The file is not what it must be. The message is a sentence. */
class Unfit extends Error {}

/** The conversations in a file, whole and without anything that this page does not know. Throws an error that says what is wrong. */
export async function conversationsOf(file) {
  if (file.size > MOST_BYTES) throw new Unfit(`it is larger than ${MOST_BYTES / 1e6} MB.`);
  let value;
  try {
    value = JSON.parse(await file.text());
  } catch {
    throw new Unfit("it is not JSON.");
  }
  const list = Array.isArray(value) ? value : [value];
  if (!list.length) throw new Unfit("it holds no conversations.");
  return list.map((one, at) => conversation(one, list.length > 1 ? `conversation ${at + 1}` : "it"));
}

/** Keep what was found and is not here already. Returns {added, said}: what is new, and the sentence that tells it. */
export function takeAll(found) {
  const added = merge(found);
  const known = found.length - added.length;
  const loose = added.filter((one) => !isKept(one.id)).length;
  const parts = [added.length === 1 ? "1 conversation is added" : `${added.length} conversations are added`];
  if (known) parts.push(known === 1 ? "1 was here already" : `${known} were here already`);
  if (loose) parts.push(`the browser's storage is full or closed, so ${loose} of them will be gone with this page`);
  return { added, said: `${parts.join("; ")}.` };
}

function conversation(value, where) {
  if (!isObject(value) || !Array.isArray(value.messages) || !value.messages.length)
    throw new Unfit(`${where} is no conversation of this page.`);
  if (value.version !== 1) throw new Unfit(`${where} is of version ${JSON.stringify(value.version) ?? "unknown"}; this page reads version 1.`);
  const settings = isObject(value.settings) ? value.settings : {};
  return {
    version: 1,
    id: typeof value.id === "string" && /^[0-9a-f]{1,64}$/.test(value.id) ? value.id : create({}).id,
    changed: within(value.changed, 0, 8.64e15) ?? Date.now(),
    settings: {
      system: typeof settings.system === "string" ? settings.system : "",
      temperature: within(settings.temperature, 0, 2) ?? 0.7,
      top_p: within(settings.top_p, 0.01, 1) ?? 1,
      max_tokens: whole(settings.max_tokens, 1) ?? 256,
      seed: whole(settings.seed, 0),
      ...more(settings),
    },
    messages: value.messages.map((one, at) => message(one, `message ${at + 1} of ${where}`)),
  };
}

/** What `pellucid chat` can set and this page has no field for, where it is what the server takes. */
function more({ top_k, min_p, repetition_penalty, presence_penalty, frequency_penalty, stop }) {
  const texts = typeof stop === "string" ? [stop] : stop;
  const isText = (one) => typeof one === "string" && one.length >= 1 && one.length <= LONGEST_STOP;
  const found = {
    top_k: whole(top_k, 1, 2 ** 31 - 1),
    min_p: within(min_p, 0, 0.999999),
    repetition_penalty: within(repetition_penalty, 0.000001, 10),
    presence_penalty: within(presence_penalty, -2, 2),
    frequency_penalty: within(frequency_penalty, -2, 2),
    stop: Array.isArray(texts) && texts.length && texts.length <= MOST_STOPS && texts.every(isText) ? [...texts] : null,
  };
  return Object.fromEntries(Object.entries(found).filter(([, one]) => one !== null));
}

function message(value, where) {
  if (!isObject(value) || !["user", "assistant"].includes(value.role) || typeof value.content !== "string")
    throw new Unfit(`${where} has no text, or nobody who says it.`);
  const made = { role: value.role, content: value.content };
  if (value.role === "user") return made;
  for (const name of ["tokens", "seconds", "limit"]) if (within(value[name], 0, 1e12) !== null) made[name] = value[name];
  if (typeof value.model === "string") made.model = value.model;
  if (ENDS.includes(value.end)) made.end = value.end;
  // What an answer's tokens are must add up to the answer, and the facts under it need both numbers.
  if (Array.isArray(value.segments) && value.segments.every(isSegment) && value.segments.map((one) => one[0]).join("") === made.content)
    made.segments = value.segments.map(([text, logprob, top, count]) => [text, logprob, top.map(([other, its]) => [other, its]), count]);
  if (made.seconds === undefined) delete made.tokens;
  return made;
}

function isSegment(value) {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [text, logprob, top, count] = value;
  const isNumber = (one) => typeof one === "number" && Number.isFinite(one);
  const isTop = Array.isArray(top) && top.every((one) => Array.isArray(one) && typeof one[0] === "string" && isNumber(one[1]));
  return typeof text === "string" && (logprob === null || isNumber(logprob)) && isTop && isNumber(count);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const within = (value, least, most) => (typeof value === "number" && value >= least && value <= most ? value : null);
const whole = (value, least, most = Number.MAX_SAFE_INTEGER) => (Number.isSafeInteger(value) ? within(value, least, most) : null);
