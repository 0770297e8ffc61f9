/** Digits that come with the page, to be read until something is drawn. */

import { paintDigit } from "./colours.js";
import { byId, makeElement } from "./dom.js";

export class Gallery {
  /**
   * @param {Uint8Array[]} images each (28 * 28)
   * @param {(n: number) => void} choose called with the one that is clicked
   */
  constructor(images, choose) {
    this.images = images;
    this.buttons = images.map((_, n) => {
      const button = makeElement("button", "thumb");
      button.type = "button";
      button.setAttribute("aria-label", `Read example ${n + 1} of ${images.length}`);
      button.append(makeElement("canvas"));
      button.addEventListener("click", () => choose(n));
      byId("gallery").append(button);
      return button;
    });
    this.repaint();
  }

  repaint() {
    this.images.forEach((image, n) => paintDigit(this.buttons[n].firstChild, image, 255));
  }

  /** Point out the one that is read; null or -1 if it is none of these. */
  mark(chosen) {
    this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === chosen)));
  }
}
