"use strict";
// The strip above the picture: all of the history, and how much of it the picture shows.

const STRIP_BIN = 4; // pixels of a column

class Strip {
  constructor(picture) {
    this.picture = picture;
    this.history = picture.history;
  }

  /** Records a second, by column of the strip; remembered, as it changes with axis and width. */
  rates(low, high) {
    const { picture, history } = this;
    const key = `${picture.byTime} ${picture.width}`;
    if (this.ratesFor === key) return this.ratesOf;
    const found = new Float64Array(Math.ceil(picture.width / STRIP_BIN));
    let first = 0;
    for (let n = 0; n < found.length; n += 1) {
      const end = low + ((n + 1) * STRIP_BIN * (high - low)) / picture.width;
      const next = lowest(picture.values, end);
      const span = picture.byTime ? 1 : history.time[Math.min(next, history.count - 1)]
        - history.time[first] || 1e6;
      found[n] = (next - first) / span;
      first = next;
    }
    this.ratesFor = key;
    this.ratesOf = found;
    return found;
  }

  /** The strip: all of the history, how much of it is in the picture, crashes, what was found. */
  draw(colour) {
    const { picture, history } = this;
    const pen = begun(picture.overview, colour.ground);
    const { clientWidth: width, clientHeight: height } = picture.overview;
    const [low, high] = picture.bounds();
    const at = (value) => GUTTER + ((value - low) * picture.width) / (high - low);
    const rates = this.rates(low, high), most = rates.reduce((a, b) => Math.max(a, b), 0);
    pen.fillStyle = colour.input;
    pen.globalAlpha = 0.55;
    rates.forEach((rate, n) => {
      const tall = rate && 2 + Math.sqrt(rate / most) * (height - 24);
      pen.fillRect(GUTTER + n * STRIP_BIN, height - 6 - tall, STRIP_BIN - 1, tall);
    });
    pen.globalAlpha = 1;
    for (const [list, tint, tall] of [[picture.matches || [], colour.match, 4],
      [history.crashes, colour.crash, 8]]) {
      pen.fillStyle = tint;
      let drawn = -1;
      for (const i of list) {
        const x = Math.round(at(picture.values[i]));
        if (x > drawn) pen.fillRect(x - 1, 4, 2, tall);
        drawn = Math.max(drawn, x);
      }
    }
    const x = at(picture.from), end = Math.max(x + 4, at(picture.to));
    pen.fillStyle = colour.focus;
    pen.globalAlpha = 0.1;
    pen.fillRect(x, 1, end - x, height - 2);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour.focus;
    pen.strokeRect(x + 0.5, 1.5, end - x - 1, height - 3);
    pen.fillStyle = colour.muted;
    pen.font = SMALL;
    pen.fillText("inputs a second", 12, height / 2);
    pen.font = FONT;
  }
}
