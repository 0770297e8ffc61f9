/** One unit: its values over the rows as curves, its numbers at the playhead's row, and what they mean. */

import { byId, makeElement } from "./dom.js";
import { MEANINGS } from "./meanings.js";
import { ROWS } from "./playhead.js";
import { formatSigned, describeUnit } from "./story.js";

export class UnitView {
  /**
   * @param {string} cell lstm, gru or rnn
   * @param {string} names of its values
   * @param {string} word row or column
   */
  constructor(cell, names, word) {
    this.cell = cell;
    this.word = word;
    this.names = [...names];
    const kinds = { gate: [], memory: [], value: [] }; // a memory may be large, and has a scale of its own
    const kindOf = (name) => (MEANINGS[cell][name].isGate ? "gate" : name === "c" ? "memory" : "value");
    for (const name of names) kinds[kindOf(name)].push(name);
    const groups = Object.entries(kinds).filter(([, group]) => group.length > 0);
    this.charts = groups.map(([kind, group]) => this.makeChart(group, kind === "gate"));
  }

  makeChart(names, isGate) {
    const figure = makeElement("figure", "chart");
    const box = makeElement("div", "plot");
    // made from text: the browser then knows by itself that these are shapes
    const lines = names.map((name, n) => `<path class="curve curve-${n}"/>`).join("");
    box.innerHTML =
      `<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">` +
      `<path class="axis" d="M0 ${isGate ? 100 : 50}H100"/>${lines}<path class="now"/></svg>`;
    const high = makeElement("span", "high", isGate ? "1" : "");
    const low = makeElement("span", "low", isGate ? "0" : "");
    box.append(high, low);
    const list = makeElement("ul", "numbers");
    const numbers = names.map((name, n) => {
      const item = makeElement("li");
      const number = makeElement("b");
      item.append(makeElement("i", `swatch curve-${n}`), `${MEANINGS[this.cell][name].name} ${name} `, number);
      list.append(item);
      return number;
    });
    figure.append(box, list);
    byId("charts").append(figure);
    const curves = [...box.querySelectorAll(".curve")];
    return { names, isGate, curves, now: box.querySelector(".now"), high, low, numbers };
  }

  /**
   * @param {{units: number, values: Object<string, Float32Array>}} place
   * @param {number} unit its number in the network
   */
  show(place, unit) {
    this.at = (name, row) => place.values[name][(row - 1) * place.units + unit];
    byId("unit-title").textContent = `Unit ${unit}`;
    for (const { names, isGate, curves, high, low } of this.charts) {
      let largest = 1;
      for (const name of names) {
        for (let row = 1; row <= ROWS; row++) largest = Math.max(largest, Math.abs(this.at(name, row)));
      }
      const height = (value) => (isGate ? 98 - 96 * value : 50 - (48 * value) / largest);
      names.forEach((name, n) => {
        const points = Array.from({ length: ROWS }, (_, k) => `${acrossChart(k + 1)} ${height(this.at(name, k + 1))}`);
        curves[n].setAttribute("d", `M${points.join("L")}`);
      });
      if (!isGate) [high.textContent, low.textContent] = [formatSigned(largest), formatSigned(-largest)];
    }
  }

  /** Show the numbers of a row, from 1. */
  follow(row) {
    if (!this.at) return;
    for (const { names, isGate, now, numbers } of this.charts) {
      now.setAttribute("d", `M${acrossChart(row)} 0V100`);
      names.forEach((name, n) => {
        const value = this.at(name, row);
        numbers[n].textContent = isGate ? value.toFixed(2) : formatSigned(value);
      });
    }
    const values = Object.fromEntries(this.names.map((name) => [name, this.at(name, row)]));
    byId("unit-story").textContent = `At ${this.word} ${row} it ${describeUnit(values, this.cell)}`;
  }
}

const acrossChart = (row) => ((row - 0.5) / ROWS) * 100;
