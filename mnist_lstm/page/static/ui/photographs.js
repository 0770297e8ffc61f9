/** Photographs, in which the server finds the digits. The page that is one file has none of this. */

import { paintDigit } from "./colours.js";
import { makeElement } from "./dom.js";
import { formatPercent } from "./story.js";

const ADDRESS = "v1/classify?split=true"; // on the server that the page comes from
const PROMISE = "Or drop one anywhere on this page, or paste one. It goes to the server of this page, which does not keep it.";

export class PhotographView {
  /** @param {(image: Uint8Array) => void} choose called with the 28 * 28 dots of the digit that is to be read */
  constructor(choose) {
    this.choose = choose;
    this.newest = 0; // number of the newest photograph
    this.digits = []; // what is shown: the image of each, its button, and its canvas
    this.build();
    document.addEventListener("paste", (event) => this.take(event.clipboardData));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault(); // the browser would leave the page for the picture
      this.take(event.dataTransfer);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
  }

  build() {
    const place = makeElement("div", "photographs");
    const tools = makeElement("div", "photograph-tools");
    tools.append(this.input("Choose a picture"), this.input("Take a photo", "environment"));
    this.sentence = makeElement("p", "note", PROMISE);
    this.sentence.setAttribute("role", "status");
    this.picture = makeElement("figure", "photograph");
    this.list = makeElement("div", "digits");
    this.list.setAttribute("role", "group");
    this.list.setAttribute("aria-label", "Digits in the picture");
    place.append(makeElement("h3", "", "Or show it a photograph"), tools, this.sentence, this.picture, this.list);
    document.querySelector(".draw").append(place);
  }

  /** A button that asks for a picture; with `camera`, on devices that have one, for a new one. */
  input(text, camera) {
    const label = makeElement("label", camera ? "file camera" : "file", text);
    const input = makeElement("input");
    input.type = "file";
    input.accept = "image/*";
    if (camera) input.setAttribute("capture", camera);
    input.addEventListener("change", () => {
      if (input.files.length) this.read(input.files[0]);
      input.value = ""; // the same picture may be chosen again
    });
    label.append(input);
    return label;
  }

  /** @param {?DataTransfer} data what was dropped or pasted */
  take(data) {
    if (data?.files.length) this.read(data.files[0]);
  }

  /** @param {File} file */
  async read(file) {
    this.newest += 1;
    const number = this.newest;
    this.show(file, null);
    this.sentence.textContent = "Looking for digits …";
    let answer;
    try {
      const headers = { "Content-Type": "application/octet-stream" }; // the server sees by itself what it is
      const response = await fetch(ADDRESS, { method: "POST", body: file, headers });
      answer = await response.json();
    } catch {
      answer = { error: "the server does not answer", advice: "see whether mnist-lstm serve is still running" };
    }
    if (number !== this.newest) return;
    this.sentence.textContent = describePhotograph(answer);
    if (answer.error) return;
    this.show(file, answer);
    if (this.digits.length) this.choose(this.digits[0].image);
    this.mark(0);
  }

  /** Show a picture, and the digits in it if they are known. */
  show(file, answer) {
    URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(file);
    const image = makeElement("img");
    image.alt = "Your picture";
    image.src = this.address;
    image.addEventListener("error", () => image.remove()); // the server reads formats that the browser does not
    this.picture.replaceChildren(image);
    const boxes = answer?.boxes ?? [];
    image.addEventListener("load", () => this.picture.append(...boxes.map(makeBox)));
    this.digits = boxes.map((box, n) => this.makeDigit(box, Uint8Array.from(answer.seen[n].flat()), n));
    this.list.replaceChildren(...this.digits.map(({ button }) => button));
    this.repaint();
  }

  makeDigit(box, image, n) {
    const button = makeElement("button", "thumb found");
    const canvas = makeElement("canvas");
    button.type = "button";
    button.append(canvas, makeElement("span", "", `${box.digit}`));
    button.setAttribute("aria-label", `Read digit ${n + 1}: ${box.digit}, ${formatPercent(box.probability)}`);
    button.addEventListener("click", () => {
      this.choose(image);
      this.mark(n);
      document.querySelector(".answer").scrollIntoView({ block: "nearest" });
    });
    return { image, button, canvas };
  }

  mark(chosen) {
    this.digits.forEach(({ button }, n) => button.classList.toggle("chosen", n === chosen));
  }

  repaint() {
    for (const { canvas, image } of this.digits) paintDigit(canvas, image, 255);
  }
}

/** @param {{digit, left, top, right, bottom}} box places are shares of the picture */
function makeBox({ digit, left, top, right, bottom }) {
  const box = makeElement("span", "box");
  box.append(makeElement("span", "", String(digit)));
  box.setAttribute("aria-hidden", "true");
  const percent = (share) => `${100 * share}%`;
  Object.assign(box.style, { left: percent(left), top: percent(top) });
  Object.assign(box.style, { width: percent(right - left), height: percent(bottom - top) });
  return box;
}

/** @param {{status, digit, message, error, advice}} answer of the server */
function describePhotograph({ status, digit, message, error, advice }) {
  if (error) return `That did not work: ${error}. What helps: ${advice}.`;
  if (digit === null) return `It finds no digit: ${message}.`;
  const read = digit.split("\n").join(", ");
  if (status === "ok") return `It reads ${read}. Choose a digit to watch how.`;
  return `Perhaps it is ${read}, but it is not sure: ${message}.`;
}
