// What stands around the curves: figures of now, sources, samples, notes. Texts of a run only ever become text nodes.

const STATES = { waiting: "not begun", training: "training", quiet: "quiet", ended: "ended" };
const SIGNS = { waiting: "·", training: "▶", quiet: "…", ended: "✓" };

function showTiles(place, now) {
  const lowest = now.lowest_loss;
  const whole = Object.values(now.seconds).reduce((sum, value) => sum + value, 0);
  const tiles = [
    ["Step", grouped(now.step), now.steps ? `of ${grouped(now.steps)}` : ""],
    ["Time left", now.state === "training" ? roughly(now.left_s) : "–", now.state === "training" && now.left_s !== null ? `ends ${clock(now.left_s)}` : ""],
    ["Loss", now.smoothed_loss === null ? "–" : now.smoothed_loss.toFixed(3), lowest ? `lowest ${lowest.loss.toFixed(3)}` : ""],
    ["Tokens/s", short(now.tokens_per_s), `${short(now.tokens)} in all`],
    ["MFU", percent(now.mfu), ""],
    ["Gradient norm", short(now.grad_norm), ""],
    ["Learning rate", short(now.lr), ""],
    ["Memory", bytes(now.memory_bytes), ""],
    ["A step", duration(whole || null), ""],
    ["Spikes", String(now.spikes), now.last_spike === null ? "" : `last ${grouped(now.last_spike)}`],
    ["Skipped", String(now.skipped), now.last_skipped ? `last ${grouped(now.last_skipped.step)}` : ""],
  ];
  place.replaceChildren(
    ...tiles.map(([name, value, beside]) => {
      const tile = make("div");
      const shown = make("dd", value);
      if (beside) shown.append(" ", make("small", beside));
      tile.append(make("dt", name), shown);
      return tile;
    }),
  );
}

function clock(seconds) {
  return new Date(Date.now() + 1000 * seconds).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function showNotes(place, now) {
  const notes = [...now.notes];
  if (now.skipped && now.last_skipped) notes.push(`step ${now.last_skipped.step} was not applied: ${now.last_skipped.reason}`);
  const had = [...place.children].map((item) => item.textContent);
  if (had.join("\n") !== notes.join("\n")) place.replaceChildren(...notes.map((note) => make("li", note)));
}

function showState(place, now) {
  place.textContent = now.state === "quiet" ? `● no new step for ${duration(now.quiet_s)}` : `● ${STATES[now.state]}`;
  place.dataset.state = now.state;
}

/** Show sources as a list of buttons; `chosen` is the set of names that are drawn alone. */
function showSources(place, now, chosen, colourOf, onChoice) {
  const had = new Map([...place.children].map((item) => [item.dataset.name, item]));
  const items = now.sources.map((source) => {
    let item = had.get(source.name);
    if (!item) {
      item = make("li");
      item.dataset.name = source.name;
      const button = make("button", undefined, { type: "button", title: source.name });
      button.append(make("i"), make("span", source.name), make("b"), make("small"));
      button.addEventListener("click", () => onChoice(source.name));
      item.append(button);
    }
    const [mark, , value, change] = item.firstChild.children;
    mark.style.background = colourOf(source.name);
    value.textContent = source.loss.toFixed(3);
    const moved = source.change === null || Math.abs(source.change) < 0.002 * Math.abs(source.loss) ? "" : source.change < 0 ? "down" : "up";
    change.className = moved;
    change.textContent = moved ? `${moved === "down" ? "↓" : "↑"} ${Math.abs(source.change).toFixed(3)}` : "→";
    item.firstChild.setAttribute("aria-pressed", chosen.has(source.name));
    return item;
  });
  // A list that is being used is put in another order only when its order has changed.
  if (items.some((item, index) => place.children[index] !== item) || place.children.length !== items.length) place.replaceChildren(...items);
}

let samplesShown = "";

function showSamples(place, samples) {
  const digest = JSON.stringify(samples);
  if (digest === samplesShown) return;
  samplesShown = digest;
  place.replaceChildren(
    ...samples.map((sample) => {
      const item = make("li");
      item.append(make("small", `step ${grouped(sample.step)}`), make("strong", sample.prompt), document.createTextNode(sample.text));
      return item;
    }),
  );
  place.parentElement.hidden = !samples.length;
}
