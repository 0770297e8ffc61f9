/** The inside of the network: choice of a layer and a direction, its heat maps, and one of its units. */

import { byId, makeElement } from "./dom.js";
import { MapsView } from "./maps.js";
import { describePlace, introduceUnits } from "./meanings.js";
import { UnitView } from "./unit.js";

const FEW = 32; // units that are drawn at first: all of them at once are too many to follow

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
    this.isTwoWay = options.bidirectional;
    this.playhead = playhead;
    this.places = [];
    this.layer = 1;
    this.direction = "forward";
    this.chosen = null; // number of a unit
    byId("gates-key").hidden = options.cell === "rnn";
    byId("inside-intro").textContent = introduceUnits(options, word);
    this.few = Math.min(FEW, options.hidden_size);
    this.amount = this.few;
    const listeners = { unit: (at) => this.choose(this.order[at]), row: (row) => playhead.moveTo(row) };
    this.maps = new MapsView(options.cell, model.gates, word, listeners);
    this.unit = new UnitView(options.cell, model.gates, word);
    const layers = Array.from({ length: options.num_layers }, (_, n) => n + 1);
    addChoices(byId("layers"), layers, String, (layer) => this.go(layer, this.direction));
    const directions = options.bidirectional ? ["forward", "backward"] : ["forward"];
    addChoices(byId("directions"), directions, String, (direction) => this.go(this.layer, direction));
    const amounts = this.few < options.hidden_size ? [this.few, options.hidden_size] : [this.few];
    const nameAmount = (amount) => (amount === this.few ? `the ${amount} busiest` : `all ${amount}`);
    addChoices(byId("amount"), amounts, nameAmount, (amount) => {
      this.amount = amount;
      this.go(this.layer, this.direction);
    });
    byId("unit").addEventListener("input", () => this.choose(this.order[byId("unit").value - 1]));
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
    byId("place").textContent = describePlace(layer, direction, this.isTwoWay, this.word);
    const isHere = (each) => each.layer === layer && each.direction === direction;
    this.place = this.places.find(isHere);
    if (!this.place) return;
    const order = this.orders.find(isHere)?.order ?? Array.from({ length: this.place.units }, (_, n) => n);
    const busiest = byBusyness(this.place);
    const shown = new Set(busiest.slice(0, this.amount));
    this.order = order.filter((unit) => shown.has(unit));
    this.maps.show(this.image, this.place, this.order);
    byId("unit").max = this.order.length;
    this.choose(shown.has(this.chosen) ? this.chosen : busiest[0]);
  }

  /** @param {number} unit its number in the network */
  choose(unit) {
    if (!this.place) return;
    this.chosen = unit;
    const at = this.order.indexOf(unit);
    byId("unit").value = at + 1;
    byId("unit").setAttribute("aria-valuetext", `unit ${unit}`);
    this.maps.markUnit(at);
    this.unit.show(this.place, unit);
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

/** The units, the one that changes most in what it says first. */
function byBusyness({ units, steps, values }) {
  const variances = Array.from({ length: units }, (_, unit) => {
    let [sum, squares] = [0, 0];
    for (let step = 0; step < steps; step++) {
      const value = values.h[step * units + unit];
      sum += value;
      squares += value * value;
    }
    return squares - (sum * sum) / steps;
  });
  return Array.from(variances.keys()).sort((a, b) => variances[b] - variances[a]);
}

/** Add a radio button for each value; a single one is no choice, and is hidden. */
function addChoices(fieldset, values, nameOf, choose) {
  fieldset.hidden = values.length < 2;
  values.forEach((value, n) => {
    const label = makeElement("label", "choice");
    const input = makeElement("input");
    input.type = "radio";
    input.name = fieldset.id;
    input.checked = n === 0;
    input.addEventListener("change", () => choose(value));
    label.append(input, makeElement("span", "", nameOf(value)));
    fieldset.append(label);
  });
}
