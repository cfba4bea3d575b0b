/* What of an answer stands word for word in the training data: marked in the answer, and listed with its documents under it. */

import { Refused, trainingMatches } from "./api.js";
import { complain } from "./notice.js";
import { currentKey } from "./settings.js";
import { button, element } from "./view.js";

const SHOWN_CHARS = 160;
const open = new WeakMap(); // article → what ends its look-up
const leaving = new MutationObserver((changes) => {
  for (const article of changes.flatMap((change) => [...change.removedNodes])) open.get(article)?.();
});

/** Look an answer up, or take away what was found. */
export async function toggleMatches(article, message) {
  const asking = article.querySelector(".look-up");
  if (open.has(article)) {
    open.get(article)();
    return;
  }
  const controller = new AbortController();
  const panel = element("section", { className: "matches" }, element("p", { textContent: "Looking in the training data…" }));
  panel.setAttribute("aria-label", "In the training data");
  open.set(article, () => {
    controller.abort();
    panel.remove();
    unmark(article);
    open.delete(article);
    asking.setAttribute("aria-expanded", "false");
  });
  leaving.observe(article.parentNode, { childList: true });
  asking.setAttribute("aria-expanded", "true");
  article.append(panel);
  panel.scrollIntoView({ block: "nearest" });
  try {
    const found = await patiently(message.content, panel, controller.signal);
    show(article, panel, message, found);
  } catch (error) {
    if (error.name === "AbortError") return;
    open.get(article)?.();
    complain(error, () => article.isConnected && toggleMatches(article, message));
  }
}

/** Ask; where the index is being made, which happens once for a run, say so and ask again. */
async function patiently(text, panel, signal) {
  for (;;) {
    try {
      return await trainingMatches(text, currentKey(), signal);
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== "index_in_the_making") throw error;
      panel.firstChild.textContent = `One moment: ${error.message}.`;
      await pause((error.retryAfter_s ?? 2) * 1000, signal);
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(signal.reason);
    });
  });
}

function show(article, panel, message, found) {
  panel.replaceChildren(element("p", { textContent: summary(found) }));
  document.getElementById("said").textContent = summary(found);
  const spans = mark(article, message, found.runs);
  if (!found.runs.length) return;
  const list = element("ol");
  found.runs.forEach((run, number) => {
    const item = element("li", {}, opener(run, spans[number]), element("div", { className: "documents", hidden: true }));
    item.lastChild.append(...run.shown.map(documentView));
    const more = run.documents - run.shown.length;
    if (more > 0) item.lastChild.append(element("p", { className: "soft", textContent: `and ${count(more, "more document")}` }));
    list.append(item);
  });
  panel.append(list);
  panel.scrollIntoView({ block: "nearest" });
}

function summary(found) {
  const where = `${count(found.searched.documents, "document")}, ${grouped(found.searched.tokens)} tokens`;
  const cut = found.complete ? "" : " Very common phrases were passed over, so there may be more.";
  if (!found.runs_in_all)
    return `No ${found.min_tokens} tokens in a row of this answer stand in the training data of ${found.searched.run}: ${where}.${cut}`;
  const share = Math.round((100 * found.covered_tokens) / found.tokens);
  const shown = found.runs.length < found.runs_in_all ? ` The ${found.runs.length} longest are shown.` : "";
  const runs = `${count(found.runs_in_all, "passage")} of ${found.min_tokens} tokens or more, ${share} % of this answer,`;
  return `${runs} stand${found.runs_in_all === 1 ? "s" : ""} word for word in the training data of ${found.searched.run}: ${where}.${shown}${cut}`;
}

/** The line of a passage: pressed, it shows the documents; under the pointer or in focus, its words are marked in the answer. */
function opener(run, spans) {
  const facts = `${count(run.tokens, "token")} · ${count(run.documents, "document")}`;
  const quote = element("q", { textContent: shortened(run.text) });
  const made = button("", () => {
    const documents = made.nextSibling;
    documents.hidden = !documents.hidden;
    made.setAttribute("aria-expanded", String(!documents.hidden));
  });
  made.append(quote, element("span", { className: "facts", textContent: facts }));
  made.setAttribute("aria-expanded", "false");
  const point = (isOn) => spans.forEach((span) => span.classList.toggle("pointed-at", isOn));
  for (const [name, isOn] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]])
    made.addEventListener(name, () => point(isOn));
  return made;
}

function documentView(one) {
  const text = element("blockquote", { dir: "auto" });
  if (!one.begins) text.append("…");
  text.append(one.before, element("mark", { textContent: one.match }), one.after);
  if (!one.ends) text.append("…");
  const names = [one.source, one.id, one.language, one.licence].filter(Boolean).map((name) => element("bdi", { textContent: name }));
  const line = element("figcaption");
  names.forEach((name, at) => line.append(...(at ? [" · ", name] : [name])));
  return element("figure", {}, text, line);
}

/** Mark the passages in the answer; return the elements of each. Places are in characters, not in JavaScript's halves of them. */
function mark(article, message, runs) {
  const text = article.querySelector(".text");
  const ends = [0];
  for (const char of message.content) ends.push(ends.at(-1) + char.length);
  const ranges = runs.map((run) => (run.begin_char === null ? null : [ends[run.begin_char], ends[run.end_char]]));
  if (!message.segments) cutAt(text, message.content, ranges);
  const found = runs.map(() => []);
  let at = 0;
  for (const span of text.children) {
    const end = at + span.textContent.length;
    ranges.forEach((range, number) => {
      if (!range || end <= range[0] || at >= range[1]) return;
      span.classList.add("found");
      found[number].push(span);
    });
    at = end;
  }
  return found;
}

function unmark(article) {
  for (const span of article.querySelectorAll(".text .found")) span.classList.remove("found", "pointed-at");
}

/** Cut a text that is one piece, such as an answer that was edited, where passages begin and end. */
function cutAt(text, content, ranges) {
  const cuts = [...new Set([0, content.length, ...ranges.filter(Boolean).flat()])].sort((one, other) => one - other);
  text.replaceChildren(...cuts.slice(1).map((end, at) => element("span", { textContent: content.slice(cuts[at], end) })));
}

const grouped = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");
const count = (number, name) => `${grouped(number)} ${name}${number === 1 ? "" : "s"}`;

function shortened(text) {
  const chars = [...text.trim().replace(/\s+/g, " ")];
  const half = SHOWN_CHARS / 2;
  return chars.length <= SHOWN_CHARS ? chars.join("") : `${chars.slice(0, half).join("")} … ${chars.slice(-half).join("")}`;
}
