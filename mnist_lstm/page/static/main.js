/** The page: what is drawn goes to the worker, and what comes back is shown. */

import { decodeBase64 } from "./network/weights.js";
import { AnswerView } from "./ui/answer.js";
import { paintDigit, readTheme } from "./ui/colours.js";
import { byId, makeElement } from "./ui/dom.js";
import { Gallery } from "./ui/gallery.js";
import { InsideView } from "./ui/inside.js";
import { Pad } from "./ui/pad.js";
import { drawWithKeys } from "./ui/padkeys.js";
import { Playhead } from "./ui/playhead.js";
import { ReadingView } from "./ui/reading.js";
import { Reader } from "./ui/reader.js";
import { describeAnswer, describeReading } from "./ui/story.js";

const DOTS = 28 * 28;
const FIRST = 4; // the example that is read at the start
const PAUSE = 700; // milliseconds without ink after which a digit counts as finished

const model = JSON.parse(byId("model").textContent);
const bytes = decodeBase64(model.digits);
const examples = Array.from({ length: bytes.length / DOTS }, (_, n) => bytes.subarray(n * DOTS, (n + 1) * DOTS));
const byColumns = model.options.scan_order === "columns";
const word = byColumns ? "column" : "row";

readTheme();
for (const place of document.querySelectorAll("[data-word]")) place.textContent = word;
byId("turned").hidden = !byColumns;
byId("about").textContent = aboutPage();
byId("gallery").parentElement.hidden = examples.length === 0;

const playhead = new Playhead();
const answerView = new AnswerView(model.options);
const readingView = new ReadingView(playhead, word);
const insideView = new InsideView(model, playhead, word);
const gallery = new Gallery(examples, (n) => readImage(examples[n]));
const pad = new Pad(byId("pad"), { changed: readPad, down: () => readingView.stop() });
drawWithKeys(pad);

const icon = document.createElement("link"); // of the page's tab: what was read last
icon.rel = "icon";
document.head.append(icon);

let image = examples[Math.min(FIRST, examples.length - 1)]; // what is read while nothing is drawn
let answer = null;
let pause; // timer

const reader = new Reader(model, {
  ready: readPad,
  failed: () => (byId("sentence").textContent = "The network cannot run in this browser."),
  answer: (message) => {
    answer = message;
    answerView.show(message);
    byId("inside").classList.toggle("waiting", message.digit === null);
    if (message.digit === null) {
      readingView.stop();
      readingView.show(new Uint8Array(DOTS), null, 28);
      pause = setTimeout(() => announce(describeAnswer(message)), PAUSE);
    }
  },
  predictions: ({ predictions, settles }) => {
    readingView.show(inOrderOfReading(answer.image), predictions, settles);
    clearTimeout(pause);
    if (pad.isDrawing) playhead.moveTo(28);
    else pause = setTimeout(() => finish(describeReading(predictions, settles, word)), pad.isEmpty ? 0 : PAUSE);
  },
  traced: ({ places }) => insideView.show(inOrderOfReading(answer.deskewed), places),
});

/** The digit is finished: say it once, and play. */
function finish(story) {
  announce(`${describeAnswer(answer)} ${story}`);
  icon.href = byId("seen").toDataURL();
  readingView.playWhenSeen();
}

/** Have a screen reader say something. */
function announce(text) {
  byId("announce").textContent = text;
}

/** Read what is drawn, or an example if there is nothing. */
function readPad() {
  clearTimeout(pause);
  readingView.expect();
  byId("undo").disabled = pad.isEmpty;
  byId("clear").disabled = pad.isEmpty;
  byId("pad-hint").hidden = !pad.isEmpty;
  if (pad.isEmpty && image) {
    gallery.mark(examples.indexOf(image));
    pad.ghost ??= makeElement("canvas");
    paintDigit(pad.ghost, image, 255);
    pad.redrawSoon();
    reader.read(() => ({ image }));
  } else {
    gallery.mark(null);
    reader.read(() => ({ drawing: pad.drawing() }));
  }
}

/**
 * Read an image instead of a drawing.
 *
 * @param {Uint8Array} chosen (28 * 28), 0 paper to 255 ink
 */
export function readImage(chosen) {
  image = chosen;
  pad.clear();
}

/** A network that reads columns has them shown from top to bottom. */
function inOrderOfReading(image) {
  return byColumns ? image.map((_, at) => image[(at % 28) * 28 + Math.floor(at / 28)]) : image;
}

function aboutPage() {
  const percent = (100 * model.accuracy).toFixed(2);
  const share = model.accuracy ? ` It reads ${percent} % of MNIST's test digits right.` : "";
  const version = `mnist-lstm ${model.version}`;
  return `The network runs here, in this page: what you draw never leaves your device.${share} ${version}.`;
}

/** Paint again what has the colours of the theme. */
function repaint() {
  readTheme();
  gallery.repaint();
  answerView.repaint();
  readingView.repaint();
  insideView.repaint();
  if (pad.ghost) paintDigit(pad.ghost, image, 255);
  pad.redraw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
answerView.repaint();
readingView.show(new Uint8Array(DOTS), null, 28);
byId("undo").addEventListener("click", () => pad.undo());
byId("clear").addEventListener("click", () => pad.clear());
byId("thickness").addEventListener("input", (event) => (pad.thickness = event.target.value / 100));
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !pad.isEmpty) {
    event.preventDefault();
    pad.undo();
  }
});
