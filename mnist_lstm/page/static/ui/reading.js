/** The reading: the digit with a line that goes down its rows, and what the network would answer after each. */

import { Bars } from "./bars.js";
import { HEAT, paintDigit, paintPixels } from "./colours.js";
import { byId, makeElement } from "./dom.js";
import { ROWS } from "./playhead.js";
import { byLikelihood, describeReading, describeThought, formatPercent, isPuzzled } from "./story.js";

const CLASSES = 10;

export class ReadingView {
  /**
   * @param {import("./playhead.js").Playhead} playhead
   * @param {string} word row or column
   */
  constructor(playhead, word) {
    this.playhead = playhead;
    this.word = word;
    this.image = new Uint8Array(ROWS * ROWS);
    this.predictions = null;
    this.settles = ROWS;
    this.wantsPlay = false; // until the reader moves the line
    this.isReady = false; // the digit is finished, and has been read
    this.isVisible = false;
    this.likely = new Bars(byId("likely"), 3);
    this.labels = Array.from({ length: CLASSES }, (_, digit) => makeElement("li", "", String(digit)));
    byId("labels").append(...this.labels);
    playhead.onChange(() => this.follow());
    this.listen();
  }

  listen() {
    const { playhead } = this;
    const sheet = byId("sheet");
    const moveTo = (row) => {
      this.wantsPlay = false;
      playhead.moveTo(row);
    };
    const toggle = () => {
      this.wantsPlay = false;
      playhead.toggle();
    };
    const rowAt = (event) => {
      const box = sheet.getBoundingClientRect();
      return Math.ceil(((event.clientY - box.top) / box.height) * ROWS);
    };
    let isDragging = false;
    sheet.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      // a finger drags the knob; elsewhere it scrolls the page, and a tap moves the line
      isDragging = event.pointerType !== "touch" || event.target === byId("knob");
      if (!isDragging) return;
      sheet.setPointerCapture(event.pointerId);
      moveTo(rowAt(event));
    });
    sheet.addEventListener("pointermove", (event) => {
      if (isDragging) moveTo(rowAt(event));
    });
    for (const type of ["pointerup", "pointercancel"]) sheet.addEventListener(type, () => (isDragging = false));
    sheet.addEventListener("click", (event) => moveTo(rowAt(event)));
    sheet.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const row = playhead.rowAfter(event.key);
      if (event.key === " ") toggle();
      else if (row !== null) moveTo(row);
      else return;
      event.preventDefault();
    });
    byId("first").addEventListener("click", () => moveTo(1));
    byId("back").addEventListener("click", () => moveTo(playhead.row - 1));
    byId("next").addEventListener("click", () => moveTo(playhead.row + 1));
    byId("play").addEventListener("click", toggle);
    // what moves by itself waits until it is seen
    new IntersectionObserver(
      (entries) => {
        this.isVisible = entries.at(-1).isIntersecting;
        this.playIfSeen();
      },
      { threshold: 0.4 },
    ).observe(sheet);
  }

  /** Something new is about to be read. */
  expect() {
    this.wantsPlay = true;
    this.isReady = false;
  }

  /** Play from the first row as soon as the reading can be seen. */
  playWhenSeen() {
    this.isReady = true;
    this.playIfSeen();
  }

  stop() {
    this.wantsPlay = false;
    this.playhead.pause();
  }

  playIfSeen() {
    if (!this.wantsPlay || !this.isReady || !this.isVisible) return;
    this.wantsPlay = false;
    this.playhead.playUnasked();
  }

  /**
   * @param {Uint8Array} image (28 * 28), in the order of reading
   * @param {?Float32Array} predictions (28 * 10); null if there is nothing to read
   * @param {number} settles row from which on the answer stays
   */
  show(image, predictions, settles) {
    this.image = image;
    this.predictions = predictions;
    this.settles = settles;
    this.neverSettles = predictions !== null && isPuzzled(predictions.subarray((ROWS - 1) * CLASSES));
    this.story = predictions ? describeReading(predictions, settles, this.word) : "";
    this.repaint();
    this.follow();
  }

  repaint() {
    paintDigit(byId("read"), this.image, 255);
    const predictions = this.predictions ?? new Float32Array(ROWS * CLASSES);
    paintPixels(byId("predictions"), CLASSES, ROWS, HEAT, (row, column) => predictions[row * CLASSES + column]);
  }

  /** Show what is known at the playhead's row. */
  follow() {
    const { playhead, predictions } = this;
    const { row } = playhead;
    byId("line").style.top = `${(100 * row) / ROWS}%`;
    byId("veil").style.top = `${(100 * row) / ROWS}%`;
    byId("knob").textContent = row;
    byId("row").textContent = row;
    byId("play").classList.toggle("playing", playhead.isPlaying);
    byId("play").lastElementChild.textContent = playhead.isPlaying ? "Pause" : "Play";
    const hasSettled = predictions !== null && row >= (this.neverSettles ? ROWS : this.settles);
    byId("settled").hidden = !hasSettled || this.neverSettles;
    byId("settled").style.top = `${(100 * (this.settles - 1)) / ROWS}%`;
    byId("story").textContent = hasSettled ? this.story : "";
    const now = predictions?.subarray((row - 1) * CLASSES, row * CLASSES);
    const order = now ? byLikelihood(now) : [0, 1, 2];
    const best = now && now[order[0]] >= 0.5 ? order[0] : null;
    byId("after").hidden = !now;
    byId("likely").hidden = !now;
    const thought = now && describeThought(now, row === ROWS);
    byId("thought").textContent = thought ?? "Draw one digit, and it is read here.";
    this.likely.show(now ?? new Float32Array(CLASSES), order, best);
    this.labels.forEach((label, digit) => label.classList.toggle("best", digit === best));
    const value = now ? `${thought} ${order[0]}: ${formatPercent(now[order[0]])}` : "nothing to read";
    byId("sheet").setAttribute("aria-valuenow", row);
    byId("sheet").setAttribute("aria-valuetext", `${this.word} ${row} of ${ROWS}. ${value}`);
  }
}
