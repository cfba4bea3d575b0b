/* The page: what the reader does → what is asked of the server → what is shown and kept. */

import { model } from "./api.js";
import { complain, hideNotice, notice } from "./notice.js";
import { closeDrawer, fitInput, isDrawerOpen, isSending, scrollDown, watchPane } from "./pane.js";
import { receive } from "./receiving.js";
import { askForKey, currentKey, defaults, openSettings, watchLooks } from "./settings.js";
import * as store from "./store.js";
import { conversationsOf, takeAll } from "./transfer.js";
import { hideTip, watchTokens } from "./tip.js";
import { toggleMatches } from "./training.js";
import { editView, finish, listView, messageView } from "./view.js";

const at = (id) => document.getElementById(id);

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

/** What is on the screen or being answered is newer than what is kept. */
function live(id) {
  return [running?.conversation, conversation].find((one) => one?.id === id) ?? store.get(id);
}

function choose(id) {
  const one = live(id);
  one ? open(one) : refresh();
}

function open(one) {
  conversation = one;
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
  const all = store.all();
  listView(at("list"), all, conversation.id, choose, forget);
  at("export-all").disabled = at("delete-all").disabled = all.length === 0;
  at("stop").hidden = !running;
  at("send").hidden = Boolean(running);
  document.body.classList.toggle("busy", Boolean(running));
}

function forget(id) {
  const one = live(id);
  if (!one) return refresh();
  store.remove(id);
  leave(one, `“${store.titleOf(one)}” is deleted.`);
}

/** A conversation has been deleted: say so, and offer to have it back. */
function leave(one, text) {
  if (running?.conversation === one) running.controller.abort();
  one === conversation ? startNew() : refresh();
  notice(text, "Undo", () => {
    store.restore(one);
    open(one);
  });
}

function forgetAll() {
  const gone = store.all().map((one) => live(one.id));
  running?.controller.abort();
  for (const one of gone) store.remove(one.id);
  startNew();
  notice(gone.length === 1 ? "1 conversation is deleted." : `${gone.length} conversations are deleted.`, "Undo", () => {
    gone.forEach(store.restore);
    open(gone[0]);
  });
}

/** Another tab has kept or deleted a conversation (`key` is its name, or null for all): show it as it is now. */
function follow({ key }) {
  const isTouched = (one) => one && (key === null || key === store.nameOf(one.id));
  const own = [running?.conversation, conversation].find(isTouched);
  const found = own && store.get(own.id);
  if (!own?.messages.length) refresh();
  else if (!found) leave(own, `“${store.titleOf(own)}” was deleted in another tab.`);
  else if (own === running?.conversation) {
    // Both tabs write: neither may overwrite the other, so this one goes on as a copy.
    if (!store.isWithin(found, own)) own.id = store.create({}).id;
    if (own.id !== found.id) store.save({ ...own, messages: own.messages.filter((one) => one !== running.message) });
    refresh();
  } else {
    conversation = found;
    hideNotice();
    showMessages();
    refresh();
  }
}

/** Add the conversations of a file that this page has written. */
async function takeIn(file) {
  try {
    const { added, said } = takeAll(await conversationsOf(file));
    refresh();
    if (added.length) open(added[0]);
    notice(said);
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
  showMessages();
  if (message.role === "user") return respond(owner);
  undo = null;
  store.save(owner);
  refresh();
}

function retry(owner, message) {
  if (running) return;
  const place = owner.messages.indexOf(message) + (message.role === "user" ? 1 : 0);
  remember(owner, () => retry(owner, message));
  cut(owner, place);
  showMessages();
  respond(owner);
}

/** What an edit or a retry takes away is kept until something is written in its place, and can be had back after that. */
function remember(owner, again) {
  undo = { owner, messages: [...owner.messages], gone: 0, again };
}

function cut(owner, from) {
  undo.gone = owner.messages.splice(from).length;
}

/** Keep a conversation, but not while its next answer has no text: what that answer replaces is still what counts. */
function keep(owner) {
  if (running?.conversation !== owner) store.save(owner);
  else if (running.message.content && store.get(owner.id)) store.save(owner);
}

async function respond(owner) {
  const wasCut = undo?.owner === owner ? undo : null;
  undo = null;
  hideNotice();
  const limit = owner.settings.max_tokens;
  const message = { role: "assistant", content: "", segments: [], tokens: 0, seconds: 0, limit };
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
    await receive(own, asked, served, () => owner === conversation, () => keep(owner));
  } catch (error) {
    message.end = error.name === "AbortError" ? "stopped" : "broken";
    if (error.name !== "AbortError") failure = error;
    if (error.code === "model_not_found") await meet().catch(() => (served = null));
  }
  running = null;
  if (!message.content && !message.end) message.end = "empty";
  const isNothing = !message.content && ["stopped", "broken"].includes(message.end);
  if (isNothing) owner.messages = wasCut?.messages ?? asked;
  const isDeleted = !store.get(owner.id);
  if (!isDeleted) store.save(owner);
  if (owner === conversation) {
    if (isNothing) showMessages();
    else finish(own.article, message);
  }
  refresh();
  if (isDeleted) return;
  at("said").textContent = failure ? "" : `${message.end === "stopped" ? "Stopped." : "The answer is there."} ${message.content}`;
  const again = isNothing ? wasCut?.again ?? (() => respond(owner)) : () => retry(owner, message);
  if (failure) complain(failure, again);
  else if (isNothing && wasCut) notice("Stopped before anything was written; all is as it was.", "Try again", again);
  else if (wasCut?.gone > 1) offerUndo(wasCut);
  else if (!store.isKept(owner.id)) notice("This browser does not keep the conversation: its storage is full or closed. Export what you need.");
}

function offerUndo({ owner, messages, gone }) {
  notice(`${gone} later messages were replaced.`, "Undo", () => {
    owner.messages = messages;
    store.save(owner);
    open(owner);
  });
}

// The window.

/** The page is left, perhaps in the middle of an answer: what has come of it is kept. */
function part() {
  if (!running) return;
  const { end } = running.message;
  running.message.end ??= "broken";
  keep(running.conversation);
  running.message.end = end;
}

function watch() {
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  at("input").addEventListener("keydown", (event) => {
    if (!isSending(event)) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (isDrawerOpen()) {
      closeDrawer();
      at("menu").focus();
    } else running?.controller.abort();
    hideTip();
  });
  at("stop").addEventListener("click", () => running?.controller.abort());
  at("new").addEventListener("click", startNew);
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
      keep(conversation);
      refresh();
    }),
  );
  addEventListener("pagehide", part);
  addEventListener("storage", follow);
  watchPane();
  watchTokens(at("log"), at("scroll"));
  watchLooks();
}

conversation = store.create(defaults(null));
watch();
refresh();
at("input").focus();
connect();
