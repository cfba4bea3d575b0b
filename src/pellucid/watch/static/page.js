// The page: asks once a second while it is seen, keeps what the reader has chosen, and draws.

const store = new Store();
const EVERY_MS = 1000;
const at = (id) => document.getElementById(id);
const chosen = { stage: null, part: 1, smoothing: 0.4, tokens: false, hidden: new Set(), sources: new Set() };
const shared = {
  range: null,
  cursor: null,
  log: false,
  set(range) {
    this.range = range;
    pressParts(range ? null : chosen.part);
    if (!range) applyPart();
    drawAll();
  },
  point(x, isSpoken = false) {
    this.cursor = x;
    for (const chart of charts) chart.draw();
    if (isSpoken) at("said").textContent = document.activeElement === charts[0].canvas ? charts[0].told.textContent : spoken();
  },
};
const charts = [
  new Chart("Loss", shared, { wide: true }),
  new Chart("Loss by source", shared, { wide: true }),
  new Chart("Gradient norm", shared),
  new Chart("Tokens per second", shared),
  new Chart("MFU", shared, { show: percent }),
  new Chart("Memory", shared, { show: bytes }),
  new Chart("Learning rate", shared),
  new Chart("Where the time of a step goes", shared, { stacked: true, show: percent }),
  new Chart("Figures of the objective", shared),
  new Chart("Scores on the way", shared),
];
const SIMPLE = [[2, "grad_norm"], [3, "tokens_per_s"], [4, "mfu"], [5, "memory_bytes"], [6, "lr"]];
const STEADY = new Set(["lr", "memory_bytes"]); // these have no noise to take out
const RUN_COLOURS = ["#d9730d", "#8d6bc9", "#3a9d4f", "#d14d8b", "#b99500", "#5b8def", "#8a949a"];
const PHASES = [["data", "data", "#d9a300"], ["forward_backward", "forward and backward", "#2a9db3"], ["optimizer", "optimizer", "#8d6bc9"], ["other", "other", "#8a949a"]];
at("charts").append(...charts.map((chart) => chart.figure));

function spoken() {
  return charts.find((chart) => chart.canvas === document.activeElement)?.told.textContent ?? "";
}

function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

function runColour(index) {
  return index === 0 ? colour("--main") : RUN_COLOURS[(index - 1) % RUN_COLOURS.length];
}

/** The stages that are drawn: the chosen one of every run that is not hidden, the leader first. */
function drawn() {
  const leader = chosen.stage ?? store.runs[0]?.at_work;
  return store.runs.map((run, index) => ({ index, name: run.name, stage: store.stages.get(`${index}/${stageOf(run, leader)}`) }))
    .filter((one) => one.stage && !chosen.hidden.has(one.index));
}

function stageOf(run, leader) {
  return run.stages.some((stage) => stage.name === leader) ? leader : run.stages.length === 1 ? run.stages[0].name : null;
}

function xs(stage) {
  return chosen.tokens ? stage.tokens : stage.steps;
}

function lineOf(one, channel, more = {}) {
  const rows = one.stage.channels.get(channel);
  if (!rows) return null;
  return { name: store.runs.length > 1 ? one.name : "", x: xs(one.stage), raw: rows[0], y: smooth(rows[0], STEADY.has(channel) ? 0 : chosen.smoothing), low: rows[1], high: rows[2],
    colour: runColour(one.index), band: one.index === 0 ? colour("--band") : null, ...more };
}

function place(stage, step) {
  if (!chosen.tokens) return step;
  let index = stage.steps.findIndex((value) => value >= step);
  if (index < 0) index = stage.steps.length - 1;
  return stage.tokens[index] ?? 0;
}

function marksOf(one) {
  const { spikes, skipped, resumes } = one.stage.marks;
  const mark = (kind) => (step) => ({ x: place(one.stage, step), kind });
  return [...resumes.map(mark("resume")), ...spikes.map(mark("spike")), ...skipped.map(([step]) => mark("skipped")(step))];
}

/** With several runs, figures that can be of one only are of the first that is drawn, and say so. */
function own(one, text) {
  if (store.runs.length === 1) return text;
  return text ? `${one.name}: ${text}` : `of ${one.name}`;
}

function setCharts() {
  const all = drawn();
  if (!all.length) return;
  const first = all[0];
  const heldout = all.filter((one) => one.stage.marks.heldout.length).map((one) => pointsOf(one, "held-out loss", one.stage.marks.heldout, runColour(one.index)));
  charts[0].set([...all.map((one) => lineOf(one, "loss")).filter(Boolean), ...heldout], marksOf(first));
  charts[0].summary = first.stage.now.loss === null ? "" : own(first, `last step ${first.stage.now.loss.toFixed(3)}, smoothed ${first.stage.now.smoothed_loss.toFixed(3)}`);
  const names = sourceNames(first.stage);
  charts[1].set(names.map((name, index) => ({ ...lineOf(first, `source/${name}`), name, colour: hue(index, isDark()), band: null, thin: true,
    low: null, high: null, raw: null, faded: chosen.sources.size > 0 && !chosen.sources.has(name) })));
  charts[1].summary = own(first, "");
  for (const [number, channel] of SIMPLE) {
    charts[number].set(all.map((one) => lineOf(one, channel)).filter(Boolean), number === 2 ? marksOf(first) : []);
    const rows = first.stage.channels.get(channel);
    charts[number].summary = rows ? own(first, charts[number].show(rows[0].findLast((value) => value !== null) ?? null)) : "";
  }
  setTimes(first);
  setOthers(first);
  legend(charts[0], all.length > 1 ? all.map((one) => [one.name, runColour(one.index)]) : []);
}

function setTimes(first) {
  const { stage } = first;
  const lines = PHASES.map(([phase, name, tone]) => ({ name, x: xs(stage), y: smooth(stage.channels.get(`seconds/${phase}`)?.[0] ?? [], chosen.smoothing), colour: tone }));
  const whole = lines[0].x.map((_, index) => lines.reduce((sum, line) => sum + (line.y[index] ?? 0), 0) || 1);
  charts[7].set(lines.map((line) => ({ ...line, y: line.y.map((value, index) => (value === null ? null : value / whole[index])) })));
  const now = stage.now.seconds;
  const sum = Object.values(now).reduce((total, value) => total + value, 0);
  charts[7].summary = own(first, sum ? `${duration(sum)} a step now` : "");
  legend(charts[7], PHASES.map(([phase, name, tone]) => [sum ? `${name} ${percent((now[phase] ?? 0) / sum)}` : name, tone]));
}

function setOthers(first) {
  charts[8].summary = charts[9].summary = own(first, "");
  const figures = [...first.stage.channels.keys()].filter((name) => name.startsWith("figure/"));
  charts[8].set(figures.map((name, index) => ({ ...lineOf(first, name), name: name.slice(7), colour: hue(index, isDark()), band: null, low: null, high: null, raw: null, thin: true })));
  legend(charts[8], figures.map((name, index) => [name.slice(7), hue(index, isDark())]));
  const scores = Object.entries(first.stage.marks.scores);
  charts[9].set(scores.map(([name, points], index) => pointsOf(first, name, points, hue(index, isDark()))));
  legend(charts[9], scores.map(([name], index) => [name, hue(index, isDark())]));
}

function pointsOf(one, name, points, tone) {
  return { name, x: points.map(([step]) => place(one.stage, step)), y: points.map(([, value]) => value), colour: tone, points: true, dots: true, thin: true };
}

function legend(chart, entries) {
  chart.legend.replaceChildren(...entries.map(([name, tone]) => {
    const entry = make("span");
    const mark = make("i");
    mark.style.background = tone;
    entry.append(mark, name);
    return entry;
  }));
}

function sourceNames(stage) {
  return [...stage.channels.keys()].filter((name) => name.startsWith("source/")).map((name) => name.slice(7)).sort();
}

function applyPart() {
  const first = drawn()[0]?.stage;
  if (!first?.steps.length || chosen.part === 1) {
    shared.range = null;
    return;
  }
  const values = xs(first);
  const last = values[values.length - 1];
  shared.range = [last - chosen.part * (last - values[0]), last];
}

function pressParts(part) {
  for (const button of document.querySelectorAll("[data-part]")) button.setAttribute("aria-pressed", Number(button.dataset.part) === part);
}

function drawAll() {
  setCharts();
  for (const chart of charts) {
    chart.draw();
    const now = chart.summary || "";
    chart.canvas.setAttribute("aria-label", `${chart.title}${now ? `: ${now}` : ""}`);
  }
}

function showRuns() {
  const [first] = store.runs;
  at("name").textContent = store.runs.length === 1 ? first.name : `${store.runs.length} runs`;
  document.title = `${at("name").textContent} – Pellucid watch`;
  const shown = chosen.stage ?? first.at_work;
  renew(at("stages"), first.stages.map((stage) => [`${stage.name} ${SIGNS[stage.state]}`, stage.name === shown, () => {
    chosen.stage = stage.name === store.runs[0].at_work ? null : stage.name;
    chosen.sources.clear();
    shared.range = null;
    look();
  }]), "aria-current");
  if (store.runs.length > 1) {
    renew(at("runs"), store.runs.map((run, index) => [run.name, !chosen.hidden.has(index), () => {
      if (!chosen.hidden.delete(index)) chosen.hidden.add(index);
      showRuns();
      drawAll();
    }, runColour(index)]), "aria-pressed");
  }
}

/** Buttons are made anew only when what they say has changed, so that the one in focus keeps it. */
function renew(place, buttons, state) {
  const digest = JSON.stringify(buttons.map(([text, isOn, , tone]) => [text, isOn, tone]));
  if (place.dataset.digest === digest) return;
  place.dataset.digest = digest;
  const focused = [...place.children].indexOf(document.activeElement);
  place.replaceChildren(...buttons.map(([text, isOn, act, tone]) => {
    const button = make("button", undefined, { type: "button", [state]: isOn });
    if (tone) {
      const mark = make("i");
      mark.style.background = tone;
      button.append(mark);
    }
    button.append(text);
    button.addEventListener("click", act);
    return button;
  }));
  if (focused >= 0) place.children[focused]?.focus();
}

function showStage() {
  const first = drawn()[0] ?? null;
  at("tiles").hidden = at("controls").hidden = !first;
  if (!first) {
    at("whose").textContent = "";
    at("state").textContent = store.runs.every((run) => run.at_work === null || run.stages.every((stage) => stage.state === "waiting")) ? "● waiting for the run to begin" : "● nothing is chosen";
    return;
  }
  const { now } = first.stage;
  at("whose").textContent = store.runs.length > 1 ? `${first.name}, ${first.stage.name}:` : "";
  for (const place of document.querySelectorAll(".of")) place.textContent = store.runs.length > 1 ? ` of ${first.name}` : "";
  showState(at("state"), now);
  showTiles(at("tiles"), now);
  showNotes(at("notes"), now);
  const share = now.steps ? Math.min(1, now.step / now.steps) : 0;
  at("bar").hidden = !now.steps;
  at("bar").setAttribute("aria-valuenow", Math.round(100 * share));
  at("bar").firstChild.style.width = `${100 * share}%`;
  const names = sourceNames(first.stage);
  showSources(at("sources").querySelector("ul"), now, chosen.sources, (name) => hue(names.indexOf(name), isDark()), (name) => {
    if (!chosen.sources.delete(name)) chosen.sources.add(name);
    showStage();
    drawAll();
  });
  at("sources").hidden = !now.sources.length;
  showSamples(at("samples").querySelector("ol"), first.stage.samples);
}

let isLooking = false;

async function look() {
  if (isLooking) return;
  isLooking = true;
  try {
    await store.lookAtRuns();
    const leader = chosen.stage ?? store.runs[0].at_work;
    for (const [index, run] of store.runs.entries()) {
      const name = stageOf(run, leader);
      if (name !== null && run.stages.find((stage) => stage.name === name).state !== "waiting") await store.lookAtStage(index, name);
    }
    showRuns();
    showStage();
    if (chosen.part !== 1 && document.querySelector('[data-part][aria-pressed="true"]')) applyPart();
    drawAll();
  } catch (error) {
    at("state").textContent = error instanceof Refusal ? `● ${error.message}` : `● not connected: ${error.message}`;
    at("state").dataset.state = "lost";
  } finally {
    isLooking = false;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  at("theme").textContent = theme === "dark" ? "Light" : "Dark";
  colours.clear();
  at("stages").dataset.digest = at("runs").dataset.digest = "";
}

for (const button of document.querySelectorAll("[data-part]")) {
  button.addEventListener("click", () => {
    chosen.part = Number(button.dataset.part);
    shared.set(null);
  });
}
at("smoothing").addEventListener("input", (event) => { chosen.smoothing = event.target.value / 100; drawAll(); });
at("log").addEventListener("change", (event) => { shared.log = event.target.checked; drawAll(); });
at("tokens").addEventListener("change", (event) => { chosen.tokens = event.target.checked; shared.range = null; applyPart(); drawAll(); });
at("theme").addEventListener("click", () => { setTheme(isDark() ? "light" : "dark"); if (store.runs.length) { showRuns(); showStage(); drawAll(); } });
at("controls").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
look();
setInterval(() => { if (!document.hidden) look(); }, EVERY_MS);
