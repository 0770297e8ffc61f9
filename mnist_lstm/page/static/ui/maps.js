/** Heat maps of everything that happens in one layer and direction, over the rows of the digit. */

import { HEAT, paintDigit, paintPixels, themed } from "./colours.js";
import { byId, makeElement } from "./dom.js";
import { MEANINGS } from "./meanings.js";
import { ROWS } from "./playhead.js";

export class MapsView {
  /**
   * @param {string} cell lstm, gru or rnn
   * @param {string} names of the values, in the order of the equations
   * @param {string} word row or column
   * @param {{unit: (place: number) => void, row: (row: number) => void}} listeners take what is pointed at
   */
  constructor(cell, names, word, listeners) {
    this.meanings = MEANINGS[cell];
    this.word = word;
    this.listeners = listeners;
    this.image = new Float32Array(ROWS * ROWS);
    this.place = null;
    this.digits = [];
    this.panels = [...names].map((name, n) => this.makePanel(name, n));
  }

  makePanel(name, n) {
    const { name: title, isGate, text } = this.meanings[name];
    // wide pages have a digit before every third map, narrow ones before each
    if (n % 3 === 0) byId("maps").append(this.makeDigit("line-digit"));
    const figure = makeElement("figure", "panel");
    const heading = makeElement("h3", "", title);
    heading.append(makeElement("span", "symbol", name));
    const frame = makeElement("div", "frame");
    const map = makeElement("div", "map");
    const canvas = makeElement("canvas");
    canvas.setAttribute("role", "img");
    const label = `Heat map of the ${title} ${name}, ${ROWS} ${this.word}s, one stripe for each unit`;
    canvas.setAttribute("aria-label", label);
    const unitMark = makeElement("div", "unit-mark");
    const rowMark = makeElement("div", "row-mark");
    const limits = makeElement("span", "limits");
    map.append(canvas, rowMark, unitMark);
    frame.append(this.makeDigit("own-digit"), map);
    heading.append(limits);
    figure.append(heading, frame, makeElement("figcaption", "", text.replaceAll("row", this.word)));
    byId("maps").append(figure);
    this.listen(map);
    return { name, isGate, canvas, unitMark, rowMark, limits };
  }

  makeDigit(className) {
    const frame = makeElement("div", `frame-digit ${className}`);
    const canvas = makeElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const rowMark = makeElement("div", "row-mark");
    frame.append(canvas, rowMark);
    this.digits.push({ canvas, rowMark });
    return frame;
  }

  listen(map) {
    const point = (event) => {
      const box = map.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      if (this.place) this.listeners.unit(Math.floor(Math.min(Math.max(share, 0), 0.9999) * this.order.length));
    };
    map.addEventListener("pointermove", point);
    map.addEventListener("pointerdown", point);
    map.addEventListener("click", (event) => {
      const box = map.getBoundingClientRect();
      this.listeners.row(Math.ceil(((event.clientY - box.top) / box.height) * ROWS));
    });
  }

  /**
   * @param {Float32Array} image (28 * 28), 0 to 1, as the layers read it
   * @param {{units: number, values: Object<string, Float32Array>}} place a layer in one direction
   * @param {number[]} order the units to draw, in their order
   */
  show(image, place, order) {
    this.image = image;
    this.place = place;
    this.order = order;
    this.repaint();
  }

  repaint() {
    for (const { canvas } of this.digits) paintDigit(canvas, this.image, 1);
    if (!this.place) return;
    const { units, values } = this.place;
    for (const { name, isGate, canvas, limits } of this.panels) {
      const all = values[name];
      const high = isGate ? 1 : largestOf(all);
      const table = isGate ? HEAT : themed.signed;
      paintPixels(canvas, this.order.length, ROWS, table, (row, column) => {
        const value = all[row * units + this.order[column]] / high;
        return isGate ? value : (value + 1) / 2;
      });
      limits.textContent = isGate ? "0 to 1" : `−${high.toFixed(1)} to +${high.toFixed(1)}`;
    }
  }

  /** Mark a row, from 1. */
  markRow(row) {
    for (const { rowMark } of [...this.panels, ...this.digits]) rowMark.style.top = `${(100 * row) / ROWS}%`;
  }

  /** Mark a unit by its place in the order. */
  markUnit(at) {
    if (!this.place) return;
    for (const { unitMark } of this.panels) {
      unitMark.style.left = `${(100 * at) / this.order.length}%`;
      unitMark.style.width = `${100 / this.order.length}%`;
    }
  }
}

/** A size that 98 % of the values do not exceed: a few are much larger, and would make all others pale. */
function largestOf(values) {
  const sizes = values.map(Math.abs).sort();
  return Math.max(sizes[Math.floor(0.98 * (sizes.length - 1))], 1e-9);
}
