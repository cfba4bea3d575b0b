/* The page: what the reader does → what is asked of the server → what is shown and kept. */

import { answer, model } from "./api.js";
import { complain, hideNotice, notice } from "./notice.js";
import { askForKey, currentKey, defaults, openSettings, watchLooks } from "./settings.js";
import * as store from "./store.js";
import { conversationsOf } from "./transfer.js";
import { hideTip, watchTokens } from "./tip.js";
import { toggleMatches } from "./training.js";
import { Segments } from "./tokens.js";
import { editView, finish, grow, listView, messageView } from "./view.js";

const at = (id) => document.getElementById(id);
const SAVE_EVERY_MS = 1000;

let served = null;
let conversation = null;
let running = null; // {conversation, message, controller}: one answer at a time
let undo = null;

const isChat = () => served?.isChat ?? true;

async function connect() {
  try {
    await meet();
    hideNotice();
  } catch (error) {
    at("model").textContent = "No model";
    complain(error, connect);
  }
}

async function meet() {
  served = await model(currentKey());
  at("model").textContent = `${served.name} · ${served.context} tokens of context`;
  at("base").hidden = served.isChat;
  at("input").placeholder = at("input-label").textContent = served.isChat ? "Message" : "Text to be continued";
  if (!conversation.messages.length) conversation.settings = defaults(served);
  showMessages();
  refresh();
}

// The conversation on the screen.

function open(one) {
  conversation = one.id === running?.conversation.id ? running.conversation : one;
  closeDrawer();
  hideNotice();
  showMessages();
  refresh();
  scrollDown();
  at("input").focus();
}

function startNew() {
  open(store.create(defaults(served)));
}

function showMessages() {
  hideTip();
  at("log").replaceChildren(...conversation.messages.map((message) => view(conversation, message)));
  at("title").textContent = store.titleOf(conversation);
  document.title = `${store.titleOf(conversation)} · Pellucid chat`;
}

function view(owner, message) {
  const article = messageView(message, isChat(), {
    edit: (article) => !running && editView(article, message, (text) => edit(owner, message, text)),
    retry: () => retry(owner, message),
    lookUp: served?.knowsTraining && ((article) => toggleMatches(article, message)),
  });
  if (running?.message === message) {
    running.article = article;
    article.classList.add("running");
  }
  return article;
}

function refresh() {
  const ids = new Map(store.all().map((one) => [one.id, one]));
  listView(at("list"), [...ids.values()], conversation.id, open, forget);
  at("export-all").disabled = at("delete-all").disabled = ids.size === 0;
  at("stop").hidden = !running;
  at("send").hidden = Boolean(running);
  document.body.classList.toggle("busy", Boolean(running));
}

function forget(one) {
  if (running?.conversation.id === one.id) running.controller.abort();
  store.remove(one.id);
  if (one.id === conversation.id) startNew();
  refresh();
  notice(`“${store.titleOf(one)}” is deleted.`, "Undo", () => {
    store.restore(one);
    open(one);
  });
}

function forgetAll() {
  const gone = store.all();
  running?.controller.abort();
  for (const one of gone) store.remove(one.id);
  startNew();
  notice(gone.length === 1 ? "1 conversation is deleted." : `${gone.length} conversations are deleted.`, "Undo", () => {
    gone.forEach(store.restore);
    open(gone[0]);
  });
}

/** Add the conversations of a file that this page has written. */
async function takeIn(file) {
  try {
    const found = await conversationsOf(file);
    const added = store.merge(found);
    refresh();
    if (added.length) open(added[0]);
    const known = found.length - added.length;
    const parts = [added.length === 1 ? "1 conversation is added" : `${added.length} conversations are added`];
    if (known) parts.push(known === 1 ? "1 was here already" : `${known} were here already`);
    notice(`${parts.join("; ")}.`);
  } catch (error) {
    notice(`${file.name} was not taken in: ${error.message} Nothing has changed.`);
  }
}

// Asking.

function send() {
  const text = at("input").value;
  const canGoOn = served && !served.isChat && conversation.messages.length > 0;
  if (running || (!text.trim() && !canGoOn)) return;
  if (text) conversation.messages.push({ role: "user", content: text });
  at("input").value = "";
  fitInput();
  store.save(conversation);
  showMessages();
  respond(conversation);
}

function edit(owner, message, text) {
  if (running) return;
  const place = owner.messages.indexOf(message);
  remember(owner, () => edit(owner, message, text));
  owner.messages[place] = { role: message.role, content: text };
  if (message.role === "user") cut(owner, place + 1);
  store.save(owner);
  showMessages();
  if (message.role === "user") respond(owner);
  else undo = null;
}

function retry(owner, message) {
  if (running) return;
  const place = owner.messages.indexOf(message) + (message.role === "user" ? 1 : 0);
  remember(owner, () => retry(owner, message));
  cut(owner, place);
  store.save(owner);
  showMessages();
  respond(owner);
}

/** What an edit or a retry takes away comes back when nothing is written in its place, and can be had back later. */
function remember(owner, again) {
  undo = { owner, messages: [...owner.messages], gone: 0, again };
}

function cut(owner, from) {
  undo.gone = owner.messages.splice(from).length;
}

async function respond(owner) {
  const wasCut = undo?.owner === owner ? undo : null;
  undo = null;
  hideNotice();
  const limit = owner.settings.max_tokens;
  const message = { role: "assistant", content: "", segments: [], tokens: 0, seconds: 0, limit, model: served?.name };
  const controller = new AbortController();
  const asked = [...owner.messages];
  running = { conversation: owner, message, controller, article: null };
  const own = running;
  owner.messages.push(message);
  if (owner === conversation) at("log").append(view(owner, message));
  refresh();
  scrollDown();
  let failure = null;
  try {
    if (!served) await meet();
    await receive(own, asked);
  } catch (error) {
    message.end = error.name === "AbortError" ? "stopped" : "broken";
    if (error.name !== "AbortError") failure = error;
  }
  running = null;
  if (!message.content && !message.end) message.end = "empty";
  const isNothing = !message.content && ["stopped", "broken"].includes(message.end);
  if (isNothing) owner.messages = wasCut?.messages ?? asked;
  if (store.all().some((one) => one.id === owner.id)) store.save(owner);
  if (owner === conversation) {
    if (isNothing) showMessages();
    else finish(own.article, message);
  }
  refresh();
  at("said").textContent = failure ? "" : `${message.end === "stopped" ? "Stopped." : "The answer is there."} ${message.content}`;
  const again = isNothing ? wasCut?.again ?? (() => respond(owner)) : () => retry(owner, message);
  if (failure) complain(failure, again);
  else if (isNothing && wasCut) notice("Stopped before anything was written; all is as it was.", "Try again", again);
  else if (wasCut?.gone > 1) offerUndo(wasCut);
  else if (!store.isKept) notice("This browser does not keep the conversation: its storage is full or closed. Export what you need.");
}

async function receive(own, asked) {
  const { message, controller, conversation: owner } = own;
  const segments = new Segments();
  const began = performance.now();
  let saved = began;
  const take = (found) => {
    message.segments.push(...found);
    if (owner !== conversation) return;
    const wasDown = isDown();
    grow(own.article, found);
    if (wasDown) scrollDown();
  };
  try {
    for await (const piece of answer(served, asked, owner.settings, currentKey(), controller.signal)) {
      message.content += piece.text;
      message.tokens += piece.tokens.length;
      message.seconds = (performance.now() - began) / 1000;
      if (piece.finish === "length") message.end = "length";
      take(segments.add(piece.text, piece.tokens));
      if (performance.now() - saved > SAVE_EVERY_MS) {
        store.save(owner);
        saved = performance.now();
      }
    }
  } finally {
    take(segments.end());
  }
}

function offerUndo({ owner, messages, gone }) {
  notice(`${gone} later messages were replaced.`, "Undo", () => {
    owner.messages = messages;
    store.save(owner);
    open(owner);
  });
}

// The window.

const isDown = () => at("scroll").scrollHeight - at("scroll").scrollTop - at("scroll").clientHeight < 40;
const scrollDown = () => at("scroll").scrollTo({ top: at("scroll").scrollHeight });

function fitInput() {
  at("input").style.height = "auto";
  at("input").style.height = `${at("input").scrollHeight + 2}px`;
}

function openDrawer() {
  document.body.classList.add("drawer");
  at("shade").hidden = false;
  at("menu").setAttribute("aria-expanded", "true");
  at("new").focus();
}

function closeDrawer() {
  document.body.classList.remove("drawer");
  at("shade").hidden = true;
  at("menu").setAttribute("aria-expanded", "false");
}

function watch() {
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  at("input").addEventListener("input", fitInput);
  at("input").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (document.body.classList.contains("drawer")) {
      closeDrawer();
      at("menu").focus();
    } else running?.controller.abort();
    hideTip();
  });
  at("stop").addEventListener("click", () => running?.controller.abort());
  at("new").addEventListener("click", startNew);
  at("menu").addEventListener("click", () => (document.body.classList.contains("drawer") ? closeDrawer() : openDrawer()));
  at("shade").addEventListener("click", closeDrawer);
  at("notice-close").addEventListener("click", hideNotice);
  at("delete-all").addEventListener("click", forgetAll);
  at("export-all").addEventListener("click", () => store.download("pellucid-conversations.json", store.all()));
  at("import").addEventListener("click", () => at("import-file").click());
  at("import-file").addEventListener("change", () => {
    const [file] = at("import-file").files;
    if (file) takeIn(file);
    at("import-file").value = "";
  });
  at("export-one").addEventListener("click", () => store.download(`pellucid-${conversation.id.slice(0, 8)}.json`, conversation));
  at("change-key").addEventListener("click", () => {
    at("settings").close();
    askForKey(connect);
  });
  at("open-settings").addEventListener("click", () =>
    openSettings(conversation.settings, isChat(), (settings) => {
      conversation.settings = settings;
      store.save(conversation);
    }),
  );
  addEventListener("pagehide", () => running && store.save(running.conversation));
  addEventListener("storage", () => refresh());
  watchTokens(at("log"), at("scroll"));
  watchLooks();
}

conversation = store.create(defaults(null));
watch();
refresh();
at("input").focus();
connect();
