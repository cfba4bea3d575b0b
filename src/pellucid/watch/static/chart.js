// One chart on a canvas: lines over a common x, a band of lows and highs, marks, a cursor that all charts share, and zoom by dragging.

const LEFT = 66;
const BOTTOM = 22;
const TOP = 6;

class Chart {
  /** `shared` has {range, cursor, log, set(range), point(x)}: what all charts of the page agree on. */
  constructor(title, shared, { wide = false, show = short, stacked = false } = {}) {
    Object.assign(this, { title, shared, show, stacked, lines: [], marks: [], drag: null });
    this.figure = make("figure", undefined, wide ? { class: "wide" } : {});
    const caption = make("figcaption", title);
    this.told = make("output");
    caption.append(this.told);
    this.canvas = make("canvas", undefined, { tabindex: "0", role: "img" });
    this.legend = make("div", undefined, { class: "legend" });
    this.figure.append(caption, this.canvas, this.legend);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /** Take lines {name, x, y, low, high, colour, thin} and marks {x, kind, text}. */
  set(lines, marks = []) {
    this.lines = lines;
    this.marks = marks;
    this.figure.hidden = !lines.some((line) => line.y.some((value) => value !== null));
  }

  listen() {
    const { canvas, shared } = this;
    const at = (event) => this.valueAt(event.clientX - canvas.getBoundingClientRect().left);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.drag = event.pointerType === "touch" ? null : [at(event), at(event)];
      if (this.drag) canvas.setPointerCapture(event.pointerId);
      shared.point(at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.drag) this.drag[1] = at(event);
      this.pointerY = event.clientY - canvas.getBoundingClientRect().top;
      shared.point(at(event));
    });
    canvas.addEventListener("pointerup", () => this.endDrag());
    canvas.addEventListener("pointercancel", () => { this.drag = null; });
    canvas.addEventListener("pointerleave", () => { this.pointerY = null; if (!this.drag) shared.point(null); });
    canvas.addEventListener("dblclick", () => shared.set(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => shared.point(null));
  }

  endDrag() {
    if (!this.drag) return;
    const [a, b] = this.drag.slice().sort((one, other) => one - other);
    this.drag = null;
    const [first, last] = this.extent();
    if (b - a > (last - first) / 100) this.shared.set([a, b]);
    else this.draw();
  }

  key(event) {
    const [first, last] = this.extent();
    const at = this.shared.cursor ?? last;
    const step = (last - first) / 60;
    const closer = (factor) => this.shared.set([at - (at - first) * factor, at + (last - at) * factor]);
    const done = {
      ArrowLeft: () => this.shared.point(Math.max(first, at - step), true),
      ArrowRight: () => this.shared.point(Math.min(last, at + step), true),
      "+": () => closer(0.5), "=": () => closer(0.5), "-": () => closer(2), "0": () => this.shared.set(null), Escape: () => this.shared.set(null),
    }[event.key];
    if (!done || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    done();
  }

  extent() {
    if (this.shared.range) return this.shared.range;
    const xs = this.lines.filter((line) => line.x.length).map((line) => [line.x[0], line.x[line.x.length - 1]]);
    if (!xs.length) return [0, 1];
    const first = Math.min(...xs.map((x) => x[0]));
    return [first, Math.max(first + 1e-9, ...xs.map((x) => x[1]))];
  }

  valueAt(pixel) {
    const [first, last] = this.extent();
    const share = (pixel - LEFT) / Math.max(1, this.canvas.clientWidth - LEFT - 8);
    return first + Math.min(1, Math.max(0, share)) * (last - first);
  }

  /** The lowest and the highest value within the extent. */
  heights() {
    const [first, last] = this.extent();
    let low = Infinity;
    let high = -Infinity;
    for (const line of this.lines) {
      for (let index = 0; index < line.x.length; index += 1) {
        if (line.y[index] === null || line.x[index] < first || line.x[index] > last) continue;
        low = Math.min(low, line.low ? line.low[index] : line.y[index]);
        high = Math.max(high, line.high ? line.high[index] : line.y[index]);
      }
    }
    if (this.stacked) return [0, 1];
    if (low > high) return [0, 1];
    if (this.shared.log && low > 0) return [low, high > low ? high : low * 1.1];
    const room = (high - low || Math.abs(high) || 1) * 0.04;
    return [low - room, high + room];
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || this.figure.hidden) return;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const [first, last] = this.extent();
    const [low, high] = this.heights();
    const isLog = this.shared.log && low > 0 && !this.stacked;
    const f = isLog ? Math.log : (value) => value;
    const right = width - 8;
    const bottom = height - BOTTOM;
    const X = (x) => LEFT + ((x - first) / (last - first)) * (right - LEFT);
    const Y = (y) => bottom - ((f(y) - f(low)) / (f(high) - f(low))) * (bottom - TOP);
    this.toPixel = Y;
    this.axes(pen, { first, last, low, high, isLog, X, Y, right, bottom });
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, right - LEFT + 1, bottom + 1);
    pen.clip();
    for (const line of this.lines) if (line.low && line.low !== line.y && line.band) this.band(pen, line, X, Y);
    if (this.stacked) this.stack(pen, X, Y);
    else for (const line of this.lines) this.line(pen, line, X, Y, first, last);
    this.draggedPart(pen, X, bottom);
    pen.restore();
    this.drawMarks(pen, X, bottom, first, last);
    this.drawCursor(pen, X, Y, bottom);
  }

  axes(pen, { first, last, low, high, isLog, X, Y, right, bottom }) {
    pen.font = "12px system-ui, sans-serif";
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const value of ticks(low, high, isLog)) {
      const y = Math.round(Y(value)) + 0.5;
      pen.strokeStyle = colour("--grid");
      pen.beginPath();
      pen.moveTo(LEFT, y);
      pen.lineTo(right, y);
      pen.stroke();
      pen.fillStyle = colour("--soft");
      pen.fillText(this.show(value), LEFT - 6, y);
    }
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const value of ticks(first, last, false, Math.max(3, Math.floor((right - LEFT) / 110)))) {
      pen.fillStyle = colour("--soft");
      pen.fillText(short(value), Math.min(X(value), right - 14), bottom + 7);
    }
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    pen.moveTo(LEFT, bottom + 0.5);
    pen.lineTo(right, bottom + 0.5);
    pen.stroke();
  }

  line(pen, line, X, Y, first, last) {
    pen.strokeStyle = line.colour;
    pen.globalAlpha = line.faded ? 0.18 : 1;
    pen.lineWidth = line.thin ? 1.3 : 2;
    pen.lineJoin = "round";
    pen.setLineDash(line.dots ? [4, 3] : []);
    pen.beginPath();
    let isOpen = false;
    let column = null;
    for (let index = 0; index < line.x.length; index += 1) {
      const y = line.y[index];
      if (y === null || line.x[index] < first - (last - first) / 50 || line.x[index] > last + (last - first) / 50) continue;
      const x = X(line.x[index]);
      if (column !== null && Math.abs(x - column) < 0.4 && index < line.x.length - 1) continue;
      column = x;
      if (isOpen) pen.lineTo(x, Y(y));
      else pen.moveTo(x, Y(y));
      isOpen = true;
    }
    pen.stroke();
    pen.setLineDash([]);
    if (line.points) {
      pen.fillStyle = line.colour;
      line.x.forEach((x, index) => {
        if (line.y[index] === null) return;
        pen.beginPath();
        pen.arc(X(x), Y(line.y[index]), 2.6, 0, 7);
        pen.fill();
      });
    }
    pen.globalAlpha = 1;
  }

  /** A vertical stroke for every point, from its lowest to its highest: a spike of a single step keeps its own. */
  band(pen, line, X, Y) {
    pen.strokeStyle = line.band;
    pen.lineWidth = 1.2;
    pen.beginPath();
    for (let index = 0; index < line.x.length; index += 1) {
      if (line.low[index] === null) continue;
      const before = index && line.raw[index - 1] !== null ? line.raw[index - 1] : line.low[index];
      const x = X(line.x[index]);
      pen.moveTo(x, Y(Math.min(line.low[index], before)));
      pen.lineTo(x, Y(Math.max(line.high[index], before)) - 0.5);
    }
    pen.stroke();
  }

  /** Shares of a whole, over each other. */
  stack(pen, X, Y) {
    const count = this.lines[0]?.x.length ?? 0;
    let below = new Array(count).fill(0);
    const whole = below.map((_, index) => this.lines.reduce((sum, line) => sum + (line.y[index] ?? 0), 0) || 1);
    for (const line of this.lines) {
      const above = below.map((value, index) => value + (line.y[index] ?? 0) / whole[index]);
      pen.fillStyle = line.colour;
      pen.beginPath();
      above.forEach((value, index) => pen.lineTo(X(line.x[index]), Y(value)));
      for (let index = count - 1; index >= 0; index -= 1) pen.lineTo(X(line.x[index]), Y(below[index]));
      pen.fill();
      below = above;
    }
  }

  draggedPart(pen, X, bottom) {
    if (!this.drag) return;
    pen.fillStyle = colour("--shade");
    pen.fillRect(X(this.drag[0]), 0, X(this.drag[1]) - X(this.drag[0]), bottom);
  }

  drawMarks(pen, X, bottom, first, last) {
    const looks = { spike: ["--warn", "▲"], skipped: ["--bad", "✕"], resume: ["--soft", "↺"], score: ["--good", "◆"] };
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.font = "11px system-ui, sans-serif";
    for (const mark of this.marks) {
      if (mark.x < first || mark.x > last) continue;
      const [name, sign] = looks[mark.kind];
      pen.fillStyle = colour(name);
      pen.fillText(sign, X(mark.x), bottom + 1);
    }
  }

  drawCursor(pen, X, Y, bottom) {
    const x = this.shared.cursor;
    const [first, last] = this.extent();
    if (x === null || x < first || x > last) {
      this.told.textContent = this.summary ?? "";
      return;
    }
    pen.strokeStyle = colour("--soft");
    pen.beginPath();
    pen.moveTo(Math.round(X(x)) + 0.5, TOP);
    pen.lineTo(Math.round(X(x)) + 0.5, bottom);
    pen.stroke();
    this.told.textContent = this.values(x);
  }

  /** What the lines say at a place, in words; of many lines those that are nearest to the pointer. */
  values(x) {
    const found = [];
    let place = null;
    for (const line of this.lines) {
      if (line.faded) continue;
      const index = nearest(line.x, x, line.y);
      if (index === null) continue;
      place ??= line.x[index];
      const raw = line.raw ? ` (${this.show(line.raw[index])})` : "";
      const away = this.pointerY == null ? 0 : Math.abs(this.toPixel(line.y[index]) - this.pointerY);
      found.push({ text: `${line.name ? `${line.name} ` : ""}${this.show(line.y[index])}${raw}`, away });
    }
    if (found.length > 6) found.sort((one, other) => one.away - other.away); // of many, those beside the pointer
    return place === null ? "" : `at ${short(place)}: ${found.slice(0, 6).map((one) => one.text).join(", ")}${found.length > 6 ? ", …" : ""}`;
  }
}
