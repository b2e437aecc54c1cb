"use strict";
// The pane beside the picture: a record in full, or a summary. Text is set as text, never as HTML.

const SHOWN_LINKS = 100;

/** An element with attributes and children; a child that is a string becomes text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const quiet = (text) => element("p", { class: "quiet" }, text);

class Detail {
  /** `go` is called with the index of a record that was followed. */
  constructor(history, pane, go) {
    Object.assign(this, { history, pane, go });
  }

  /** A record as a link. */
  link(i, about = "") {
    const { history } = this;
    const said = about || `${history.lanes[history.lane[i]].name} ${history.text("input", i)}`;
    return element("button", {
      type: "button", class: `link ${history.kind[i] === "crash" ? "crashed" : ""}`,
      onclick: () => this.go(i),
    }, element("span", { class: "number" }, `${history.number[i]}`), brief(said));
  }

  links(title, indices, about = () => "") {
    if (!indices.length) return [];
    const shownOnes = indices.slice(0, SHOWN_LINKS).map((i) => this.link(i, about(i)));
    const more = indices.length - shownOnes.length;
    const rest = more > 0 ? [quiet(`and ${more.toLocaleString("en")} more`)] : [];
    return [element("h3", {}, title), ...shownOnes, ...rest];
  }

  show(i) {
    this.pane.replaceChildren(...(i < 0 ? this.summary() : this.record(i)));
    this.pane.scrollTop = 0;
  }

  summary() {
    const { history } = this, { data } = history;
    const notes = [], said = (count) => count.toLocaleString("en");
    if (data.forgotten) {
      notes.push(`Records 1 to ${said(data.forgotten)} are not remembered any more.`);
    }
    if (data.trimmed > data.forgotten) {
      notes.push(`The page has no room for records before ${said(data.trimmed + 1)}.`);
    }
    if (data.left_out) {
      notes.push(`${said(data.left_out)} workers without a record are not drawn.`);
    }
    if (!history.count) notes.push("No record is remembered.");
    return [
      element("h2", {}, history.count ? "Choose a record" : "Nothing to show"),
      quiet("Click a mark, or press an arrow key. Wheel zooms, drag moves, and the wheel over the "
        + "names scrolls."),
      ...notes.map((note) => element("p", {}, note)),
      ...this.links(`Crashes (${history.crashes.length.toLocaleString("en")}), the last first`,
        history.crashes.slice(-SHOWN_LINKS - 1).reverse(), (i) => this.crashSaid(i)),
    ];
  }

  crashSaid(i) {
    const { history } = this;
    const wrong = history.data.records.error[i];
    const type = wrong ? history.texts[history.data.records.errors[wrong - 1][0]] : "crashed";
    return `${history.lanes[history.lane[i]].name} ${type}`;
  }

  record(i) {
    const { history } = this;
    const lane = history.lanes[history.lane[i]], outcome = history.text("outcome", i);
    const rows = [["Worker", lane.path], ["Time", `${history.clock(history.time[i], true)} UTC`],
      ["Kind", history.text("how", i)], ["Asked by", history.text("by", i)]];
    return [
      element("h2", {}, `Record ${history.number[i]}`,
        outcome ? element("span", { class: `chip ${outcome}` }, shown(outcome)) : null),
      element("dl", {}, ...rows.filter((row) => row[1]).flatMap(([term, said]) =>
        [element("dt", {}, term), element("dd", {}, shown(said))])),
      ...this.block("Input", history.text("input", i)),
      ...this.block("Output", history.text("output", i)),
      ...this.error(i),
      ...this.changes(i),
      ...this.causes(i),
      ...this.links("Led to", history.effects.get(history.number[i]) || []),
      ...this.then(i),
    ];
  }

  block(title, text, extra = "") {
    if (!text) return [];
    return [element("h3", {}, title),
      element("div", { class: `data block ${extra}`, dir: "auto" }, shown(text))];
  }

  error(i) {
    const { data, texts } = this.history;
    const number = data.records.error[i];
    if (!number) return [];
    const [type, message, places] = data.records.errors[number - 1];
    const said = [texts[type], texts[message]].filter(Boolean).join(": ");
    return [...this.block("Error", said, "error"),
      ...this.block("Where, the innermost last", places.map((place) => texts[place]).join("\n"))];
  }

  changes(i) {
    const { data, texts } = this.history;
    const all = data.records.changed[i];
    if (!all.length) return [];
    const rows = all.filter(Array.isArray).map(([path, before, after]) => {
      const difference = Number(texts[after]) - Number(texts[before]);
      const by = before && after && Number.isFinite(difference)
        ? ` (${difference > 0 ? "+" : ""}${Number(difference.toPrecision(12))})` : "";
      return element("div", { class: "change data" }, element("b", {}, shown(texts[path])),
        element("span", { class: before ? "before" : "quiet" }, shown(texts[before]) || "nothing"),
        element("span", { class: "arrow" }, "\u2192"),
        element("span", { class: after ? "after" : "quiet" }, shown(texts[after]) || "nothing"),
        element("span", { class: "by" }, by));
    });
    const more = all.find((one) => !Array.isArray(one));
    return [element("h3", {}, "State changed"), ...rows,
      ...(more ? [quiet(`and ${more} more paths`)] : [])];
  }

  causes(i) {
    const chain = this.history.causes(i);
    if (!chain.length) return [];
    return [element("h3", {}, "Caused by, the nearest first"), ...chain.map(({ number, index }) =>
      (index < 0 ? quiet(`${number}, not here`) : this.link(index)))];
  }

  /** The reports that follow a record. */
  then(i) {
    const { history } = this, { reports } = history.data;
    const all = history.after(history.number[i]);
    if (!all.length) return [];
    const rows = all.slice(0, SHOWN_LINKS).map((r) => {
      const event = history.texts[reports.event[r]], said = history.texts[reports.said[r]];
      const name = history.lanes[reports.lane[r]].name;
      return element("p", {}, `${brief(name)} ${brief(event)} `,
        element("span", { class: "quiet" }, brief(said, 200)));
    });
    const more = all.length - rows.length;
    return [element("h3", {}, "Then"), ...rows,
      ...(more ? [quiet(`and ${more} more reports`)] : [])];
  }
}
