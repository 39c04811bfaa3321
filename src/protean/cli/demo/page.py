"""The HTML around the chart: one file that asks the network for nothing, light or dark by system, fit for a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template

from protean.cli.demo.chart import Band, Drawing, Size, svg
from protean.cli.demo.findings import PHASES
from protean.cli.demo.latency import Summary
from protean.cli.demo.samples import Kind, Measured
from protean.cli.demo.story import RATE, Recorded
from protean.cli.demo.verdict import Findings, broken_promises, criterion, verdict

#: One drawing for screens and one for phones: a shrunken one could not be read.
SIZES = (Size("wide", 960, 260, 120), Size("narrow", 370, 240, 110))


def page(record: Recorded, findings: Findings) -> str:
    drawing = drawing_of(record, findings)
    return PAGE.substitute(
        verdict=escape(verdict(findings)),
        held="broken" if broken_promises(findings) else "held",
        criterion=escape(criterion(findings)),
        facts=escape(facts(findings)),
        drawings="\n".join(svg(drawing, size) for size in SIZES),
        rows="\n".join(_row(phase, findings.latency[phase]) for phase in PHASES),
        rate=f"{RATE:.0f}",
    )


def drawing_of(record: Recorded, findings: Findings) -> Drawing:
    """The record in seconds since the first phase began."""
    phases = record.phases.all()
    zero, end = phases[0].began, phases[-1].ended
    shown = [one for one in record.measured if zero <= one.sample.scheduled < end]
    waiting = [one for one in shown if one.sample.kind is Kind.RENAME_WAITING]
    looks = [(moment - zero, state.backfill) for moment, state in record.looks]
    return Drawing(
        title="Production's latency before, during and after a migration",
        description=f"{verdict(findings)} {facts(findings)}",
        bands=[Band(p.name, p.began - zero, p.ended - zero, findings.latency[p.name].p99) for p in phases],
        latencies=_points([one for one in shown if one.sample.kind is not Kind.RENAME_WAITING], zero),
        waiting=_points(waiting, zero),
        written=[(second, lane.written) for second, lane in looks],
        handled=[(second, lane.handled) for second, lane in looks],
    )


def facts(findings: Findings) -> str:
    """What stands below the verdict."""
    comparison, state = findings.comparison, findings.state
    return (
        f"{findings.migrated:,} customers migrated at {findings.records_per_s:,.0f} records/s and "
        f"{findings.events_per_s:,.0f} events/s. {comparison.compared:,} rows of the read model compared with their "
        f"aggregates: {comparison.stale} stale, {comparison.missing} missing. XLEN {state.primary.length} and "
        f"{state.backfill.length}, lag {state.lag}, pending {state.pending}."
    )


def _points(measured: Sequence[Measured], zero: float) -> list[tuple[float, float]]:
    return [(one.sample.scheduled - zero, one.latency) for one in measured]


def _row(phase: str, summary: Summary) -> str:
    figures = (summary.p50, summary.p95, summary.p99, summary.max)
    cells = "".join(f"<td>{'-' if figure is None else f'{figure:,.1f}'}</td>" for figure in figures)
    return f'<tr><th scope="row"><i class="key {phase}"></i>{phase}</th>{cells}<td>{summary.n:,}</td></tr>'


PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>protean demo</title>
<style>
:root {
  --paper: #fcfcfa; --ink: #1d2129; --soft: #667080; --grid: #00000014; --dot: #2563c9; --waiting: #c2410c;
  --written: #7a869a; --handled: #15803d; --broken: #b91c1c;
  --idle: #00000000; --migrating: #f59e0b26; --draining: #f59e0b4d; --after: #00000000; --strength: .55;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --ink: #e6e8ec; --soft: #97a1b0; --grid: #ffffff17; --dot: #7ab0ff; --waiting: #ff9f5a;
    --written: #97a1b0; --handled: #4ade80; --broken: #f87171;
    --migrating: #f59e0b24; --draining: #f59e0b4d; --strength: .8;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; padding: 1.5rem 1rem 2rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif;
}
h1 {
  margin: 0 0 .4rem; padding-left: .7rem; border-left: .3rem solid var(--handled); font-size: 1.3rem; line-height: 1.35
}
h1.broken { border-color: var(--broken) }
p { margin: .4rem 0; color: var(--soft); font-size: .92rem }
figure { margin: 1.2rem 0 0 }
figcaption { font-size: .92rem; margin-bottom: .3rem }
svg { display: block; width: 100%; height: auto }
svg.narrow { display: none }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) }
svg .phase { font-weight: 600; fill: var(--ink) }
svg path { fill: none }
.grid { stroke: var(--grid) }
.band.idle { fill: var(--idle) } .band.migrating { fill: var(--migrating) }
.band.draining { fill: var(--draining) } .band.after { fill: var(--after) }
.request { stroke: var(--dot); stroke-width: 4; stroke-linecap: round; opacity: var(--strength) }
.request.waiting { stroke: var(--waiting); opacity: .8 }
.p99 { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 5 3 }
.written { stroke: var(--written); stroke-width: 7; opacity: .35 }
.handled { stroke: var(--handled); stroke-width: 2 }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: .6rem 0 1.4rem; list-style: none;
  font-size: .85rem; color: var(--soft) }
.keys li { display: flex; align-items: baseline }
.keys svg { flex: none; width: 26px; height: 10px; margin-right: .4rem }
.keys .request { stroke-width: 7 }
.scroll { overflow-x: auto }
table { min-width: min(100%, 36rem); border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: .3rem }
th, td { padding: .22rem .9rem .22rem 0; text-align: right; border-bottom: 1px solid var(--grid) }
th:first-child { text-align: left; font-weight: 500 }
.key { display: inline-block; width: .8rem; height: .8rem; margin-right: .5rem; border: 1px solid var(--grid);
  vertical-align: -.05rem }
.key.migrating { background: var(--migrating) } .key.draining { background: var(--draining) }
@media (max-width: 40rem) {
  svg.wide { display: none } svg.narrow { display: block }
  h1 { font-size: 1.1rem } th, td { padding-right: .6rem }
}
</style>
</head>
<body>
<h1 class="$held">$verdict</h1>
<p>$facts</p>
<figure>
<figcaption>From an event's commit to the visible read model, in milliseconds (logarithmic); each dot is a
request.</figcaption>
$drawings
</figure>
<ul class="keys">
<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="request" d="M13 5h0"/></svg>request</li>
<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="request waiting" d="M13 5h0"/></svg>request for a
customer who waits in the backfill lane</li>
<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="p99" d="M0 5h26"/></svg>p99 of the phase</li>
<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="written" d="M0 5h26"/></svg>events written</li>
<li><svg viewBox="0 0 26 10" aria-hidden="true"><path class="handled" d="M0 5h26"/></svg>events handled</li>
</ul>
<div class="scroll">
<table>
<caption>Commit to visible read model, milliseconds, at $rate requests a second</caption>
<thead><tr><th scope="col">phase</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col">p99</th>
<th scope="col">max</th><th scope="col">requests</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
</div>
<p>$criterion</p>
</body>
</html>
""")
