/**
 * Charts: Vega-Lite specifications, each with its data as a table under it.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { capital } from "dashboard/parts";

const OUTCOMES = ["succeeded", "failed", "unknown"];
const FEW = 10; // uses below which a rate says little: a cell of the heat map is faint, a line leaves it out
const Y_AXIS = 36; // pixels: charts under each other are to begin at the same place
const NARROW = 12; // periods: of more than these the first label is wider than its place
const PHONE = 480; // pixels: below, labels have little room
const BINS = 48; // bars of a histogram, about

const scheme = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Set();

/** The colours of the style sheet, as they are now. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "card", "good", "bad", "unknown", "middle"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/**
 * A chart that is drawn once it stands in the page, and again when the colour scheme changes.
 *
 * @param {string} words What it shows, for those who don't see it.
 * @param {(colours: object) => object} specification
 */
function chart(words, specification) {
  const place = h("div", { class: "chart", role: "img", "aria-label": words });
  place.specification = specification;
  return place;
}

/** Charts, and under them their data as a table. */
const figure = (charts, data) => h("figure", {}, charts, h("details", {}, h("summary", {}, "Data as a table"), data));

/** Draws the charts of an element that is in the page; those that are gone are forgotten. */
export async function draw(root) {
  for (const place of drawn) if (!place.isConnected) forget(place);
  await Promise.all([...root.querySelectorAll(".chart")].map(drawOne));
}

scheme.addEventListener("change", () => drawn.forEach((place) => place.isConnected && drawOne(place)));

/** Vega is large, and loaded while the numbers are shown already. */
function vega() {
  if (window.vegaEmbed) return Promise.resolve();
  const script = document.getElementById("vega");
  return new Promise((resolve, reject) => {
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("dashboard/vega.js can't be loaded")));
  });
}

async function drawOne(place) {
  await vega();
  if (!place.isConnected) return;
  forget(place);
  drawn.add(place);
  const colours = palette();
  // Vega gives its element words of its own: those of the place stay.
  const canvas = h("div", { "aria-hidden": "true" });
  place.replaceChildren(canvas);
  place.embedded = await window.vegaEmbed(canvas, { ...place.specification(colours), width: "container" }, {
    mode: "vega-lite",
    // Expressions are interpreted, not compiled: the page's policy allows no eval.
    ast: true,
    actions: false,
    renderer: "svg",
    defaultStyle: false,
    tooltip: showTooltip,
    config: configuration(colours),
  });
}

function forget(place) {
  place.embedded?.finalize();
  drawn.delete(place);
}

function configuration({ ink, soft, line }) {
  const text = { labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    aria: false, // the place has the words, and the table the data
    background: "transparent",
    font: "system-ui, sans-serif",
    autosize: { type: "fit-x", contains: "padding" },
    view: { stroke: null },
    axis: { ...text, gridColor: line, domainColor: line, tickColor: line },
    axisX: { grid: false },
    legend: { ...text, labelColor: ink, orient: "top", title: null, symbolType: "square", offset: 8 },
    text: { color: ink },
  };
}

/** Vega's own tooltip makes HTML of the values; this one makes text. */
function showTooltip(_handler, event, _item, value) {
  document.querySelector(".tooltip")?.remove();
  if (!value) return;
  const lines = Object.entries(value).map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]);
  const tooltip = h("dl", { class: "tooltip", "aria-hidden": "true" }, lines);
  document.body.append(tooltip);
  const { width, height } = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  tooltip.style.top = `${event.clientY + height + 24 > innerHeight ? event.clientY - height - 10 : event.clientY + 14}px`;
}

/** The axis of periods: they are places in a row, so that months of 28 and 31 days are equally wide. */
function periodAxis(bucket, periods) {
  const form = { hour: "%-d %b %H h", day: "%-d %b", week: "%-d %b", month: "%b %y" }[bucket];
  const narrow = innerWidth < PHONE;
  return {
    title: null, labelAngle: 0, labelOverlap: "greedy", labelSeparation: narrow ? 6 : 14, labelFontSize: narrow ? 11 : 12, labelBound: narrow ? 12 : true, labelFlush: periods.length > NARROW ? 24 : false, ticks: false, labelPadding: 6,
    labelExpr: `utcFormat(toDate(datum.value + ${bucket === "hour" ? "'Z'" : "'T00:00Z'"}), '${form}')`,
  };
}

/**
 * Uses over time by outcome, and under it the success rate.
 *
 * @param {Array<{day: string, text: string, change: string|null}>} marks Days with a line, numbered in their order.
 */
export function series(what, rows, bucket, marks = []) {
  const uses = rows.flatMap((row) => {
    const unknown = row.usageCount - row.successCount - row.failureCount;
    const name = format.periodName(row.period, bucket);
    return [row.successCount, row.failureCount, unknown].map((value, index) =>
      ({ period: row.period, name, outcome: OUTCOMES[index], index, uses: value, all: row.usageCount }));
  });
  const rates = rows.filter((row) => row.usageCount >= FEW).map((row) => ({
    period: row.period, name: format.periodName(row.period, bucket), rate: row.successRate, all: row.usageCount,
    text: format.percent(row.successRate),
  }));
  const periods = rows.map((row) => row.period);
  const x = { field: "period", type: "ordinal", axis: periodAxis(bucket, periods), scale: { domain: periods, type: "band" } };
  const total = rows.reduce((sum, row) => sum + row.usageCount, 0);
  const said = marks.map(({ day, text }, index) => ` ${index + 1}: ${format.dateOf(day)}, ${text}.`).join("");
  const words = `${what}: ${format.count(total)} uses in ${format.counted(rows.length, bucket)}, by outcome.${said}`;
  const lines = (colours) => markLayers(marks, x, bucket, colours);
  return figure([
    chart(words, (colours) => usesSpecification(uses, x, lines(colours), colours)),
    rates.length > 1 ? rateChart(rates, x, bucket, (colours) => lines(colours).slice(0, 1)) : null,
  ], seriesTable(`${what} by ${bucket}`, rows, bucket));
}

/** Lines where something is marked, and above them their numbers; those that would meet are one label. */
function markLayers(marks, x, bucket, { bad, good, ink, soft }) {
  if (!marks.length) return [];
  const periods = x.scale.domain;
  const room = periods.length / (innerWidth < PHONE ? 7 : 16);
  // Where a bar is no longer than a day, what is marked begins with it.
  const place = { ...x, field: "period", bandPosition: ["hour", "day"].includes(bucket) ? 0 : 0.5 };
  const lines = marks.map(({ day, text, change }, index) => {
    const at = bucket === "hour" ? `${day}T00:00:00` : day;
    const period = periods.findLast((each) => each <= at) ?? periods[0];
    const colour = { fell: bad, rose: good }[change] ?? soft;
    return { number: index + 1, period, index: periods.indexOf(period), name: format.dateOf(day), text, colour, dash: change ? [1, 0] : [4, 3] };
  });
  const labels = [];
  for (const { number, period, index } of lines) {
    const last = labels.at(-1);
    if (last && index - last.index < room) last.to = number;
    else labels.push({ period, index, from: number, to: number });
  }
  const texts = labels.map(({ period, from, to }) => ({ period, label: from === to ? `${from}` : `${from}–${to}` }));
  const own = { type: "nominal", scale: null };
  return [
    { data: { values: lines }, mark: { type: "rule", strokeWidth: 1.5 }, encoding: {
      x: place, stroke: { field: "colour", ...own }, strokeDash: { field: "dash", ...own },
      tooltip: [{ field: "name", title: "when" }, { field: "text", title: "marked" }],
    } },
    { data: { values: texts }, mark: { type: "text", color: ink, baseline: "bottom", fontSize: 12, fontWeight: "bold" }, encoding: {
      x: place, y: { value: -3 }, text: { field: "label" },
    } },
  ];
}

function usesSpecification(values, x, lines, { good, bad, unknown }) {
  const present = OUTCOMES.filter((outcome) => outcome !== "unknown" || values.some((each) => each.outcome === outcome && each.uses));
  const bars = {
    data: { values },
    mark: { type: "bar" },
    encoding: {
      x,
      y: { field: "uses", type: "quantitative", stack: true, title: "uses", ...countAxis(Math.max(...values.map((each) => each.all)), 5) },
      color: { field: "outcome", type: "nominal", scale: { domain: present, range: [good, bad, unknown].slice(0, present.length) }, legend: lines.length ? { offset: 22 } : {} },
      order: { field: "index", type: "quantitative" },
      tooltip: [
        { field: "name", title: "when" }, { field: "outcome", title: "outcome" },
        { field: "uses", title: "uses", format: "," }, { field: "all", title: "of", format: "," },
      ],
    },
  };
  return { height: 220, layer: [bars, ...lines] };
}

/** An axis of counts: whole numbers, three at least. */
const countAxis = (largest, ticks) => ({
  scale: largest < 2 ? { domain: [0, 2] } : {},
  axis: { tickCount: ticks, tickMinStep: 1, format: "~s", minExtent: Y_AXIS },
});

/** The ends of an axis of rates: not so near that there would be nothing between them. */
const rateDomain = (lowest, highest) => (highest - lowest >= 2 ? [lowest, highest] : [Math.max(0, lowest - 1), Math.min(100, highest + 1)]);

function rateChart(values, x, bucket, lines) {
  const lowest = values.reduce((low, each) => (each.rate < low.rate ? each : low));
  const highest = values.reduce((high, each) => (each.rate > high.rate ? each : high));
  const words = `Success rate by ${bucket}, where there were ${FEW} uses or more: lowest ${lowest.text} (${lowest.name}), highest ${highest.text} (${highest.name}).`;
  const line = ({ good }) => ({
    data: { values },
    mark: { type: "line", color: good, point: { color: good, size: values.length > 60 ? 8 : 24 }, strokeWidth: 1.5 },
    encoding: {
      x,
      y: { field: "rate", type: "quantitative", title: "success rate, %", scale: { domain: rateDomain(lowest.rate, highest.rate), nice: true }, axis: { tickCount: 4, minExtent: Y_AXIS } },
      tooltip: [{ field: "name", title: "when" }, { field: "text", title: "success rate" }, { field: "all", title: "uses", format: "," }],
    },
  });
  return chart(words, (colours) => ({ height: 120, layer: [line(colours), ...lines(colours)] }));
}

function seriesTable(caption, rows, bucket) {
  return table(caption, [
    { title: capital(bucket), cell: (row) => format.periodName(row.period, bucket) },
    { title: "Uses", number: true, cell: (row) => format.count(row.usageCount) },
    { title: "Succeeded", number: true, cell: (row) => format.count(row.successCount) },
    { title: "Failed", number: true, cell: (row) => format.count(row.failureCount) },
    { title: "Success rate", number: true, cell: (row) => format.percent(row.successRate) },
  ], rows, { captionHidden: true });
}

/**
 * How the scenes did over time: a cell a scene and period.
 *
 * @param {object[]} rows
 * @param {"rate"|"uses"} measure What the colour says.
 * @param {number} overall The prompt's own success rate, where the colours change sides.
 */
export function heatMap(rows, bucket, measure, overall) {
  const values = rows.map((row) => ({
    scene: format.valueName(row.scene), period: row.period, name: format.periodName(row.period, bucket),
    uses: row.usageCount, rate: row.successRate, text: format.percent(row.successRate),
  }));
  const totals = new Map();
  for (const { scene, uses } of values) totals.set(scene, (totals.get(scene) ?? 0) + uses);
  const scenes = [...totals.keys()].sort((one, other) => totals.get(other) - totals.get(one));
  const periods = [...new Set(values.map((each) => each.period))].sort();
  const words = `Scenes over time: ${scenes.length} scenes, ${periods.length} ${bucket}s; most used: ${scenes.slice(0, 3).join(", ")}.`;
  const specification = (colours) =>
    heatSpecification(values, scenes, periods, bucket, heatColour(values, measure, overall, colours), colours);
  return figure(chart(words, specification), heatTable(values, scenes, periods, bucket, measure));
}

function heatColour(values, measure, overall, { good, bad, middle }) {
  if (measure === "uses") {
    return { field: "uses", type: "quantitative", scale: { range: [middle, good], interpolate: "rgb", zero: true }, legend: { title: "uses", format: "~s", gradientLength: 160 } };
  }
  const lowest = Math.min(overall - 1, ...values.filter((each) => each.uses >= FEW).map((each) => each.rate));
  const highest = Math.max(overall + 1, ...values.filter((each) => each.uses >= FEW).map((each) => each.rate));
  return {
    field: "rate", type: "quantitative",
    scale: { domain: [lowest, overall, highest], range: [bad, middle, good], interpolate: "rgb", clamp: true },
    legend: { title: "success rate, %", format: ".0f", gradientLength: 160 },
  };
}

function heatSpecification(values, scenes, periods, bucket, color, { card }) {
  return {
    height: 26 * scenes.length,
    data: { values },
    mark: { type: "rect", stroke: card, strokeWidth: 2, cornerRadius: 3 },
    encoding: {
      x: { field: "period", type: "ordinal", axis: periodAxis(bucket, periods), scale: { domain: periods } },
      y: { field: "scene", type: "nominal", title: null, scale: { domain: scenes }, axis: { labelLimit: innerWidth < PHONE ? 72 : 120, ticks: false, domain: false, labelPadding: 6 } },
      color,
      opacity: { condition: { test: `datum.uses < ${FEW}`, value: 0.4 }, value: 1 },
      tooltip: [
        { field: "scene", title: "scene" }, { field: "name", title: "when" },
        { field: "text", title: "success rate" }, { field: "uses", title: "uses", format: "," },
      ],
    },
  };
}

function heatTable(values, scenes, periods, bucket, measure) {
  const cells = new Map(values.map((each) => [`${each.period} ${each.scene}`, each]));
  const text = (each) => (each ? (measure === "uses" ? format.count(each.uses) : `${each.text} of ${format.count(each.uses)}`) : format.NONE);
  const columns = [
    { title: "Scene", cell: (scene) => scene },
    ...periods.map((period) => ({
      title: format.periodName(period, bucket), number: true, cell: (scene) => text(cells.get(`${period} ${scene}`)),
    })),
  ];
  return table(`Scenes by ${bucket}`, columns, scenes, { captionHidden: true });
}

/**
 * How long generations took: a histogram on a logarithmic axis, with percentiles marked.
 *
 * @param {object[]} buckets The API's: narrow, and only those with use.
 * @param {Array<[string, number]>} percentiles
 */
export function histogram(buckets, percentiles) {
  const bins = binned(buckets.filter((each) => each.fromMs > 0));
  const timed = buckets.reduce((sum, each) => sum + each.usageCount, 0);
  const marked = percentiles.filter(([, value]) => value !== null);
  const words = `Generation times of ${format.count(timed)} uses: ${marked.map(([name, value]) => `${name} ${format.duration(value)}`).join(", ")}.`;
  const data = table("Generation times", [
    { title: "Longer than", number: true, cell: (bin) => format.duration(bin.from) },
    { title: "Up to", number: true, cell: (bin) => format.duration(bin.to) },
    { title: "Uses", number: true, cell: (bin) => format.count(bin.uses) },
  ], bins, { captionHidden: true });
  return figure(chart(words, (colours) => histogramSpecification(bins, marked, colours)), data);
}

/** Neighbouring buckets joined, so that there are about 48: each is the same step up from the one before. */
function binned(buckets) {
  if (!buckets.length) return [];
  const step = Math.log(buckets[0].toMs / buckets[0].fromMs);
  const place = (milliseconds) => Math.round(Math.log(milliseconds) / step);
  const [first, last] = [place(buckets[0].fromMs), place(buckets.at(-1).fromMs)];
  const joined = Math.max(1, Math.ceil((last - first + 1) / BINS));
  const bins = Array.from({ length: Math.floor((last - first) / joined) + 1 }, (_, index) => ({
    from: Math.exp((first + index * joined) * step), to: Math.exp((first + (index + 1) * joined) * step), uses: 0,
  }));
  for (const each of buckets) bins[Math.floor((place(each.fromMs) - first) / joined)].uses += each.usageCount;
  return bins;
}

/** Round times on a logarithmic axis: three at least, so the closer its ends are, the finer. */
function timeTicks(low, high) {
  const finer = [[1, 2, 5], [1, 1.5, 2, 3, 5, 7], Array.from({ length: 18 }, (_, index) => 1 + index / 2), Array.from({ length: 90 }, (_, index) => 1 + index / 10)];
  for (const digits of finer) {
    const ticks = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => digits.map((digit) => digit * 10 ** power)).filter((tick) => tick >= low && tick <= high);
    if (ticks.length >= 3) return ticks;
  }
  return [low, Math.sqrt(low * high), high];
}

function histogramSpecification(bins, percentiles, { good, ink, bad }) {
  const values = bins.map((bin) => ({ ...bin, zero: 0, text: `${format.duration(bin.from)} to ${format.duration(bin.to)}` }));
  const [low, high] = [bins[0].from, bins.at(-1).to];
  const marks = percentiles.map(([name, value], index) => ({
    name: `${name} ${format.duration(value)}`, value, row: index * 15,
    isRight: Math.log(value / low) > 0.5 * Math.log(high / low), // its text goes to the left then
  }));
  const x = {
    type: "quantitative", title: "generation time", scale: { type: "log", domain: [low, high], nice: false },
    axis: {
      values: timeTicks(low, high), labelOverlap: "greedy", labelSeparation: 10,
      labelExpr: "datum.value < 1000 ? format(datum.value, '~r') + ' ms' : format(datum.value / 1000, ',~r') + ' s'",
    },
  };
  return {
    height: 240,
    layer: [
      {
        data: { values },
        mark: { type: "bar", color: good, binSpacing: 1 },
        encoding: {
          x: { ...x, field: "from" }, x2: { field: "to" },
          y: { field: "uses", type: "quantitative", title: "uses", ...countAxis(Math.max(...bins.map((bin) => bin.uses)), 4) },
          y2: { field: "zero" },
          tooltip: [{ field: "text", title: "time" }, { field: "uses", title: "uses", format: "," }],
        },
      },
      { data: { values: marks }, mark: { type: "rule", color: bad, strokeDash: [4, 3], strokeWidth: 1.5 }, encoding: { x: { ...x, field: "value" } } },
      ...marks.map((mark) => ({
        data: { values: [mark] },
        mark: { type: "text", color: ink, align: mark.isRight ? "right" : "left", dx: mark.isRight ? -4 : 4, y: mark.row + 6, fontSize: 12 },
        encoding: { x: { ...x, field: "value" }, text: { field: "name" } },
      })),
    ],
  };
}
