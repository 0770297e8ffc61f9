/** A list of digits with bars as long as they are likely. */

import { makeElement } from "./dom.js";
import { formatPercent } from "./story.js";

export class Bars {
  /**
   * @param {HTMLElement} list
   * @param {number} number of bars
   */
  constructor(list, number) {
    this.bars = Array.from({ length: number }, (_, digit) => {
      const item = makeElement("li", "bar");
      const label = makeElement("span", "bar-digit", String(digit));
      const track = makeElement("span", "track");
      const fill = makeElement("span", "fill");
      const percent = makeElement("span", "percent");
      track.append(fill);
      item.append(label, track, percent);
      list.append(item);
      return { item, label, fill, percent };
    });
  }

  /**
   * @param {ArrayLike<number>} probabilities of the ten digits
   * @param {number[]} digits one for each bar
   * @param {?number} best the one to point out
   */
  show(probabilities, digits, best) {
    this.bars.forEach(({ item, label, fill, percent }, n) => {
      const digit = digits[n];
      label.textContent = digit;
      fill.style.transform = `scaleX(${probabilities[digit]})`;
      percent.textContent = formatPercent(probabilities[digit]);
      item.classList.toggle("best", digit === best);
    });
  }
}
