/** Strokes of a pen, with points in shares of the drawing's side: {x, y, width}. */

/**
 * Draw a stroke.
 *
 * The line goes through the middles between points, with the points as handles: a fast hand gives few points, and
 * straight lines between them would show corners. What is equally wide is one path, as seams would show as well.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Array<{x, y, width}>} points
 * @param {number} side of the canvas, in pixels
 */
export function drawStroke(context, points, side) {
  context.lineCap = "round";
  context.lineJoin = "round";
  const last = points.length - 1;
  const [first, end] = [points[0], points[last]];
  let [x, y] = [first.x, first.y];
  for (let n = 0; n <= last; ) {
    const { width } = points[n];
    context.lineWidth = width * side;
    context.beginPath();
    context.moveTo(x * side, y * side);
    for (; n <= last && points[n].width === width; n++) {
      const handle = points[n];
      const next = points[Math.min(n + 1, last)];
      [x, y] = [(handle.x + next.x) / 2, (handle.y + next.y) / 2];
      context.quadraticCurveTo(handle.x * side, handle.y * side, x * side, y * side);
    }
    if (n > last) context.lineTo(end.x * side, end.y * side);
    context.stroke();
  }
}
