/** The inside of the network: choice of a layer and a direction, its heat maps, and one of its units. */

import { byId, makeElement } from "./dom.js";
import { MapsView } from "./maps.js";
import { describePlace, introduceUnits } from "./meanings.js";
import { UnitView } from "./unit.js";

export class InsideView {
  /**
   * @param {object} model from the page's data
   * @param {import("./playhead.js").Playhead} playhead
   * @param {string} word row or column
   */
  constructor(model, playhead, word) {
    const { options } = model;
    this.orders = model.units;
    this.word = word;
    this.playhead = playhead;
    this.places = [];
    this.layer = 1;
    this.direction = "forward";
    this.chosen = null; // a unit, by its place in the order
    byId("inside-intro").textContent = introduceUnits(options, word);
    const listeners = { unit: (at) => this.choose(at), row: (row) => playhead.moveTo(row) };
    this.maps = new MapsView(options.cell, model.gates, listeners);
    this.unit = new UnitView(options.cell, model.gates, word);
    const layers = Array.from({ length: options.num_layers }, (_, n) => n + 1);
    addChoices(byId("layers"), layers, (layer) => this.go(layer, this.direction));
    const directions = options.bidirectional ? ["forward", "backward"] : ["forward"];
    addChoices(byId("directions"), directions, (direction) => this.go(this.layer, direction));
    const range = byId("unit");
    range.max = options.hidden_size;
    range.addEventListener("input", () => this.choose(Number(range.value) - 1));
    playhead.onChange(() => this.follow());
    this.go(1, "forward");
  }

  /**
   * @param {Float32Array} image (28 * 28), 0 to 1, as the layers read it
   * @param {Array<{layer, direction, units, values}>} places
   */
  show(image, places) {
    this.image = image;
    this.places = places;
    this.go(this.layer, this.direction);
  }

  go(layer, direction) {
    if (layer !== this.layer || direction !== this.direction) this.chosen = null;
    this.layer = layer;
    this.direction = direction;
    byId("place").textContent = describePlace(layer, direction, this.word);
    const isHere = (each) => each.layer === layer && each.direction === direction;
    this.place = this.places.find(isHere);
    if (!this.place) return;
    this.order = this.orders.find(isHere)?.order ?? Array.from({ length: this.place.units }, (_, n) => n);
    this.maps.show(this.image, this.place, this.order);
    this.choose(this.chosen ?? liveliest(this.place, this.order));
  }

  choose(at) {
    if (!this.place) return;
    this.chosen = at;
    byId("unit").value = at + 1;
    byId("unit").setAttribute("aria-valuetext", `unit ${this.order[at]}`);
    this.maps.markUnit(at);
    this.unit.show(this.place, this.order[at]);
    this.follow();
  }

  follow() {
    this.maps.markRow(this.playhead.row);
    this.unit.follow(this.playhead.row);
  }

  repaint() {
    this.maps.repaint();
  }
}

/** The unit, by its place in the order, whose memory (or state) changes most. */
function liveliest({ units, steps, values }, order) {
  const memory = values.c ?? values.h;
  const range = (unit) => {
    let [low, high] = [Infinity, -Infinity];
    for (let step = 0; step < steps; step++) {
      low = Math.min(low, memory[step * units + unit]);
      high = Math.max(high, memory[step * units + unit]);
    }
    return high - low;
  };
  const ranges = order.map(range);
  return ranges.indexOf(Math.max(...ranges));
}

/** Add a radio button for each value; a single one is no choice, and is hidden. */
function addChoices(fieldset, values, choose) {
  fieldset.hidden = values.length < 2;
  values.forEach((value, n) => {
    const label = makeElement("label", "choice");
    const input = makeElement("input");
    input.type = "radio";
    input.name = fieldset.id;
    input.checked = n === 0;
    input.addEventListener("change", () => choose(value));
    label.append(input, makeElement("span", "", String(value)));
    fieldset.append(label);
  });
}
