"use strict";
// The picture: which rows and which part of the history it shows, and where each thing lies.

const GUTTER = 196, AXIS = 26, ROW = 24, EDGE = 14;
const FOLD_ROWS = 60, FOLD_MEMBERS = 16; // a tree of more rows begins with its large groups folded

class Picture {
  constructor(history, plot, overview) {
    this.history = history;
    this.plot = plot;
    this.overview = overview;
    this.byTime = false;
    this.top = 0;
    this.chosen = -1;      // a record
    this.hovered = -1;
    this.row = 0;          // the chosen row
    this.matches = null;   // records, in order
    this.folded = new Set();
    this.children = history.lanes.map(() => []);
    history.lanes.forEach((one, i) => one.parent >= 0 && this.children[one.parent].push(i));
    if (history.lanes.length > FOLD_ROWS) {
      const workers = (all) => all.filter((i) => !history.lanes[i].supervisor).length;
      this.children.forEach((all, i) => workers(all) > FOLD_MEMBERS && this.folded.add(i));
    }
    this.layOut();
    this.measure();
    this.fit();
  }

  /** Take the size of the canvas; asked once a frame, as each answer costs a layout. */
  measure() {
    this.width = Math.max(50, this.plot.clientWidth - GUTTER - EDGE);
    this.height = this.plot.clientHeight;
    this.scroll(this.top);
  }

  /** The rows that are seen, from the lanes and what is folded. */
  layOut() {
    const { lanes } = this.history;
    this.rows = [];
    this.rowOf = new Int32Array(lanes.length);
    const add = (lane, depth) => {
      const folded = this.folded.has(lane);
      const row = { lane, depth, folded, members: 0, records: lanes[lane].records };
      const at = this.rowOf[lane] = this.rows.length;
      this.rows.push(row);
      if (!folded) { for (const child of this.children[lane]) add(child, depth + 1); return; }
      const all = [];
      const todo = [...this.children[lane]];
      while (todo.length) {
        const inner = todo.pop();
        this.rowOf[inner] = at;
        if (!lanes[inner].supervisor) { row.members += 1; all.push(lanes[inner].records); }
        for (const child of this.children[inner]) todo.push(child);
      }
      row.records = Int32Array.from(all.flat()).sort();
    };
    lanes.forEach((one, i) => one.parent < 0 && add(i, 0));
  }

  fold(row) {
    const { lane } = this.rows[row];
    const group = this.children[lane].length ? lane : this.history.lanes[lane].parent;
    if (group < 0) return;
    if (!this.folded.delete(group)) this.folded.add(group);
    this.layOut();
    this.chooseRow(this.rowOf[group]);
  }

  // -- where things are ---------------------------------------------------------------------------

  get values() { return this.byTime ? this.history.time : this.history.number; }
  of(place) { return this.byTime ? place.time : place.at; }
  x(value) {
    const x = GUTTER + ((value - this.from) * this.width) / (this.to - this.from);
    return Math.max(-1e5, Math.min(1e5, x));
  }
  y(row) { return AXIS + row * ROW + ROW / 2 - this.top; }
  valueAt(x) { return this.from + ((x - GUTTER) * (this.to - this.from)) / this.width; }
  rowAt(y) { return y < AXIS ? -1 : Math.floor((y - AXIS + this.top) / ROW); }
  placeOf(i) {
    return { x: this.x(this.values[i]), y: this.y(this.rowOf[this.history.lane[i]]) };
  }

  bounds() {
    const { values } = this, { count } = this.history;
    const low = count ? values[0] : 0, high = count ? values[count - 1] : 1;
    const margin = Math.max((high - low) * 0.02, this.byTime ? 1000 : 1);
    return [low - margin, high + margin];
  }

  fit() { [this.from, this.to] = this.bounds(); }

  /** Show what lies between two values; never beyond the bounds, never too near. */
  show(from, to) {
    const [low, high] = this.bounds();
    const least = Math.min(high - low, this.byTime ? 50 : 6);
    const span = Math.min(high - low, Math.max(least, to - from));
    const middle = (from + to) / 2;
    this.from = Math.min(high - span, Math.max(low, middle - span / 2));
    this.to = this.from + span;
  }

  zoom(factor, x = this.x(this.chosen < 0 ? (this.from + this.to) / 2 : this.values[this.chosen])) {
    const inside = x >= GUTTER && x <= GUTTER + this.width;
    const held = this.valueAt(inside ? x : GUTTER + this.width / 2);
    this.show(held - (held - this.from) * factor, held + (this.to - held) * factor);
  }

  pan(dx, dy) {
    const moved = (dx * (this.to - this.from)) / this.width;
    this.show(this.from + moved, this.to + moved);
    this.scroll(this.top + dy);
  }

  scroll(top) {
    const most = Math.max(0, this.rows.length * ROW + AXIS + 8 - this.height);
    this.top = Math.max(0, Math.min(most, top));
  }

  switchAxis(byTime) {
    const { history } = this;
    const middle = this.chosen >= 0 ? this.chosen
      : Math.min(history.count - 1, lowest(this.values, (this.from + this.to) / 2));
    const part = (this.to - this.from) / (this.bounds()[1] - this.bounds()[0]);
    this.byTime = byTime;
    const span = (this.bounds()[1] - this.bounds()[0]) * part;
    const held = history.count ? this.values[middle] : 0;
    this.show(held - span / 2, held + span / 2);
  }

  chooseRow(row) {
    this.row = Math.max(0, Math.min(this.rows.length - 1, row));
    const y = this.y(this.row);
    if (y < AXIS + ROW) this.scroll(this.top + y - AXIS - ROW);
    if (y > this.height - 2 * ROW) this.scroll(this.top + y - this.height + 2 * ROW);
  }

  choose(i) {
    this.chosen = i;
    if (i < 0) return;
    const value = this.values[i], span = this.to - this.from;
    if (value < this.from + span * 0.03) this.show(value - span * 0.3, value + span * 0.7);
    if (value > this.to - span * 0.03) this.show(value - span * 0.7, value + span * 0.3);
    this.chooseRow(this.rowOf[this.history.lane[i]]);
  }

  /** Zoom in until single records can be told apart. */
  approach(i) {
    const near = this.byTime ? (this.bounds()[1] - this.bounds()[0]) / 40 : 60;
    if (this.to - this.from > near) {
      this.show(this.values[i] - near / 2, this.values[i] + near / 2);
    }
  }

  /** The record that is drawn nearest to a point in its row, or -1; a crash is preferred. */
  hit(x, y) {
    const row = this.rows[this.rowAt(y)];
    if (!row || x < GUTTER - 8) return -1;
    let best = -1, distance = 9;
    const [first, last] = this.seen(row.records, this.valueAt(x - 9), this.valueAt(x + 9));
    for (let k = first; k < last; k += 1) {
      const i = row.records[k];
      const ahead = this.history.kind[i] === "crash" ? 4 : 0;
      const away = Math.abs(this.x(this.values[i]) - x) - ahead;
      if (away < distance) { best = i; distance = away; }
    }
    return best;
  }

  /** Which part of a list of records lies between two values: its first, and behind its last. */
  seen(records, from, to) {
    return [lowest(this.values, from, records), lowest(this.values, to, records)];
  }
}
