// Numbers as people read them. Everything that comes from a run is put on the page as text, never as markup.

const COUNTS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]];

function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  for (const [scale, suffix] of COUNTS) if (size >= scale) return `${+(value / (suffix === "k" ? 1e3 : scale)).toPrecision(3)}${suffix}`;
  if (size && size < 1e-3) return value.toExponential(1);
  return size >= 1000 ? value.toFixed(0) : `${+value.toPrecision(size >= 1 ? 4 : 3)}`;
}

function bytes(value) {
  if (value === null || Number.isNaN(value)) return "–";
  for (const [scale, suffix] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
    if (value >= scale) return `${+(value / scale).toPrecision(3)} ${suffix}`;
  return `${+value.toPrecision(3)} B`;
}

function percent(value) {
  return value === null || Number.isNaN(value) ? "–" : `${+(100 * value).toPrecision(3)} %`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(whole / 86400)} d ${String(Math.floor((whole % 86400) / 3600)).padStart(2, "0")} h`;
}

// What is left, in as few letters as a tile has room for.
function roughly(seconds) {
  if (seconds === null || seconds === undefined || seconds < 60) return duration(seconds);
  if (seconds < 5970) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${+(seconds / 3600).toPrecision(2)} h` : `${+(seconds / 86400).toPrecision(2)} d`;
}

function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, " ");
}

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
