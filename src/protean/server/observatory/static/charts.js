// The charts of the last hour, with uPlot (static/vendor), which is there before modules run.

import { duration, show } from "./format.js";
import { onFigures } from "./live.js";

const { uPlot } = window;
const HEIGHT = 220;
const charts = new Map();
let figures = null;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");

// What each chart shows of a minute. The running minute is not over: its rate would look like a fall.
const KINDS = {
  throughput: {
    series: [
      { label: "primary", colour: "primary", value: (minute, over) => (over ? minute.primary_rate : null), fill: true },
      { label: "backfill", colour: "backfill", value: (minute, over) => (over ? minute.backfill_rate : null), dash: [6, 3] },
    ],
    text: (value) => show(value, "rate"),
  },
  latency: {
    series: [{ label: "p95", colour: "primary", value: (minute) => minute.primary_p95_ms, fill: true }],
    text: (value) => (value === null || value === undefined ? "–" : duration(value / 1000)),
    line: () => figures.overview.production.before?.p95_ms,
  },
};

function columns(kind) {
  const { series } = figures.overview;
  const x = series.map((minute) => Date.parse(minute.at) / 1000);
  return [x, ...kind.series.map((each) => series.map((minute, n) => each.value(minute, n < series.length - 1)))];
}

function build(figure) {
  const kind = KINDS[figure.dataset.chart];
  const grid = { stroke: colour("line"), width: 1 };
  const axis = { stroke: colour("muted"), font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
  const chart = new uPlot(
    {
      width: figure.clientWidth,
      height: HEIGHT,
      tzDate: utc,
      padding: [10, 18, 0, 0],
      cursor: { sync: { key: "hour" }, y: false, points: { size: 7 }, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (u, low, high) => [0, Math.max(high ?? 0, kind.line?.() ?? 0, Number.EPSILON) * 1.12 || 1] } },
      axes: [
        { ...axis, space: 70, size: 30, values: "{HH}:{mm}" },
        { ...axis, space: 34, size: 62, values: (u, values) => values.map((value) => (value ? kind.text(value) : "0")) },
      ],
      series: [
        { label: "at", value: "{HH}:{mm} UTC" },
        ...kind.series.map((each) => ({
          label: each.label,
          stroke: colour(each.colour),
          width: 1.6,
          dash: each.dash,
          fill: each.fill ? `${colour(each.colour)}18` : undefined,
          value: (u, value) => kind.text(value),
          points: { show: true, size: 5, fill: colour(each.colour), filter: alone },
        })),
      ],
      hooks: { drawClear: [shade], draw: [(u) => rule(u, kind)], setCursor: [rest] },
    },
    columns(kind),
    figure,
  );
  for (const fallback of figure.querySelectorAll(":scope > svg")) fallback.remove();
  return chart;
}

/** Only points that no line leads to are drawn: the others are on it. */
function alone(u, index) {
  const values = u.data[index];
  return values.flatMap((value, n) => (value !== null && (values[n - 1] ?? null) === null && (values[n + 1] ?? null) === null ? [n] : []));
}

/** The legend says the last whole minute while nobody points at another. */
function rest(u) {
  if (u.cursor.idx === null || u.cursor.idx === undefined) u.setLegend({ idx: u.data[0].length - 2 }, false);
}

/** The minutes in which backfill ran. */
function shade(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = `${colour("backfill")}1f`;
  for (const minute of figures.overview.series) {
    if (!minute.backfill_rate) continue;
    const at = Date.parse(minute.at) / 1000;
    const left = Math.max(bbox.left, u.valToPos(at - 30, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(at + 30, "x", true));
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

/** The line of before. */
function rule(u, kind) {
  const value = kind.line?.();
  if (value === undefined || value === null) return;
  const { ctx, bbox } = u;
  const y = u.valToPos(value, "y", true);
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour("muted");
  ctx.fillStyle = colour("muted");
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "left"; // what the axes have left behind is not
  ctx.textBaseline = "alphabetic";
  ctx.fillText(`before ${kind.text(value)}`, bbox.left + 6 * ratio, y - 5 * ratio);
  ctx.restore();
}

function draw() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const chart = charts.get(figure);
    if (chart) chart.setData(columns(KINDS[figure.dataset.chart]));
    else {
      charts.set(figure, build(figure));
      resizing.observe(figure);
    }
    rest(charts.get(figure));
  }
}

function rebuild() {
  for (const chart of charts.values()) chart.destroy();
  charts.clear();
  if (figures) draw();
}

const resizing = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.setSize({ width: target.clientWidth, height: HEIGHT });
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
onFigures((latest) => {
  figures = latest;
  draw();
});
