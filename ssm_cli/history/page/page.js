"use strict";
// The page: keys, pointer and buttons, each as a change of the picture; one frame draws it.

const TABLE_ROWS = 50, FOLLOW_MS = 120, SEARCH_MS = 150;
const byId = (id) => document.getElementById(id);

class Page {
  constructor(data) {
    this.history = new History(data);
    this.picture = new Picture(this.history, byId("plot"), byId("overview"));
    this.matchAt = -1;
    this.recolour(matchMedia("(prefers-color-scheme: dark)").matches);
    this.drawing = new Drawing(this.picture);
    this.detail = new Detail(this.history, byId("detail"), (i) => this.choose(i));
    this.about();
    this.detail.show(-1);
    this.table(0);
    this.buttons();
    this.pointer();
    this.paper();
    document.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.drawing.draw()).observe(byId("stage"));
    this.drawing.draw();
  }

  about() {
    const { history } = this, { data } = history;
    const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
    const said = [many(history.count, "record"), many(history.crashes.length, "crash")
      .replace(/crashs$/, "crashes")];
    if (history.count) {
      said.push(`${history.clock(history.time[0], true)} to `
        + `${history.clock(history.time[history.count - 1])} UTC`);
    }
    said.push(`ssm ${shown(data.ssm)}`, `Python ${shown(data.python)}`);
    byId("about").textContent = said.join(" \u00b7 ");
    byId("about").title = `Made ${shown(data.at)}`;
  }

  /** Draw in the next frame, once. */
  changed() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.drawing.draw(); });
  }

  recolour(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    if (this.drawing) this.drawing.recolour();
    this.changed();
  }

  /** Paper is light, whatever the screen is. */
  paper() {
    let dark = false;
    window.addEventListener("beforeprint", () => {
      dark = document.documentElement.dataset.theme === "dark";
      this.recolour(false);
      this.drawing.draw();
    });
    window.addEventListener("afterprint", () => this.recolour(dark));
  }

  toggleTheme() { this.recolour(document.documentElement.dataset.theme !== "dark"); }

  // -- choosing -----------------------------------------------------------------------------------

  choose(i, near = false) {
    this.picture.choose(i);
    if (near && i >= 0) this.picture.approach(i);
    this.detail.show(i);
    clearTimeout(this.following);
    this.following = setTimeout(() => this.follow(), FOLLOW_MS);
    this.say(i);
    this.changed();
  }

  /** Bring the table to the chosen record, once the keys rest: its layout takes long. */
  follow() {
    const from = Math.max(0, Math.floor(this.picture.chosen / TABLE_ROWS) * TABLE_ROWS);
    if (from !== this.tableFrom) this.table(from);
    this.inTable();
  }

  say(i) {
    const { history } = this;
    byId("says").textContent = i < 0 ? "" : brief([`Record ${history.number[i]}`,
      history.lanes[history.lane[i]].name, history.text("input", i),
      history.text("outcome", i)].join(", "));
  }

  step(by) {
    const { count } = this.history, { chosen, values, from, to } = this.picture;
    if (!count) return;
    const start = by > 0 ? lowest(values, from) : lowest(values, to) - 1;
    this.choose(Math.max(0, Math.min(count - 1, chosen < 0 ? start : chosen + by)));
  }

  /** The next crash in a direction; at the end of them nothing happens. */
  crash(by) {
    const { crashes, count } = this.history, { chosen } = this.picture;
    const at = by > 0 ? lowest(crashes, chosen + 1)
      : lowest(crashes, chosen < 0 ? count : chosen) - 1;
    if (at >= 0 && at < crashes.length) this.choose(crashes[at], true);
  }

  /** Go a row up or down, to its record nearest to the chosen one. */
  lane(by) {
    const { picture } = this;
    picture.chooseRow(picture.row + by);
    const { records, lane } = picture.rows[picture.row];
    const at = Math.min(records.length - 1, lowest(records, Math.max(0, picture.chosen)));
    if (picture.chosen >= 0 && at >= 0) {
      const row = picture.row;
      this.choose(records[at]);
      picture.chooseRow(row);
    }
    const one = this.history.lanes[lane];
    byId("says").textContent += ` ${brief(one.path)}, ${records.length} records`;
    this.changed();
  }

  // -- search -------------------------------------------------------------------------------------

  search() {
    const { picture, history } = this, text = byId("search").value;
    picture.matches = text ? history.search(text) : null;
    const exact = /^\d+$/.test(text) ? history.indexOf(Number(text)) : -1;
    if (exact >= 0) picture.matches = [exact, ...picture.matches.filter((i) => i !== exact)];
    picture.wanted = null;
    if (picture.matches) {
      picture.wanted = new Uint8Array(history.count);
      for (const i of picture.matches) picture.wanted[i] = 1;
    }
    this.matchAt = -1;
    this.counted();
    this.changed();
  }

  counted() {
    const { matches } = this.picture, many = matches ? matches.length : 0;
    const at = this.matchAt < 0 ? "" : `${(this.matchAt + 1).toLocaleString("en")} of `;
    byId("found").value = !matches ? "" : many ? `${at}${many.toLocaleString("en")}` : "none";
  }

  next(by) {
    clearTimeout(this.searching);
    if (this.searched !== byId("search").value) this.search();
    this.searched = byId("search").value;
    const { matches } = this.picture;
    if (!matches || !matches.length) return;
    const many = matches.length, at = this.matchAt + (this.matchAt < 0 && by < 0 ? 1 : 0);
    this.matchAt = (at + by + many) % many;
    this.choose(matches[this.matchAt], true);
    this.counted();
  }

  clear() {
    if (byId("search").value) {
      byId("search").value = this.searched = "";
      this.search();
    } else this.choose(-1);
    byId("plot").focus();
  }

  // -- keys and buttons ---------------------------------------------------------------------------

  key(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { event.preventDefault(); this.clear(); return; }
    if (target === byId("search")) {
      if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1);
      return;
    }
    const typed = target.closest("button, #detail, #table") && event.key.length > 1;
    if (typed || (event.key === " " && target.closest("button"))) return;
    const action = this.actions(event.shiftKey)[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  actions(shift) {
    const { picture } = this, last = this.history.count - 1;
    const view = (change) => () => { change(); this.changed(); };
    return {
      ArrowLeft: () => (shift ? this.crash(-1) : this.step(-1)),
      ArrowRight: () => (shift ? this.crash(1) : this.step(1)),
      ArrowUp: () => this.lane(-1),
      ArrowDown: () => this.lane(1),
      PageUp: view(() => picture.pan(0, -picture.height / 2)),
      PageDown: view(() => picture.pan(0, picture.height / 2)),
      Home: () => last >= 0 && this.choose(0),
      End: () => last >= 0 && this.choose(last),
      Enter: () => this.enter(),
      " ": view(() => picture.fold(picture.row)),
      "+": view(() => picture.zoom(0.5)),
      "=": view(() => picture.zoom(0.5)),
      "-": view(() => picture.zoom(2)),
      0: view(() => picture.fit()),
      t: () => this.axis(!picture.byTime),
      d: () => this.toggleTheme(),
      "/": () => byId("search").select(),
    };
  }

  /** Show the record under the keys near by; without one, the first of the row that is in view. */
  enter() {
    const { picture } = this;
    const { records } = picture.rows[picture.row];
    const at = lowest(picture.values, picture.from, records);
    const i = picture.chosen >= 0 ? picture.chosen : records[Math.min(at, records.length - 1)];
    if (i !== undefined) this.choose(i, true);
  }

  axis(byTime) {
    this.picture.switchAxis(byTime);
    byId("by-time").setAttribute("aria-pressed", byTime);
    byId("by-record").setAttribute("aria-pressed", !byTime);
    this.changed();
  }

  buttons() {
    const { picture } = this;
    const on = (id, does) => byId(id).addEventListener("click", () => { does(); this.changed(); });
    on("by-record", () => this.axis(false));
    on("by-time", () => this.axis(true));
    on("in", () => picture.zoom(0.5));
    on("out", () => picture.zoom(2));
    on("fit", () => picture.fit());
    on("theme", () => this.toggleTheme());
    on("as-table", () => {
      const shownNow = byId("table").classList.toggle("shown");
      byId("table").classList.toggle("hidden", !shownNow);
      byId("as-table").setAttribute("aria-pressed", shownNow);
      byId("stage").classList.toggle("covered", shownNow);
    });
    on("earlier", () => this.turn(-TABLE_ROWS));
    on("later", () => this.turn(TABLE_ROWS));
    byId("search").addEventListener("input", () => {
      clearTimeout(this.searching);
      this.searching = setTimeout(() => {
        this.searched = byId("search").value;
        this.search();
      }, SEARCH_MS);
    });
  }

  turn(by) {
    this.table(Math.max(0, Math.min(this.history.count - 1, this.tableFrom + by)));
    this.inTable();
  }

  /** Mark the chosen record in the table, where it is there. */
  inTable() {
    const before = document.querySelector("tr.chosen");
    const now = byId("rows").children[this.picture.chosen - this.tableFrom];
    if (before) before.classList.remove("chosen");
    if (now) now.classList.add("chosen");
  }

  /** Some records as rows, for those who hear the page, and for those who like tables. */
  table(from) {
    const { history } = this, end = Math.min(history.count, from + TABLE_ROWS);
    this.tableFrom = from;
    const rows = [];
    for (let i = from; i < end; i += 1) {
      const go = { type: "button", class: "link", onclick: () => this.choose(i) };
      const name = element("span", { class: "number" }, `${history.number[i]}`);
      const texts = ["how", "input", "outcome"].map((column) => brief(history.text(column, i)));
      const cells = [element("button", go, name), history.clock(history.time[i]),
        brief(history.lanes[history.lane[i]].name), ...texts];
      const state = history.kind[i] === "crash" ? "crashed" : "";
      rows.push(element("tr", { class: state }, ...cells.map((one) => element("td", {}, one))));
    }
    byId("rows").replaceChildren(...rows);
    const { number, count } = history;
    byId("caption").textContent = count
      ? `Records ${number[from]} to ${number[end - 1]}, of ${count}` : "No records";
    byId("earlier").disabled = from === 0;
    byId("later").disabled = end >= history.count;
  }

  // -- pointer ------------------------------------------------------------------------------------

  pointer() {
    const plot = byId("plot"), { picture } = this;
    let held = null;
    plot.addEventListener("pointerdown", (event) => {
      held = { x: event.offsetX, y: event.offsetY, moved: false };
      plot.setPointerCapture(event.pointerId);
    });
    plot.addEventListener("pointermove", (event) => {
      const { offsetX: x, offsetY: y } = event;
      if (!held) { this.hover(picture.hit(x, y), x, y); return; }
      if (!held.moved && Math.abs(x - held.x) + Math.abs(y - held.y) < 4) return;
      picture.pan(held.x - x, held.y - y);
      held = { x, y, moved: true };
      this.changed();
    });
    plot.addEventListener("pointerup", (event) => {
      if (held && !held.moved) this.click(event.offsetX, event.offsetY);
      held = null;
    });
    plot.addEventListener("pointercancel", () => { held = null; });
    plot.addEventListener("pointerleave", () => this.hover(-1));
    plot.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { deltaX, deltaY } = event;
      if (event.shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) picture.pan(deltaX || deltaY, 0);
      else if (event.offsetX < GUTTER) picture.pan(0, deltaY);
      else picture.zoom(1.2 ** Math.max(-3, Math.min(3, deltaY / 50)), event.offsetX);
      this.changed();
    }, { passive: false });
    this.strip(byId("overview"));
  }

  strip(overview) {
    const { picture } = this;
    const go = (event) => {
      const [low, high] = picture.bounds();
      const at = low + ((event.offsetX - GUTTER) * (high - low)) / picture.width;
      const span = picture.to - picture.from;
      picture.show(at - span / 2, at + span / 2);
      this.changed();
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      go(event);
    });
    overview.addEventListener("pointermove", (event) => event.buttons && go(event));
  }

  click(x, y) {
    const { picture } = this, row = picture.rowAt(y);
    if (row < 0 || row >= picture.rows.length) return;
    const i = picture.hit(x, y);
    if (i >= 0) this.choose(i);
    else if (x < GUTTER && picture.children[picture.rows[row].lane].length) picture.fold(row);
    else picture.chooseRow(row);
    this.changed();
  }

  hover(i, x = 0, y = 0) {
    const { picture, history } = this, hint = byId("hint");
    if (i !== picture.hovered) this.changed();
    picture.hovered = i;
    hint.hidden = i < 0;
    if (i < 0) return;
    hint.textContent = brief(`${history.number[i]}  ${history.text("input", i)} \u2192 `
      + `${history.text("output", i) || history.text("outcome", i)}`);
    hint.style.left = `${Math.max(4, Math.min(x + 14, byId("stage").clientWidth - 350))}px`;
    hint.style.top = `${y < 60 ? y + 18 : y - 38}px`;
  }
}

window.report = new Page(JSON.parse(byId("data").textContent));
