/**
 * What several views are made of.
 */

import { h, svg, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { elsewhere } from "dashboard/state";

export const RATE = "Success rate (95 % interval)";
const FEW = 30; // uses below which a rate says little

/** A section with a heading, some words, and its content. */
export function section(title, words, ...content) {
  return h("section", {}, h("h2", {}, title), words ? h("p", { class: "words" }, words) : null, content);
}

/**
 * Content that needs an answer of its own: if that fails, the place says so and the rest of the page stays.
 *
 * @param {Promise<object>} answer
 * @param {(answer: object) => Node|Node[]} make
 */
export async function from(answer, make) {
  try {
    return make(await answer);
  } catch (error) {
    if (error.status === undefined || error.status === 401) throw error;
    return note(error.message);
  }
}

/** Sections beside each other where there is room. */
export const columns = (sections) => h("div", { class: "columns" }, sections);

/** Which days, whose, and what is to be known of them. */
export const periodWords = ({ from: first, to, timezone, open, note: remark }) =>
  [`${first} to ${to}, days of ${timezone}. `, open ? "The last one is not over. " : null, remark];

/** A remark in a box. */
export const note = (...words) => h("p", { class: "note" }, words);

/** Key figures: [name, value, remarks…]. */
export function figures(entries) {
  return h("dl", { class: "figures" }, entries.map(([name, value, ...remarks]) =>
    h("div", {},
      h("dt", {}, name),
      h("dd", { class: "value" }, value),
      remarks.filter(Boolean).map((remark) => h("dd", { class: "remark" }, remark)))));
}

/** How a count differs from the one before it. */
export function changed(now, before, than) {
  const { text, direction } = format.change(now, before);
  return h("span", { class: direction > 0 ? "up" : direction < 0 ? "down" : null }, `${text} `, h("span", { class: "soft" }, than));
}

const spread = (lower, upper) => `${lower.toFixed(1)}–${upper.toFixed(1)} %`;

/** "90.2–91.6 %, n = 1,200" */
export const certainty = (lower, upper, uses) =>
  (uses ? `${spread(lower, upper)}, n = ${format.count(uses)}` : "no uses");

/** A success rate with its interval, computed where the answer has none; the uses beside it are its sample. */
export function rate(row) {
  const uses = row.usageCount ?? row.totalUsage;
  if (!uses) return format.NONE;
  const [lower, upper] = row.successRateLower === undefined || row.successRateLower === null
    ? format.interval(row.successCount, uses) : [row.successRateLower, row.successRateUpper];
  return h("span", { class: "rate" },
    h("span", {}, format.percent(row.successRate)),
    h("small", {}, `${spread(lower, upper)}${uses < FEW ? ", few uses" : ""}`));
}

/** A count with a bar as long as its share of the largest one. */
export function bar(value, largest) {
  const width = largest ? (value / largest) * 100 : 0;
  const line = svg("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 4 }));
  return [h("span", {}, format.count(value)), line];
}

/** Use day by day as a small line, with words for those who don't see it. */
export function sparkline(counts) {
  if (!counts?.length) return format.NONE;
  const highest = Math.max(...counts);
  const total = counts.reduce((sum, each) => sum + each, 0);
  const words = `${format.count(total)} in ${counts.length} days, at most ${format.count(highest)} a day, last ${format.count(counts.at(-1))}`;
  const [width, height] = [120, 28];
  const x = (index) => 2 + (index / Math.max(1, counts.length - 1)) * (width - 4);
  const y = (value) => height - 3 - (highest ? value / highest : 0) * (height - 6);
  const points = counts.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return svg("svg", { class: "sparkline", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words },
    svg("title", {}, words),
    svg("polygon", { points: `2,${height - 3} ${points} ${width - 2},${height - 3}` }),
    svg("polyline", { points }),
    svg("circle", { cx: x(counts.length - 1), cy: y(counts.at(-1)), r: 2 }));
}

/** A link to a prompt's page. */
export function promptLink(state, prompt) {
  const id = prompt.promptId ?? prompt.id;
  return h("a", { href: elsewhere(state, `/prompts/${encodeURIComponent(id)}`) }, format.valueName(prompt.name));
}

/**
 * How each scene (environment, outfit) did, the most used first.
 *
 * @param {string} kind What the values are: "scene"
 * @param {object[]} rows
 * @param {boolean} counted Whether to show what is counted once a day
 */
export function byValue(kind, rows, timezone, counted = false) {
  const largest = Math.max(...rows.map((row) => row.usageCount), 0);
  const title = `By ${kind}`;
  if (!rows.length) return note(`No ${kind}s yet.`);
  const columns = [
    { title: capital(kind), cell: (row) => named(row[kind]) },
    { title: "Uses", number: true, cell: (row) => bar(row.usageCount, largest) },
    { title: RATE, number: true, cell: rate },
    { title: "Mean time", number: true, cell: (row) => format.duration(row.avgGenerationTimeMs) },
    ...(counted ? [
      { title: "p95 time", number: true, cell: (row) => format.duration(row.p95GenerationTimeMs) },
      { title: "Users", number: true, cell: (row) => (row.uniqueUsers === null ? format.NONE : format.count(row.uniqueUsers)) },
    ] : []),
    { title: "Last used", cell: (row) => day(row.lastUsedAt, timezone) },
  ];
  return table(title, columns, rows, { captionHidden: true });
}

/** The day of a moment; which moment, for those who ask. */
export const day = (text, timezone) =>
  h("span", { class: "nowrap", title: format.moment(text, timezone) }, format.dayOf(text, timezone));

/** A value of the data; what stands for none is told apart from a value of that name. */
export const named = (value) =>
  value === null || !value.trim() ? h("em", {}, format.valueName(value)) : value;

export const capital = (text) => text[0].toUpperCase() + text.slice(1);
