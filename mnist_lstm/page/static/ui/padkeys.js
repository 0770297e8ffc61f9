/** Draw without a mouse: arrow keys move a pen over the pad, Space puts it down and lifts it. */

const STEP = 0.03; // share of the pad's side
const MOVES = { ArrowUp: [0, -STEP], ArrowDown: [0, STEP], ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0] };
const OPPOSITES = { ArrowUp: "ArrowDown", ArrowDown: "ArrowUp", ArrowLeft: "ArrowRight", ArrowRight: "ArrowLeft" };

/** @param {import("./pad.js").Pad} pad */
export function drawWithKeys(pad) {
  const held = new Set();

  pad.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") togglePen(pad);
    else if (event.key in MOVES) {
      held.add(event.key);
      held.delete(OPPOSITES[event.key]);
      movePen(pad, held); // two keys at once move it aslant
    } else return;
    event.preventDefault();
  });
  pad.canvas.addEventListener("keyup", (event) => held.delete(event.key));
  pad.canvas.addEventListener("blur", () => {
    held.clear();
    if (pad.isDrawing && pad.cursor) pad.end();
    if (pad.cursor) pad.redrawSoon();
    pad.cursor = null;
  });
}

function togglePen(pad) {
  pad.cursor ??= { x: 0.5, y: 0.2 };
  if (pad.isDrawing) pad.end();
  else pad.begin({ ...pad.cursor, width: pad.thickness });
}

function movePen(pad, keys) {
  pad.cursor ??= { x: 0.5, y: 0.2 };
  const inside = (place) => Math.min(Math.max(place, 0.02), 0.98);
  for (const key of keys) {
    pad.cursor.x = inside(pad.cursor.x + MOVES[key][0]);
    pad.cursor.y = inside(pad.cursor.y + MOVES[key][1]);
  }
  if (pad.isDrawing) pad.extend([{ ...pad.cursor, width: pad.thickness }]);
  pad.redrawSoon();
}
