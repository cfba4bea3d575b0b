/* Tokens laid over the text that they make. Model output is only ever a text here, never markup. */

/** What the chat endpoint says of tokens → [{bytes, logprob, top: [[text, logprob], …]}]. */
export function chatTokens(logprobs) {
  return (logprobs?.content ?? []).map((one) => ({
    bytes: Uint8Array.from(one.bytes),
    logprob: one.logprob,
    top: one.top_logprobs.map((other) => [other.token, other.logprob]),
  }));
}

/** The same for the completions endpoint, which names tokens by their text, or by their bytes where these are no characters. */
export function completionTokens(logprobs) {
  return (logprobs?.tokens ?? []).flatMap((name, at) => {
    const logprob = logprobs.token_logprobs[at];
    const top = Object.entries(logprobs.top_logprobs?.[at] ?? {}).sort((one, other) => other[1] - one[1]);
    return logprob === null ? [] : [{ bytes: bytesOf(name), logprob, top: top.slice(0, 5) }];
  });
}

function bytesOf(name) {
  if (!/^bytes:(\\x[0-9a-f]{2})+$/.test(name)) return new TextEncoder().encode(name);
  return Uint8Array.from(name.slice(6).split("\\x").slice(1), (pair) => parseInt(pair, 16));
}

/**
 * Cuts a growing text into segments [text, logprob, top, count], whose texts joined are the text, whatever the tokens say.
 *
 * A character of several tokens is one segment with their joint probability. Special tokens have no text and are left out. The end of
 * a token may come later than its beginning (the server holds back what may begin a stop text) or never.
 */
export class Segments {
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #waiting = [];
  #part = null;
  #rest = "";

  /** Take more text with its tokens; return the segments that are whole. */
  add(text, tokens) {
    this.#rest += text;
    for (const { bytes, logprob, top } of tokens) {
      const shown = this.#decoder.decode(bytes, { stream: true });
      const before = this.#part;
      this.#part = [shown, logprob + (before?.[1] ?? 0), before ? [] : top, 1 + (before?.[3] ?? 0)];
      if (shown) {
        this.#waiting.push(this.#part);
        this.#part = null;
      }
    }
    return this.#take(false);
  }

  /** Return what is left. */
  end() {
    return this.#take(true);
  }

  #take(isEnd) {
    const found = [];
    while (this.#waiting.length) {
      const [text, ...facts] = this.#waiting[0];
      const isWhole = this.#rest.startsWith(text);
      const isBegun = !isWhole && text.startsWith(this.#rest);
      if (isBegun && !isEnd) return found;
      const shown = isWhole ? text : isBegun ? this.#rest : "";
      if (shown) found.push([shown, ...facts]);
      this.#rest = this.#rest.slice(shown.length);
      this.#waiting.shift();
    }
    if (this.#rest) found.push([this.#rest, null, [], 0]);
    this.#rest = "";
    return found;
  }
}

/** How much of a shade a token gets: 0 for likely ones to 4 for what was nearly impossible. */
export function shade(logprob) {
  if (logprob === null) return 0;
  return [0.5, 0.2, 0.05, 0.01].filter((limit) => Math.exp(logprob) < limit).length;
}

/** A probability in words of fixed length. */
export function percent(logprob) {
  const share = 100 * Math.exp(logprob);
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
}

/** A token's text with its spaces and line ends visible. */
export function visible(text) {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
}
