/** The answer, the ten bars, and what the network sees. */

import { Bars } from "./bars.js";
import { paintDigit } from "./colours.js";
import { byId } from "./dom.js";
import { describeAnswer, isPuzzled } from "./story.js";

const TEN = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

export class AnswerView {
  /** @param {{deskew: boolean}} options of the network */
  constructor({ deskew }) {
    this.bars = new Bars(byId("bars"), TEN.length);
    this.last = null;
    byId("upright").hidden = !deskew;
  }

  /** @param {object} answer the worker's message */
  show(answer) {
    this.last = answer;
    const { status, digit, probabilities } = answer;
    const isNamed = digit !== null && !isPuzzled(probabilities);
    byId("digit").textContent = isNamed ? digit : status === "empty" ? "\u00a0" : "?";
    byId("digit").classList.toggle("unsure", status !== "ok");
    byId("sentence").textContent = describeAnswer(answer);
    this.bars.show(probabilities, TEN, isNamed ? digit : null);
    this.repaint();
  }

  repaint() {
    const answer = this.last;
    paintDigit(byId("seen"), answer?.image ?? new Uint8Array(784), 255);
    paintDigit(byId("deskewed"), answer?.deskewed ?? new Uint8Array(784), 1);
  }
}
