/** The row up to which the digit has been read; it moves by itself while it plays. */

import { wantsStillness } from "./dom.js";

export const ROWS = 28;
const MILLISECONDS = 150; // at a row

export class Playhead {
  constructor() {
    this.row = ROWS;
    this.isPlaying = false;
    this.listeners = [];
  }

  /** @param {(playhead: Playhead) => void} listener called after every change */
  onChange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    for (const listener of this.listeners) listener(this);
  }

  /** Go to a row, from 1, and stay there. */
  moveTo(row) {
    this.isPlaying = false;
    this.row = Math.min(Math.max(Math.round(row), 1), ROWS);
    this.changed();
  }

  pause() {
    if (this.isPlaying) this.moveTo(this.row);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play(this.row === ROWS ? 1 : this.row);
  }

  /** Play by itself, unless the reader wants no motion: then show the end. */
  playUnasked() {
    if (wantsStillness()) this.moveTo(ROWS);
    else this.play(1);
  }

  play(row) {
    const wasPlaying = this.isPlaying;
    this.row = row;
    this.isPlaying = true;
    this.changed();
    this.since = undefined;
    if (!wasPlaying) requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!this.isPlaying) return;
    this.since ??= now;
    if (now - this.since >= MILLISECONDS) {
      this.since = now;
      this.row += 1;
      if (this.row >= ROWS) this.isPlaying = false;
      this.changed();
    }
    if (this.isPlaying) requestAnimationFrame((later) => this.tick(later));
  }

  /** The row to which a key leads; null if it is none of the playhead's. */
  rowAfter(key) {
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 5, PageUp: -5 };
    if (key in steps) return this.row + steps[key];
    return { Home: 1, End: ROWS }[key] ?? null;
  }
}
