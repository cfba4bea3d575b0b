/* The server's own interface, as any other client uses it. Addresses are relative, so that it may stand behind a path. */

import { chatTokens, completionTokens } from "./tokens.js";

const TOP = 5;

/** The server did not do what was asked. `advice` is what the reader can do; `retryAfter_s` is set where waiting helps. */
export class Refused extends Error {
  constructor(status, error, retryAfter_s) {
    super(error?.message ?? `the server answered with status ${status}`);
    Object.assign(this, { status, code: error?.code ?? null, retryAfter_s });
  }

  get advice() {
    if (this.status === 0) return "The server does not answer. See whether it still runs, then try again.";
    if (this.status === 401) return "The server asks for a key.";
    if (this.code === "no_index") return `${this.message[0].toUpperCase()}${this.message.slice(1)}.`;
    if (this.code === "model_not_found") return "The server has another model now, whose name is above. It can go on with this conversation.";
    if (this.code === "lookup_running") return "Another answer is being looked up. Try again in a moment.";
    if (this.status === 429) return `The server is busy. Try again in about ${this.retryAfter_s ?? 5} s.`;
    if (this.status === 503) return "The server is stopping and takes nothing new. Try again once it is back.";
    if (this.code === "context_length_exceeded")
      return `This is longer than the model can read. Begin a new conversation, or ask for fewer new tokens. (${this.message})`;
    if (this.code === "deadline_exceeded") return "The answer took too long and was given up. Ask for fewer new tokens.";
    return `The server says: ${this.message}`;
  }
}

async function ask(path, key, options = {}) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refused(response.status, body?.error, Number(response.headers.get("Retry-After")) || undefined);
}

/** {name, context, isChat, engine, knowsTraining} of the model that is served. */
export async function model(key) {
  const card = (await (await ask("v1/models", key)).json()).data[0];
  const { chat_format: isChat, engine, training_matches: knowsTraining = false } = card.pellucid;
  return { name: card.id, context: card.max_model_len, isChat, engine, knowsTraining };
}

/** Which training documents hold the same words as a text; see the description of `/v1/training_matches`. */
export async function trainingMatches(text, key, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }), signal };
  return (await ask("v1/training_matches", key, options)).json();
}

/** Yield {text, tokens, finish} as an answer to the messages comes. Ends early, without an error, only when `signal` says so. */
export async function* answer(served, messages, settings, key, signal) {
  const { system, max_tokens, ...sampling } = settings;
  const how = Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== null));
  const said = messages.map(({ role, content }) => ({ role, content }));
  const body = served.isChat
    ? { messages: system ? [{ role: "system", content: system }, ...said] : said, logprobs: true, top_logprobs: TOP }
    : { prompt: said.map((one) => one.content).join(""), logprobs: TOP };
  const response = await ask(served.isChat ? "v1/chat/completions" : "v1/completions", key, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model: served.name, stream: true, max_tokens, ...how, ...body }),
    signal,
  });
  for await (const event of events(response.body)) {
    if (event.error) throw new Refused(event.error.code === "deadline_exceeded" ? 504 : 500, event.error);
    const choice = event.choices[0];
    if (!choice) continue;
    const text = served.isChat ? choice.delta.content ?? "" : choice.text;
    const tokens = served.isChat ? chatTokens(choice.logprobs) : completionTokens(choice.logprobs);
    yield { text, tokens, finish: choice.finish_reason };
  }
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Refused(0);
      const parts = (waiting + value).split("\n\n");
      waiting = parts.pop();
      for (const part of parts) {
        if (part === "data: [DONE]") return;
        yield JSON.parse(part.slice("data: ".length));
      }
    }
  } catch (error) {
    throw error instanceof TypeError ? new Refused(0) : error;
  } finally {
    reader.cancel().catch(() => {});
  }
}
