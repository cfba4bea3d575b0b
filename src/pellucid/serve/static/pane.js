/* The window: how far the messages are scrolled, how high the field is, and the drawer of narrow screens. */

const at = (id) => document.getElementById(id);

/** Whether the end of the messages is in view. */
export const isDown = () => at("scroll").scrollHeight - at("scroll").scrollTop - at("scroll").clientHeight < 40;

/** Show the end of the messages. */
export const scrollDown = () => at("scroll").scrollTo({ top: at("scroll").scrollHeight });

/** Make the field as high as its text. */
export function fitInput() {
  at("input").style.height = "auto";
  at("input").style.height = `${at("input").scrollHeight + 2}px`;
}

/** Whether a key sends a text. Keyboards on a screen have no Shift+Enter: there Enter begins a line, and the button sends. */
export function isSending(event) {
  if (event.key !== "Enter" || event.isComposing) return false;
  return event.ctrlKey || event.metaKey || !(event.shiftKey || matchMedia("(pointer: coarse)").matches);
}

/** Whether the drawer lies over the messages. */
export const isDrawerOpen = () => document.body.classList.contains("drawer");

function openDrawer() {
  document.body.classList.add("drawer");
  at("shade").hidden = false;
  at("menu").setAttribute("aria-expanded", "true");
  at("new").focus();
}

/** Take the drawer away. */
export function closeDrawer() {
  document.body.classList.remove("drawer");
  at("shade").hidden = true;
  at("menu").setAttribute("aria-expanded", "false");
}

/** Make the drawer and the field do what they are for. */
export function watchPane() {
  at("input").addEventListener("input", fitInput);
  at("menu").addEventListener("click", () => (isDrawerOpen() ? closeDrawer() : openDrawer()));
  at("shade").addEventListener("click", closeDrawer);
}
