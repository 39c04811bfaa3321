// Figures as people read them: the same as formats.py, so that nothing flickers when scripts take over.

const NOTHING = "–";
const TIMES = "×";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const fixed = (value, digits) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const short = (value) => fixed(value, value >= 9.95 ? 0 : 1);

const trio = (value, between) => [value.p50_ms, value.p95_ms, value.p99_ms].map(short).join(between);

function rate(value) {
  if (value >= 9.95 || value === 0) return `${fixed(value, 0)}/s`;
  return `${fixed(value, value >= 0.095 ? 1 : 2)}/s`;
}

export function duration(seconds) {
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
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
  count: (value) => whole.format(value),
  rate,
  ms: (value) => duration(value / 1000),
  s: duration,
  times: (value) => `${value.toFixed(1)}${TIMES}`,
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
