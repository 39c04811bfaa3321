// What /live sends in the shape that pages show: the same as views.py.

const LANES = ["primary", "backfill"];
const SUMS = ["outbox", "lag", "pending", "waiting", "blocked", "dead"];

function streams(lanes) {
  const rows = new Map();
  for (const lane of lanes) {
    if (!rows.has(lane.category)) {
      rows.set(lane.category, { category: lane.category, primary: null, backfill: null, handlers: new Map() });
    }
    const row = rows.get(lane.category);
    row[lane.lane] = lane;
    for (const handler of lane.handlers) {
      if (!row.handlers.has(handler.name)) {
        row.handlers.set(handler.name, { name: handler.name, primary: null, backfill: null });
      }
      row.handlers.get(handler.name)[lane.lane] = handler;
    }
  }
  return [...rows.values()].map((row) => ({ ...row, handlers: [...row.handlers.values()] }));
}

function subscriptions(lanes) {
  return lanes.flatMap((lane) =>
    lane.handlers.map((handler) => ({
      ...handler,
      key: `${handler.name} ${lane.stream}`,
      stream: lane.stream,
      lane: lane.lane,
    })),
  );
}

function engines(workers) {
  return workers.map((worker) => {
    const parts = worker.name.split(".");
    return { ...worker, host: parts.slice(0, -2).join("."), pid: parts.at(-2) };
  });
}

function totals(lanes) {
  const sum = (which) => {
    const chosen = lanes.filter((lane) => which === "all" || lane.lane === which);
    return Object.fromEntries(SUMS.map((name) => [name, chosen.reduce((found, lane) => found + lane[name], 0)]));
  };
  return Object.fromEntries(["all", ...LANES].map((which) => [which, sum(which)]));
}

export function shape(live) {
  const { lanes } = live.lanes;
  const sums = totals(lanes);
  return {
    ...live,
    streams: streams(lanes),
    subscriptions: subscriptions(lanes),
    backfills: lanes.filter((lane) => lane.lane === "backfill"),
    engines: engines(live.workers.workers),
    served: Object.fromEntries(
      LANES.map((lane) => [lane, live.workers.workers.filter((each) => each.lanes.includes(lane)).length]),
    ),
    totals: sums,
    two_lanes: lanes.some((lane) => lane.lane === "backfill") || null,
    untouched:
      Object.values(sums.all).every((sum) => sum === 0) &&
      live.overview.series.every((minute) => !minute.primary_rate && !minute.backfill_rate),
  };
}
