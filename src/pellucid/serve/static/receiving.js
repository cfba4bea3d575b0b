/* An answer as it comes: from the server into the message and its element. */

import { answer } from "./api.js";
import { isDown, scrollDown } from "./pane.js";
import { currentKey } from "./settings.js";
import { Segments } from "./tokens.js";
import { catchUp } from "./view.js";

const SAVE_EVERY_MS = 1000;

/** Let the answer to the messages `asked` grow in `own`. `isShown()` says whether it is on the screen; `keep()` keeps what came so far. */
export async function receive(own, asked, served, isShown, keep) {
  const { message, controller, conversation } = own;
  const segments = new Segments();
  const began = performance.now();
  let saved = -Infinity;
  let frame = 0;
  message.model = served.name;
  const show = () => {
    frame = 0;
    if (!isShown()) return;
    const wasDown = isDown();
    catchUp(own.article, message.segments);
    if (wasDown) scrollDown();
  };
  // Once a frame: to lay a long answer out anew for each token would leave the page no time for its reader.
  const take = (found) => {
    message.segments.push(...found);
    frame ||= requestAnimationFrame(show);
  };
  try {
    for await (const piece of answer(served, asked, conversation.settings, currentKey(), controller.signal)) {
      message.content += piece.text;
      message.tokens += piece.tokens.length;
      message.seconds = (performance.now() - began) / 1000;
      if (piece.finish === "length") message.end = "length";
      take(segments.add(piece.text, piece.tokens));
      if (message.content && performance.now() - saved > SAVE_EVERY_MS) {
        keep();
        saved = performance.now();
      }
    }
  } finally {
    take(segments.end());
    cancelAnimationFrame(frame);
    show();
  }
}
