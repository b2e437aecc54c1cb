"use strict";
// Drawing: a picture on its two canvases, anew each time. What is drawn is bounded by pixels.

const FONT = '12px system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif';
const SMALL = FONT.replace("12px", "11px"), BOLD = `600 ${FONT}`;
const LABELS = 30, LINES = 2000, ARCS = 50; // at most so many at once
const BIN = 2; // pixels of a column where marks would lie on each other
const COLOURS = ["ground", "ink", "muted", "line", "band", "chosen", "life", "input", "timer",
  "hand", "start", "crash", "restart", "delay", "cause", "focus", "match", "gone"];

/** The colours of the page, by name. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`)]));
}

/** A canvas made as sharp as the screen, cleared. */
function begun(canvas, ground) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.fillStyle = ground;
  pen.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  pen.font = FONT;
  pen.textBaseline = "middle";
  return pen;
}

class Drawing {
  constructor(picture) {
    this.picture = picture;
    this.history = picture.history;
    this.labels = new Map();
    this.strip = new Strip(picture);
    this.recolour();
  }

  recolour() { this.colour = colours(); }

  draw() {
    const { picture } = this;
    picture.measure();
    this.pen = begun(picture.plot, this.colour.ground);
    const first = Math.max(0, Math.floor(picture.top / ROW));
    const last = Math.min(picture.rows.length, Math.ceil((picture.top + picture.height) / ROW) + 1);
    this.clip(0, AXIS, () => {
      for (let row = first; row < last; row += 1) this.ground(row);
    });
    this.clip(GUTTER, AXIS, () => {
      this.grid();
      for (let row = first; row < last; row += 1) this.lives(row);
      this.endings();
      for (let row = first; row < last; row += 1) this.marks(row);
      this.causes();
      this.ring(picture.hovered, this.colour.muted);
      this.ring(picture.chosen, this.colour.focus);
    });
    this.clip(0, AXIS, () => {
      for (let row = first; row < last; row += 1) this.label(row);
    });
    this.axis();
    this.thumb();
    this.strip.draw(this.colour);
  }

  clip(x, y, inside) {
    const { pen, picture } = this;
    pen.save();
    pen.beginPath();
    pen.rect(x, y, x ? picture.width + EDGE : picture.plot.clientWidth, picture.height - y);
    pen.clip();
    inside();
    pen.restore();
  }

  line(x0, y0, x1, y1, colour, width = 1, dash = []) {
    const { pen } = this;
    pen.beginPath();
    pen.setLineDash(dash);
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  /** A text with a rim of the ground, where no other lies: it stands out from what is below. */
  note(text, wanted, y, colour) {
    const { pen, noted } = this;
    pen.font = SMALL;
    const wide = pen.measureText(text).width;
    const x = Math.min(wanted, this.picture.plot.clientWidth - EDGE - wide);
    const free = noted.every((one) => Math.abs(one.y - y) > 12 || one.x > x + wide + 6
      || one.end < x - 6);
    if (free && noted.length < LABELS) {
      noted.push({ x, y, end: x + wide });
      pen.lineWidth = 4;
      pen.lineJoin = "round";
      pen.strokeStyle = this.colour.ground;
      pen.strokeText(text, x, y);
      pen.fillStyle = colour;
      pen.fillText(text, x, y);
    }
    pen.font = FONT;
  }

  // -- rows ---------------------------------------------------------------------------------------

  ground(row) {
    const { picture, pen, colour } = this;
    const { lane, folded } = picture.rows[row];
    const y = picture.y(row) - ROW / 2;
    const above = this.history.lanes[lane].supervisor && !folded;
    if (row !== picture.row && !above) return;
    pen.fillStyle = row === picture.row ? colour.chosen : colour.band;
    pen.fillRect(0, y, picture.plot.clientWidth, ROW);
  }

  /** Label of a row: its group's sign, its name, and for a supervisor its strategy. */
  label(row) {
    const { picture, pen, colour } = this;
    const { lane, depth, folded, members } = picture.rows[row];
    const one = this.history.lanes[lane], y = picture.y(row) + 0.5;
    const x = 12 + Math.min(depth, 6) * 13;
    const group = picture.children[lane].length > 0;
    if (group) {
      pen.beginPath();
      const points = folded ? [[0, -4], [5, 0], [0, 4]] : [[-1, -2.5], [7, -2.5], [3, 2.5]];
      for (const [dx, dy] of points) pen.lineTo(x + dx, y + dy);
      pen.fillStyle = colour.muted;
      pen.fill();
    }
    pen.fillStyle = one.gone ? colour.gone : colour.ink;
    pen.font = one.supervisor ? BOLD : FONT;
    const end = this.cut(`${lane}`, brief(one.name), x + 12, GUTTER - 12, y);
    pen.font = SMALL;
    pen.fillStyle = colour.muted;
    const more = folded ? `${members.toLocaleString("en")} workers` : one.strategy;
    if (more && end < GUTTER - 50) {
      this.cut(`${lane} ${more}`, brief(more), end + 7, GUTTER - 10, y);
    }
    pen.font = FONT;
  }

  /** Write a text, cut where it has no room; how much of it has is remembered. */
  cut(key, text, x, end, y) {
    const { pen } = this;
    let fits = this.labels.get(key);
    if (fits === undefined) {
      fits = text;
      while (fits && x + pen.measureText(fits).width > end) fits = `${fits.slice(0, -2)}\u2026`;
      this.labels.set(key, fits);
    }
    pen.fillText(fits, x, y);
    return x + pen.measureText(fits).width;
  }

  /** When a worker lived, and when a back-off held it. */
  lives(row) {
    const { picture, pen, colour } = this;
    const { lane, folded } = picture.rows[row];
    const one = this.history.lanes[lane], y = picture.y(row);
    if (one.supervisor || folded) {
      this.line(GUTTER, y, GUTTER + picture.width + EDGE, y, colour.line);
      return;
    }
    pen.fillStyle = colour.life;
    for (const [x, end] of this.spans(one.lives)) {
      pen.beginPath();
      pen.roundRect(x, y - 4, Math.max(1, end - x), 8, 2);
      pen.fill();
    }
    for (const [x, end] of this.spans(one.delays)) {
      pen.fillStyle = colour.delay;
      pen.fillRect(x, y - 4, Math.max(2, end - x), 8);
      pen.strokeStyle = colour.restart;
      pen.lineWidth = 1;
      pen.beginPath();
      for (let at = x; at < end; at += 6) { pen.moveTo(at, y + 4); pen.lineTo(at + 5, y - 4); }
      pen.stroke();
    }
  }

  /** Those of many spans that are seen, as pixels; what lies in one pixel is one. */
  *spans(all) {
    const { picture } = this;
    let drawn = -Infinity;
    for (const [from, to] of all) {
      const x = Math.max(GUTTER - 9, picture.x(picture.of(from)));
      const end = Math.min(GUTTER + picture.width + EDGE, picture.x(picture.of(to)));
      if (end < GUTTER || x > GUTTER + picture.width + EDGE || end < drawn + 1) continue;
      drawn = end;
      yield [x, end];
    }
  }

  /** The records of a row: marks where they have room, columns of how many where they have not. */
  marks(row) {
    const { picture, history, colour } = this;
    const { records, lane } = picture.rows[row];
    const from = picture.valueAt(GUTTER - 6), to = picture.valueAt(GUTTER + picture.width + EDGE);
    const [first, last] = picture.seen(records, from, to);
    const y = picture.y(row), crashes = [];
    this.starts(history.lanes[lane].marks, y);
    if ((last - first) * 4 > picture.width) this.bins(records, first, last, y, crashes);
    else {
      const r = Math.max(1.6, Math.min(4, picture.width / (last - first + 1) / 3));
      for (let k = first; k < last; k += 1) {
        const i = records[k];
        if (history.kind[i] === "crash") crashes.push(i); else this.mark(i, y, r);
      }
    }
    for (const i of crashes) {
      const x = picture.x(picture.values[i]), s = 4;
      this.line(x - s, y - s, x + s, y + s, colour.ground, 5);
      this.line(x - s, y + s, x + s, y - s, colour.ground, 5);
      this.line(x - s, y - s, x + s, y + s, colour.crash, 2.4);
      this.line(x - s, y + s, x + s, y - s, colour.crash, 2.4);
    }
  }

  bins(records, first, last, y, crashes) {
    const { picture, history, pen, colour } = this;
    const { values, wanted } = picture;
    const counts = new Uint32Array(Math.ceil((picture.width + EDGE + 8) / BIN) + 2);
    const found = new Uint32Array(counts.length), crashed = new Uint8Array(counts.length);
    const scale = picture.width / (picture.to - picture.from), { from } = picture;
    for (let k = first; k < last; k += 1) {
      const i = records[k];
      const at = Math.max(0, Math.floor(((values[i] - from) * scale + 6) / BIN));
      counts[at] += 1;
      if (wanted && wanted[i]) found[at] += 1;
      if (history.kind[i] === "crash" && !crashed[at]) { crashed[at] = 1; crashes.push(i); }
    }
    const most = Math.log1p(counts.reduce((a, b) => Math.max(a, b), 1));
    const layers = [[counts, colour.input], ...(wanted ? [[found, colour.match]] : [])];
    for (const [list, tint] of layers) {
      pen.globalAlpha = wanted && list === counts ? 0.3 : 0.85;
      pen.fillStyle = tint;
      list.forEach((count, at) => {
        const half = Math.round(1 + (6 * Math.log1p(count)) / most);
        if (count) pen.fillRect(GUTTER - 6 + at * BIN, Math.round(y) - half, BIN, 2 * half);
      });
    }
    pen.globalAlpha = 1;
  }

  mark(i, y, r) {
    const { picture, history, pen, colour } = this;
    const kind = history.kind[i], x = picture.x(picture.values[i]);
    const { wanted } = picture;
    pen.globalAlpha = wanted && !wanted[i] ? 0.3 : 1;
    pen.fillStyle = wanted && wanted[i] ? colour.match
      : colour[{ start: "start", exit: "muted" }[kind] || kind];
    pen.beginPath();
    if (kind === "timer") {
      const d = r * 1.2;
      for (const [dx, dy] of [[0, -d], [d, 0], [0, d], [-d, 0]]) pen.lineTo(x + dx, y + dy);
    } else if (kind === "hand") pen.rect(x - r, y - r, 2 * r, 2 * r);
    else if (kind === "start") {
      for (const [dx, dy] of [[-r, -r], [r, 0], [-r, r]]) pen.lineTo(x + dx, y + dy);
    } else if (kind === "exit") pen.rect(x - 1, y - 6, 2, 12);
    else if (r < 2) pen.rect(x - 0.75, y - 5, 1.5, 10);
    else pen.arc(x, y, r, 0, 7);
    pen.fill();
    pen.globalAlpha = 1;
  }

  starts(all, y) {
    const { picture, pen } = this;
    pen.fillStyle = this.colour.start;
    let drawn = -Infinity;
    for (const one of all) {
      const x = picture.x(picture.of(one));
      if (x < GUTTER - 6 || x > GUTTER + picture.width + EDGE || x < drawn + 3) continue;
      drawn = x;
      pen.beginPath();
      pen.moveTo(x - 2, y - 5);
      pen.lineTo(x + 5, y);
      pen.lineTo(x - 2, y + 5);
      pen.fill();
    }
  }

  // -- between rows -------------------------------------------------------------------------------

  /** Restarts, from the crash to all whom they took along; and supervisors that gave up. */
  endings() {
    const { picture, history, colour } = this;
    const inside = (one) => {
      const x = picture.x(picture.of(one));
      return x > GUTTER - 20 && x < GUTTER + picture.width + 20;
    };
    const restarts = history.restarts.filter(inside).slice(-LINES);
    this.noted = [];
    for (const one of restarts) this.restart(one);
    for (const one of history.gaveUp.filter(inside).slice(-LINES)) {
      const x = picture.x(picture.of(one)), row = picture.rowOf[one.lane], { rows } = picture;
      let end = row;
      while (end + 1 < rows.length && rows[end + 1].depth > rows[row].depth) end += 1;
      this.line(x, picture.y(row) - 8, x, picture.y(end) + 8, colour.crash, 2.5);
      if (!picture.rows[row].folded) this.note("gave up", x + 6, picture.y(row), colour.crash);
    }
  }

  restart(one) {
    const { picture, pen, colour } = this;
    const x0 = picture.x(picture.byTime ? one.from.time : one.from.record);
    const x1 = picture.x(picture.of(one));
    const rows = [...new Set([one.child ?? one.lane, ...one.lanes].map((n) => picture.rowOf[n]))];
    const home = picture.y(rows[0]);
    const ys = rows.map((row) => picture.y(row));
    const low = Math.min(...ys), high = Math.max(...ys);
    const bend = Math.min(10, Math.max(0, x1 - x0));
    pen.beginPath();
    pen.moveTo(x0, home);
    if (x1 - x0 > 1) pen.quadraticCurveTo(x1 - bend / 2, home, x1, home);
    pen.moveTo(x1, low);
    pen.lineTo(x1, high);
    pen.lineWidth = 1.6;
    pen.strokeStyle = colour.restart;
    pen.stroke();
    pen.fillStyle = colour.ground;
    for (const y of ys) {
      if (y === home) continue;
      pen.beginPath();
      pen.arc(x1, y, 3, 0, 7);
      pen.fill();
      pen.stroke();
    }
    if (picture.rows[rows[0]].folded) return;
    this.note(one.strategy, x1 + 6, (ys.length > 1 ? high : home) + ROW / 2, colour.restart);
  }

  /** Arcs from the causes of a record to it, and from it to what it caused. */
  causes() {
    const { picture, history } = this;
    const i = picture.hovered >= 0 ? picture.hovered : picture.chosen;
    if (i < 0) return;
    let to = i;
    for (const { index } of history.causes(i)) {
      if (index >= 0) this.arc(index, to);
      to = index;
    }
    for (const effect of (history.effects.get(history.number[i]) || []).slice(0, ARCS)) {
      this.arc(i, effect);
    }
  }

  arc(from, to) {
    const { picture, pen, colour } = this;
    const a = picture.placeOf(from), b = picture.placeOf(to);
    const lift = a.y === b.y ? Math.min(34, 8 + Math.abs(b.x - a.x) / 4) : 0;
    const middle = (a.x + b.x) / 2;
    pen.beginPath();
    pen.setLineDash([2, 3]);
    pen.moveTo(a.x, a.y);
    if (lift) pen.quadraticCurveTo(middle, a.y - lift, b.x, b.y);
    else pen.bezierCurveTo(middle, a.y, middle, b.y, b.x, b.y);
    pen.lineWidth = 1.6;
    pen.strokeStyle = colour.cause;
    pen.stroke();
    pen.setLineDash([]);
  }

  ring(i, tint) {
    if (i < 0) return;
    const { pen } = this, { x, y } = this.picture.placeOf(i);
    pen.beginPath();
    pen.arc(x, y, 8, 0, 7);
    pen.lineWidth = 2;
    pen.strokeStyle = tint;
    pen.stroke();
  }

  // -- beside rows --------------------------------------------------------------------------------

  ticks() {
    const { picture } = this;
    const least = (picture.to - picture.from) / Math.max(2, picture.width / 110);
    const power = 10 ** Math.floor(Math.log10(least));
    let step = power * [1, 2, 5, 10].find((n) => n * power >= least);
    if (picture.byTime && least > 1e6) {
      step = 1e6 * ([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200]
        .find((n) => n * 1e6 >= least) || 86400 * Math.ceil(least / 86400e6));
    } else if (!picture.byTime) step = Math.max(1, step);
    const shift = picture.byTime ? this.history.data.start % step : 0;
    const found = [];
    const first = Math.ceil((picture.from + shift) / step) * step - shift;
    for (let at = first; at < picture.to; at += step) {
      if (picture.x(at) >= GUTTER && (picture.byTime || at > 0.5)) found.push(at);
    }
    return found;
  }

  grid() {
    const { picture, history, pen, colour } = this;
    for (const at of this.ticks()) {
      const x = Math.round(picture.x(at)) + 0.5;
      this.line(x, AXIS, x, picture.height, colour.line, 1);
    }
    const first = history.count ? picture.x(picture.values[0]) - 10 : GUTTER;
    if (history.data.trimmed && first > GUTTER) {
      pen.fillStyle = colour.band;
      pen.fillRect(GUTTER, AXIS, first - GUTTER, picture.height);
    }
  }

  axis() {
    const { picture, history, pen, colour } = this;
    this.line(0, AXIS - 0.5, picture.plot.clientWidth, AXIS - 0.5, colour.line);
    this.line(GUTTER - 0.5, AXIS, GUTTER - 0.5, picture.height, colour.line);
    pen.font = SMALL;
    pen.fillStyle = colour.muted;
    pen.fillText(picture.byTime ? "time, UTC" : "record", 12, AXIS / 2);
    pen.textAlign = "center";
    for (const at of this.ticks()) {
      const text = picture.byTime ? history.clock(at) : at.toLocaleString("en");
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(Math.max(picture.x(at), GUTTER + half),
        picture.plot.clientWidth - half - 4), AXIS / 2);
    }
    pen.textAlign = "start";
    pen.font = FONT;
  }

  thumb() {
    const { picture, pen, colour } = this;
    const all = picture.rows.length * ROW + AXIS + 8;
    if (all <= picture.height) return;
    const room = picture.height - AXIS - 4;
    pen.fillStyle = colour.muted;
    pen.globalAlpha = 0.5;
    pen.beginPath();
    pen.roundRect(picture.plot.clientWidth - 7, AXIS + 2 + (picture.top / all) * room, 4,
      Math.max(24, (picture.height / all) * room), 2);
    pen.fill();
    pen.globalAlpha = 1;
  }
}
