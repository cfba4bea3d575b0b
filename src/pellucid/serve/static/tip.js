/* What a token's likelihood was, and what else might have stood there: on hover, on a tap, and by the arrow keys. */

import { percent, visible } from "./tokens.js";

const tip = document.getElementById("tip");
const said = document.getElementById("said");
const facts = new WeakMap();
let shown = null; // the token whose box is to be seen
let cursor = null; // the token that was tapped or reached by the arrow keys

/** Append segments to an answer's text. */
export function appendSegments(element, segments) {
  for (const segment of segments) {
    const span = document.createElement("span");
    span.textContent = segment[0];
    if (segment[1] !== null) {
      span.className = "token";
      facts.set(span, segment);
    }
    element.append(span);
  }
}

/** Take the box away. */
export function hideTip() {
  shown?.classList.remove("looked-at");
  shown = null;
  tip.hidden = true;
}

function row(text, logprob, isDrawn) {
  const line = document.createElement("div");
  const name = Object.assign(document.createElement("span"), { className: "name", textContent: visible(text) });
  const bar = Object.assign(document.createElement("span"), { className: "bar" });
  bar.style.width = `${(4 * Math.exp(logprob)).toFixed(2)}rem`;
  const share = Object.assign(document.createElement("span"), { className: "share", textContent: percent(logprob) });
  line.className = isDrawn ? "row drawn" : "row";
  line.append(name, bar, share);
  return line;
}

function show(span, isSaid) {
  if (span === shown) return;
  hideTip();
  shown = span;
  span.classList.add("looked-at");
  const [text, logprob, top, count] = facts.get(span);
  tip.replaceChildren();
  if (count > 1) tip.append(`${count} tokens make this character; together:`);
  const isAmong = top.some(([other]) => other === text);
  for (const [other, its] of top) tip.append(row(other, its, other === text));
  if (!isAmong) tip.append(row(text, logprob, true));
  place();
  if (isSaid) {
    const others = top.filter(([other]) => other !== text).slice(0, 2);
    said.textContent = `${visible(text)}: ${percent(logprob)}. ${others.map((one) => `${visible(one[0])} ${percent(one[1])}`).join(", ")}`;
  }
}

/** Put the box beside its token. */
function place() {
  tip.hidden = false;
  const at = shown.getClientRects()[0] ?? shown.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const below = at.bottom + 6 + height < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - width - 8))}px`;
  tip.style.top = `${Math.max(8, below ? at.bottom + 6 : at.top - height - 6)}px`;
}

/** The text has moved under the box. The keys' own token scrolls it into view, so its box goes along. */
function moved(scroller) {
  if (!shown || shown !== cursor) return hideTip();
  const [own, all] = [shown.getBoundingClientRect(), scroller.getBoundingClientRect()];
  if (own.bottom > all.top && own.top < all.bottom) place();
  else hideTip();
}

/** The token to which an arrow leads from the last one, or from an end of the text. */
function neighbour(text, key) {
  const tokens = [...text.querySelectorAll(".token")];
  const at = tokens.indexOf(cursor);
  if (key === "Home" || (at < 0 && key === "ArrowRight")) return tokens[0];
  if (key === "End" || at < 0) return tokens.at(-1);
  return tokens[at + (key === "ArrowRight" ? 1 : -1)];
}

/** Watch the messages. */
export function watchTokens(log, scroller) {
  const under = (event) => event.target.closest?.(".token");
  // Not `pointerover`: that also comes when text scrolls away under a mouse that rests, and would take the keys' box.
  log.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse") under(event) ? show(under(event)) : hideTip();
  });
  log.addEventListener("pointerleave", hideTip);
  log.addEventListener("click", (event) => {
    cursor = under(event) ?? null;
    cursor ? show(cursor) : hideTip();
  });
  log.addEventListener("focusout", () => {
    cursor = null;
    hideTip();
  });
  scroller.addEventListener("scroll", () => moved(scroller), { passive: true });
  log.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("text") || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const next = neighbour(event.target, event.key);
    if (!next) return;
    cursor = next;
    next.scrollIntoView({ block: "nearest" });
    show(next, true);
  });
}
