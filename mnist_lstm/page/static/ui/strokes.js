/** Strokes of a pen, with points in shares of the drawing's side: {x, y, width}. */

/**
 * Draw a stroke, or only what has been added to it.
 *
 * The line goes through the middles between points, with the points as handles: a fast hand gives few points, and
 * straight lines between them would show corners.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Array<{x, y, width}>} points
 * @param {number} side of the canvas, in pixels
 * @param {number} from index of the first point that has not been drawn
 * @param {boolean} isEnd whether no point will follow
 */
export function drawStroke(context, points, side, from, isEnd) {
  context.lineCap = "round";
  context.lineJoin = "round";
  const middle = (n) => ({ x: (points[n - 1].x + points[n].x) / 2, y: (points[n - 1].y + points[n].y) / 2 });
  if (from === 0) {
    context.beginPath();
    context.arc(points[0].x * side, points[0].y * side, (points[0].width * side) / 2, 0, 2 * Math.PI);
    context.fill();
  }
  for (let n = Math.max(from, 1); n < points.length; n++) {
    const start = n === 1 ? points[0] : middle(n - 1);
    const end = middle(n);
    const handle = points[n - 1];
    context.lineWidth = points[n].width * side;
    context.beginPath();
    context.moveTo(start.x * side, start.y * side);
    context.quadraticCurveTo(handle.x * side, handle.y * side, end.x * side, end.y * side);
    context.stroke();
  }
  if (isEnd && points.length > 1) {
    const [start, end] = [middle(points.length - 1), points.at(-1)];
    context.beginPath();
    context.moveTo(start.x * side, start.y * side);
    context.lineTo(end.x * side, end.y * side);
    context.stroke();
  }
}
