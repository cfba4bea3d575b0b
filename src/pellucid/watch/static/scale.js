// Places on an axis, and colours.

function nearest(xs, x, ys) {
  let low = 0;
  let high = xs.length - 1;
  if (high < 0) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && Math.abs(xs[low - 1] - x) < Math.abs(xs[low] - x)) low -= 1;
  for (let away = 0; away < xs.length; away += 1) {
    if (ys[low - away] !== null && ys[low - away] !== undefined) return low - away;
    if (ys[low + away] !== null && ys[low + away] !== undefined) return low + away;
  }
  return null;
}

function ticks(low, high, isLog, count = 5) {
  if (isLog) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
      for (const digit of [1, 2, 5]) if (digit * 10 ** power >= low && digit * 10 ** power <= high) found.push(digit * 10 ** power);
    if (found.length >= 2) return found;
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough) ?? rough;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

const colours = new Map();

function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colours.get(name);
}

/** A colour for the n-th of many, told apart on either ground. */
function hue(number, isDark) {
  return `hsl(${(190 + number * 137.5) % 360} ${isDark ? "62% 64%" : "64% 40%"})`;
}
