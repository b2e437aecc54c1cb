"use strict";
// The history as columns, and questions about it. Touches no document.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A text that can be shown: what does not print, or reorders a line, stands as its escape. */
function shown(text) {
  return text.replace(UNSEEN, (c) =>
    c === "\n" || c === "\t" ? c : `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A text for one line, cut. */
function brief(text, most = 120) {
  const line = shown(text.slice(0, most + 1)).replace(/\s+/g, " ");
  return text.length > most ? `${line.slice(0, most)}\u2026` : line;
}

/** The index of the first value that is at least `wanted`, in ascending values; with a list of
 *  indices, the index in that list. */
function lowest(values, wanted, list = null) {
  let low = 0, high = (list || values).length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[list ? list[middle] : middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

/** What a record is drawn as. */
function kindOf(how, outcome) {
  if (outcome === "crashed") return "crash";
  if (how === "timer" || how === "timeout" || how === "continue") return "timer";
  if (how === "changed") return "hand";
  return how === "start" || how === "exit" ? how : "input";
}

class History {
  constructor(data) {
    this.data = data;
    this.texts = data.texts;
    const { records } = data;
    this.count = records.number.length;
    this.number = Float64Array.from(records.number);
    this.time = rising(records.at);
    this.lane = Int32Array.from(records.lane);
    this.kind = records.how.map((how, i) => kindOf(this.texts[how], this.text("outcome", i)));
    this.lanes = data.lanes.id.map((id, i) => this.laneOf(id, i));
    this.crashes = [];
    for (let i = 0; i < this.count; i += 1) {
      this.lanes[this.lane[i]].records.push(i);
      if (this.kind[i] === "crash") this.crashes.push(i);
    }
    this.effects = new Map();
    records.cause.forEach((cause, i) => {
      if (!cause) return;
      if (this.effects.has(cause)) this.effects.get(cause).push(i);
      else this.effects.set(cause, [i]);
    });
    this.place();
    this.live();
  }

  laneOf(id, i) {
    const { lanes } = this.data;
    const parent = lanes.parent[i];
    return {
      name: this.texts[id], path: this.texts[lanes.path[i]], parent,
      supervisor: lanes.supervisor[i] === 1, strategy: this.texts[lanes.strategy[i]],
      gone: lanes.gone[i] === 1, records: [], lives: [], delays: [], marks: [],
    };
  }

  text(column, i) {
    return this.texts[this.data.records[column][i]];
  }

  /** Where reports lie: by time, and between the record that they follow and the next. */
  place() {
    const { reports } = this.data;
    this.reportTime = rising(reports.at);
    this.reportAt = new Float64Array(reports.seq.length);
    for (let i = 0, end = 0; i < reports.seq.length; i = end) {
      while (end < reports.seq.length && reports.record[end] === reports.record[i]) end += 1;
      for (let j = i; j < end; j += 1) {
        this.reportAt[j] = reports.record[i] + 0.12 + (0.76 * (j - i)) / (end - i);
      }
    }
  }

  /** Lives, delays, restarts and those who gave up, from the reports. */
  live() {
    const { reports } = this.data;
    const taken = new Map(reports.taken.map((one) => [one[0], one]));
    this.restarts = [];
    this.gaveUp = [];
    const born = new Map(), held = new Map(), crashed = new Map();
    const first = { at: -Infinity, time: -Infinity }, last = { at: Infinity, time: Infinity };
    const end = (open, lane, where, list) => {
      if (open.has(lane)) list.push([open.get(lane), where]);
      open.delete(lane);
    };
    const known = new Set();
    for (let i = 0; i < reports.seq.length; i += 1) {
      const event = this.texts[reports.event[i]], lane = reports.lane[i];
      const here = { at: this.reportAt[i], time: this.reportTime[i], record: reports.record[i] };
      const one = this.lanes[lane];
      if (event === "started") { born.set(lane, here); one.marks.push(here); }
      if (event === "terminated" || event === "killed" || event === "exited") {
        if (!known.has(lane) && !born.has(lane)) born.set(lane, first);
        end(born, lane, here, one.lives);
      }
      if (event === "crashed") crashed.set(lane, here);
      if (event === "delayed") { end(held, lane, here, one.delays); held.set(lane, here); }
      if (event === "starting" || event === "exited") end(held, lane, here, one.delays);
      if (event === "restarting" && taken.has(reports.seq[i])) {
        const [, strategy, child, lanes] = taken.get(reports.seq[i]);
        const from = crashed.get(child) || here;
        this.restarts.push({ ...here, from, lane, child, lanes, strategy: this.texts[strategy] });
      }
      if (event === "gave_up") this.gaveUp.push({ ...here, lane });
      known.add(lane);
    }
    for (const [lane, where] of born) this.lanes[lane].lives.push([where, last]);
    for (const [lane, where] of held) this.lanes[lane].delays.push([where, last]);
    this.lanes.forEach((one, lane) => {
      if (!known.has(lane) && !one.supervisor && !one.gone) one.lives.push([first, last]);
    });
  }

  /** The index of a record by its number, or -1. */
  indexOf(number) {
    const i = lowest(this.number, number);
    return i < this.count && this.number[i] === number ? i : -1;
  }

  /** The reports that follow a record, as indices. */
  after(number) {
    const { record } = this.data.reports;
    const found = [];
    for (let i = lowest(record, number); i < record.length && record[i] === number; i += 1) {
      found.push(i);
    }
    return found;
  }

  /** The chain of causes of a record, the nearest first: indices, and at its end a number alone. */
  causes(i, most = 20) {
    const found = [];
    let number = this.data.records.cause[i];
    while (number && found.length < most) {
      const index = this.indexOf(number);
      found.push({ number, index });
      if (index < 0 || index >= i) break;
      number = this.data.records.cause[index];
    }
    return found;
  }

  /** The records that have a text in one of their fields, in order; case does not matter. */
  search(text) {
    const wanted = text.toLowerCase();
    const has = this.texts.map((one) => one.toLowerCase().includes(wanted));
    const { records } = this.data;
    const lanes = this.lanes.map((one) => one.name.toLowerCase().includes(wanted));
    const wrong = records.errors.map(([type, message, places]) =>
      has[type] || has[message] || places.some((place) => has[place]));
    const found = [];
    for (let i = 0; i < this.count; i += 1) {
      if (has[records.input[i]] || has[records.output[i]] || has[records.outcome[i]]
        || has[records.how[i]] || has[records.by[i]] || lanes[records.lane[i]]
        || (records.error[i] && wrong[records.error[i] - 1])
        || records.changed[i].some((one) => Array.isArray(one) && one.some((n) => has[n]))) {
        found.push(i);
      }
    }
    return found;
  }

  /** An instant, UTC, to the millisecond; `whole` with its date. */
  clock(time, whole = false) {
    const said = new Date((this.data.start + time) / 1000).toISOString();
    return whole ? said.replace("T", " ").replace("Z", "") : said.slice(11, 23);
  }
}

/** Times that never go back, so that they can be searched; a clock may have been set back. */
function rising(values) {
  const found = Float64Array.from(values);
  for (let i = 1; i < found.length; i += 1) if (found[i] < found[i - 1]) found[i] = found[i - 1];
  return found;
}
