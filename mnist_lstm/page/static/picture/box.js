/** The smallest box around what is not 0, of a picture in rows. */

/** First and last columns and rows with a value other than 0, or null if there is none. */
export function boxAround(values, width, height) {
  let [left, top, right, bottom] = [width, -1, -1, -1];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (values[at] === 0) continue;
      if (top < 0) top = y;
      bottom = y;
      if (x < left) left = x;
      if (x > right) right = x;
    }
  }
  return right < 0 ? null : { left, top, right, bottom };
}
