/** The picture as the model takes it: shrunk by the filter that Python uses, equal to the last bit. */

const PRECISION = 22; // bits of a weight behind the point
const HALF = 1 << (PRECISION - 1);

/**
 * Width and height at which the model takes a picture.
 * @param {number} width of the picture
 * @param {number} height of the picture
 * @param {number} maxSide longer sides are brought down to this; 0 leaves every size
 * @param {[?number, ?number]} fixed height and width of a model that takes one size only
 */
export function shrunkSize(width, height, maxSide, fixed) {
  const scale = maxSide ? Math.min(1, maxSide / Math.max(width, height)) : 1;
  const side = (length) => Math.max(1, roundHalfToEven(length * scale));
  return { width: fixed[1] ?? side(width), height: fixed[0] ?? side(height) };
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return below + (rest > 0.5 || (rest === 0.5 && below % 2) ? 1 : 0);
}

/**
 * A picture of another size. What Pillow's `resize` with BICUBIC computes: rows first, then columns, each rounded to
 * 8 bits. Where a picture is over twice as high as wide, or its height is halved against its width, Pillow 13 may take
 * the columns first, which changes some bytes a little.
 * @param {Uint8Array|Uint8ClampedArray} rgba pixels; their alpha takes no part
 * @param {{width: number, height: number}} from
 * @param {{width: number, height: number}} to
 * @returns {Uint8Array} RGB
 */
export function resize(rgba, from, to) {
  const rows = to.width === from.width ? withoutAlpha(rgba) : resizedRows(rgba, from, to.width);
  return to.height === from.height ? rows : resizedColumns(rows, from.height, to);
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, k = 0; i < rgba.length; i += 4) {
    rgb[k++] = rgba[i];
    rgb[k++] = rgba[i + 1];
    rgb[k++] = rgba[i + 2];
  }
  return rgb;
}

function resizedRows(rgba, from, width) {
  const made = new Uint8ClampedArray(width * from.height * 3);
  const { starts, counts, weights, most } = windowsOf(from.width, width);
  for (let y = 0, k = 0; y < from.height; y++) {
    for (let x = 0; x < width; x++) {
      let [red, green, blue] = [HALF, HALF, HALF];
      let i = (y * from.width + starts[x]) * 4;
      for (let n = x * most, end = n + counts[x]; n < end; n++, i += 4) {
        const weight = weights[n];
        red += rgba[i] * weight;
        green += rgba[i + 1] * weight;
        blue += rgba[i + 2] * weight;
      }
      made[k++] = red >> PRECISION;
      made[k++] = green >> PRECISION;
      made[k++] = blue >> PRECISION;
    }
  }
  return made;
}

function resizedColumns(rgb, before, { width, height }) {
  const length = width * 3;
  const made = new Uint8ClampedArray(length * height);
  const sums = new Int32Array(length);
  const { starts, counts, weights, most } = windowsOf(before, height);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let n = 0; n < counts[y]; n++) {
      const weight = weights[y * most + n];
      const row = (starts[y] + n) * length;
      for (let x = 0; x < length; x++) {
        sums[x] += rgb[row + x] * weight;
      }
    }
    for (let x = 0; x < length; x++) {
      made[y * length + x] = sums[x] >> PRECISION;
    }
  }
  return made;
}

/** For each new pixel of a line: the first old one that counts, how many do, and their weights as whole numbers. */
function windowsOf(before, after) {
  const scale = before / after;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const [starts, counts] = [new Int32Array(after), new Int32Array(after)];
  const weights = new Int32Array(after * most);
  for (let place = 0; place < after; place++) {
    const centre = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(before, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: end - start }, (_, n) => bicubic((start + n - centre + 0.5) / stretch));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    starts[place] = start;
    counts[place] = end - start;
    // Cut towards zero as they are stored, so that adding a half rounds.
    weights.set(raw.map((weight) => (weight / sum) * 2 ** PRECISION + (weight < 0 ? -0.5 : 0.5)), place * most);
  }
  return { starts, counts, weights, most };
}

/** Keys' cubic with a = -0.5. */
function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) {
    return (1.5 * x - 2.5) * x * x + 1;
  }
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}
