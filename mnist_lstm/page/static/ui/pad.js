/** The area to draw in, for mouse, pen, finger and keyboard. */

import { oncePerFrame } from "./dom.js";
import { drawStroke } from "./strokes.js";

const SIDE = 392; // of the drawing that is read, in pixels; the one on the screen has as many as the screen
const THINNEST = 0.012; // share of the side
const THICKEST = 0.1;

export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {{changed: () => void, down: () => void}} listeners
   */
  constructor(canvas, listeners) {
    this.canvas = canvas;
    this.listeners = listeners;
    this.screen = canvas.getContext("2d");
    const paper = document.createElement("canvas");
    paper.width = SIDE;
    paper.height = SIDE;
    this.paper = paper.getContext("2d", { willReadFrequently: true });
    this.strokes = [];
    this.stroke = null; // the one that is being drawn
    this.thickness = 0.05;
    this.ghost = null; // a canvas with a digit that is shown faintly while nothing is drawn
    this.cursor = null; // place of the keyboard's pen
    this.redrawSoon = oncePerFrame(() => this.redraw());
    new ResizeObserver(this.redrawSoon).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.pointerDown(event));
    canvas.addEventListener("pointermove", (event) => this.pointerMove(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (event) => this.pointerUp(event));
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  get isDrawing() {
    return this.stroke !== null;
  }

  pointerDown(event) {
    if (this.isDrawing || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.cursor = null;
    this.begin(this.pointOf(event));
  }

  pointerMove(event) {
    if (!this.isDrawing || event.pointerId !== this.pointer) return;
    // a browser gives one event a frame; the coalesced ones are all the places where the pen was
    const events = event.getCoalescedEvents?.() ?? [];
    this.extend((events.length ? events : [event]).map((each) => this.pointOf(each)));
  }

  pointerUp(event) {
    if (!this.isDrawing || event.pointerId !== this.pointer) return;
    this.pointer = undefined;
    this.end();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    // in steps: each other width begins a new piece of the line
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + Math.round(40 * event.pressure) / 40 : 1;
    const width = Math.min(Math.max(this.thickness * pressure, THINNEST), THICKEST);
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, width };
  }

  begin(point) {
    this.stroke = [point];
    this.strokes.push(this.stroke);
    this.changed();
    this.listeners.down();
  }

  extend(points) {
    const last = this.stroke.at(-1);
    const moved = points.filter(({ x, y }) => x !== last.x || y !== last.y);
    if (moved.length === 0) return;
    this.stroke.push(...moved);
    this.changed();
  }

  end() {
    this.stroke = null;
    this.changed();
  }

  undo() {
    this.strokes.pop();
    this.end();
  }

  clear() {
    this.strokes = [];
    this.end();
  }

  changed() {
    this.redrawSoon();
    this.listeners.changed();
  }

  redraw() {
    const side = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width !== side) [this.canvas.width, this.canvas.height] = [side, side];
    const { screen } = this;
    const ink = getComputedStyle(this.canvas).color;
    screen.fillStyle = ink;
    screen.strokeStyle = ink;
    screen.clearRect(0, 0, side, side);
    if (this.isEmpty && this.ghost) {
      screen.globalAlpha = 0.12;
      screen.imageSmoothingEnabled = false;
      screen.drawImage(this.ghost, 0, 0, side, side);
      screen.globalAlpha = 1;
    }
    for (const stroke of this.strokes) drawStroke(screen, stroke, side);
    if (this.cursor) this.drawCursor(side);
  }

  drawCursor(side) {
    const { x, y } = this.cursor;
    this.screen.lineWidth = Math.max(1, side / 200);
    this.screen.beginPath();
    this.screen.arc(x * side, y * side, this.thickness * side, 0, 2 * Math.PI);
    this.screen.stroke();
  }

  /** The drawing as the worker takes it: 0 paper to 255 ink. */
  drawing() {
    this.paper.clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.strokes) drawStroke(this.paper, stroke, SIDE);
    const { data } = this.paper.getImageData(0, 0, SIDE, SIDE);
    const ink = new Uint8Array(SIDE * SIDE);
    for (let at = 0; at < ink.length; at++) ink[at] = data[4 * at + 3];
    return { width: SIDE, height: SIDE, ink };
  }
}
