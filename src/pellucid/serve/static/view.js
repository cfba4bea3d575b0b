/* Messages and the list of conversations as elements. Every text goes in as a text node. */

import { isSending } from "./pane.js";
import { titleOf } from "./store.js";
import { appendSegments } from "./tip.js";
import { shade } from "./tokens.js";

/** An element with properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A button. */
export function button(label, action, properties = {}) {
  const made = element("button", { type: "button", className: "quiet", textContent: label, ...properties });
  made.addEventListener("click", action);
  return made;
}

const ENDS = {
  length: (message) => `ended at the limit of ${message.limit} new tokens`,
  stopped: () => "stopped by you",
  broken: () => "broken off",
  empty: () => "ended at once, without a word",
};

/** What is said under an answer: its tokens, its time, and why it ended where that is not plain. */
export function factsOf(message) {
  const parts = [];
  if (message.tokens) parts.push(`${message.tokens} tokens in ${message.seconds.toFixed(1)} s`);
  if (ENDS[message.end]) parts.push(ENDS[message.end](message));
  return parts.join(" · ");
}

/** Put the facts under an answer that has ended. */
export function finish(article, message) {
  article.classList.remove("running");
  article.querySelector(".facts").textContent = factsOf(message);
}

/** Append what a message's element does not show yet of its segments. */
export function catchUp(article, segments) {
  const text = article.querySelector(".text");
  const from = text.childNodes.length;
  const found = segments.slice(from);
  appendSegments(text, found);
  found.forEach(([, logprob], at) => text.childNodes[from + at].classList.add(`shade-${shade(logprob)}`));
}

/** A message. `actions` are {edit, retry}, and {lookUp} where answers can be found in the training data. */
export function messageView(message, isChat, actions) {
  const isOwn = message.role === "user";
  const name = isOwn ? (isChat ? "You" : "Your text") : isChat ? "Answer" : "Continuation";
  const text = element("div", { className: "text", dir: "auto" });
  const article = element("article", { className: `message ${message.role}` }, element("h2", { textContent: name }), text);
  if (message.segments) {
    text.tabIndex = 0;
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", `${name}; arrow keys read the tokens' probabilities`);
    catchUp(article, message.segments);
  } else {
    text.textContent = message.content;
  }
  const line = element("div", { className: "actions" }, button("Edit", () => actions.edit(article)));
  line.append(button("Retry", () => actions.retry(), { title: isOwn ? "Answer this again" : "Write this again" }));
  if (!isOwn && actions.lookUp) {
    const asking = button("In the training data", () => actions.lookUp(article), { className: "quiet look-up" });
    asking.setAttribute("aria-expanded", "false");
    line.append(asking);
  }
  if (navigator.clipboard) line.append(button("Copy", () => navigator.clipboard.writeText(message.content)));
  line.append(element("span", { className: "facts", textContent: factsOf(message) }));
  article.append(line);
  return article;
}

/** Turn a message into a field. `save(text)` is called unless the reader gives up. */
export function editView(article, message, save) {
  const isOwn = message.role === "user";
  const field = element("textarea", { value: message.content, rows: Math.min(12, message.content.split("\n").length + 2) });
  field.setAttribute("aria-label", isOwn ? "Edit your message" : "Edit this answer");
  const done = element("button", { type: "submit", textContent: isOwn ? "Save and send" : "Save" });
  const form = element("form", { className: "edit" }, field);
  const giveUp = () => {
    form.remove();
    article.classList.remove("edited");
    article.querySelector("button").focus();
  };
  form.append(element("div", { className: "buttons" }, button("Cancel", giveUp), done));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(field.value);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      giveUp();
    } else if (isSending(event)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  article.classList.add("edited");
  article.querySelector(".text").after(form);
  field.focus();
}

/** Fill the list of conversations. `open(id)` and `remove(id)` are told names: what is shown here may have grown since. */
export function listView(list, conversations, current, open, remove) {
  list.replaceChildren(
    ...conversations.map((one) => {
      const title = titleOf(one);
      const opening = button(title, () => open(one.id), { className: "open" });
      if (one.id === current) opening.setAttribute("aria-current", "true");
      const removing = button("×", () => remove(one.id));
      removing.setAttribute("aria-label", `Delete “${title}”`);
      return element("li", {}, opening, removing);
    }),
  );
}
