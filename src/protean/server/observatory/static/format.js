// Figures as people read them: the same as formats.py, so that nothing flickers when scripts take over.

const NOTHING = "–";
const TIMES = "×";

/** With so many digits; what lies exactly between two is rounded to the even one, as Python does. */
function rounded(value, digits) {
  const unit = 0.5 ** digits;
  if (value % unit !== unit / 2) return value.toFixed(digits);
  const below = Math.floor(value * 10 ** digits);
  return ((below % 2 ? below + 1 : below) / 10 ** digits).toFixed(digits);
}

function fixed(value, digits) {
  const [whole, fraction] = rounded(value, digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction ? `${grouped}.${fraction}` : grouped;
}

const short = (value) => fixed(value, value >= 9.95 ? 0 : 1);

const trio = (value, between) => [value.p50_ms, value.p95_ms, value.p99_ms].map(short).join(between);

function rate(value) {
  if (value >= 9.95 || value === 0) return `${fixed(value, 0)}/s`;
  return `${fixed(value, value >= 0.095 ? 1 : 2)}/s`;
}

export function duration(seconds) {
  if (seconds < 0.9995) return `${rounded(seconds * 1000, seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 90) return `${rounded(seconds, seconds < 9.95 ? 1 : 0)} s`;
  return seconds < 5400 ? `${rounded(seconds / 60, 0)} min` : `${rounded(seconds / 3600, 1)} h`;
}

function eta([low, high]) {
  if (high <= 0) return "now";
  const [size, unit] = high < 90 ? [1, "s"] : high < 5400 ? [60, "min"] : [3600, "h"];
  const least = Math.max(1, Math.floor(low / size));
  const most = Math.max(1, Math.ceil(high / size));
  return least === most ? `${least} ${unit}` : `${least}–${most} ${unit}`;
}

const KINDS = {
  text: String,
  count: (value) => fixed(value, 0),
  rate,
  ms: (value) => duration(value / 1000),
  s: duration,
  times: (value) => `${rounded(value, 1)}${TIMES}`,
  percentiles: (value) => `${trio(value, " / ")} ms`,
  trio: (value) => trio(value, "/"),
  eta,
  clock: (value) => new Date(value).toISOString().slice(11, 19),
  moment: (value) => `${new Date(value).toISOString().slice(0, 16).replace("T", " ")} UTC`,
  names: (value) => value.join(", "),
};

export function show(value, kind = "text") {
  return value === null || value === undefined || value === "" ? NOTHING : KINDS[kind](value);
}

export function points(values, width = 100, height = 20) {
  const top = Math.max(0, ...values) || 1;
  const step = width / Math.max(1, values.length - 1);
  return values
    .map((value, number) => `${(number * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`)
    .join(" ");
}
