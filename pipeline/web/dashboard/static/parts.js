/**
 * What several views are made of.
 */

import { h, svg, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { elsewhere } from "dashboard/state";
import { parameterPicker } from "dashboard/toolbar";

export const RATE = "Success rate (95 % interval)";
const FEW = 30; // uses below which a rate says little

/** The lower end of a share's interval: what it surely is. */
const surely = (count, row) => format.interval(count, row.usageCount)?.[0] ?? 0;

/** What tables by scene, environment and outfit may be sorted by, the highest first. */
const ORDERS = {
  uses: ["Uses", (row) => row.usageCount],
  success: ["Success rate (lower bound)", (row) => surely(row.successCount, row)],
  failure: ["Failure rate (lower bound)", (row) => surely(row.failureCount, row)],
};

/** A section with a heading, some words, and its content. */
export function section(title, words, ...content) {
  return h("section", {}, h("h2", {}, title), words ? h("p", { class: "words" }, words) : null, content);
}

/**
 * Content that needs an answer of its own: if that fails, the place says so and the rest of the page stays.
 *
 * @param {Promise<object>} answer
 * @param {(answer: object) => Node|Node[]} make
 * @param {(why: string) => Node} instead
 */
export async function from(answer, make, instead = note) {
  try {
    return make(await answer);
  } catch (error) {
    if (error.status === undefined || error.status === 401) throw error;
    return instead(error.message);
  }
}

/** Sections beside each other where there is room. */
export const columns = (sections) => h("div", { class: "columns" }, sections);

/** Which days, whose, and what is to be known of them. */
export const periodWords = ({ from: first, to, timezone, open, note: remark }) =>
  [`${first} to ${to}, days of ${timezone}. `, open ? "The last one is not over: it is complete after the first refresh past midnight. " : null, remark];

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

/**
 * What key figures say of a period beside the one before: remarks on uses, success rate and failures. Both are whole
 * days, and as many: one that is not over would make its period seem smaller.
 *
 * @param {object|null} now
 * @param {object|null} before
 * @param {object|null} difference Of their success rates, as the API has it
 */
export function against(now, before, difference) {
  if (!now) return {};
  const days = ({ from: first, to }) => `${first} to ${to}`;
  const words = `Whole days are compared: ${days(now)} with ${days(before)}. `;
  if (!before.usageCount) return { uses: `none from ${days(before)}`, words };
  const both = (one, other) => h("span", { class: "soft" }, `whole days: ${one} against ${other} before`);
  const count = (name) => {
    const { text, direction } = format.change(now[name], before[name]);
    return h("span", { class: direction ? "changed" : null }, `${text} `, both(format.count(now[name]), format.count(before[name])));
  };
  const { points, pointsLower, pointsUpper } = difference;
  const rates = both(format.percent(now.successRate), format.percent(before.successRate));
  const rate = points === null ? rates
    : [h("span", { class: pointsLower > 0 || pointsUpper < 0 ? "changed" : null }, `${format.signed(points)} points`), ` (${format.signed(pointsLower)} to ${format.signed(pointsUpper)}) `, rates];
  return { uses: count("usageCount"), rate, failed: count("failureCount"), words };
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

const orderOf = ({ parameters }) => (Object.hasOwn(ORDERS, parameters.order) ? parameters.order : "uses");

/** The order of all tables by value of a page. */
export const orderPicker = (state) =>
  parameterPicker("order", "Scenes, environments and outfits by", Object.entries(ORDERS).map(([name, [title]]) => [name, title]), orderOf(state), "uses");

/**
 * How each scene (environment, outfit) did, in the order of the page.
 *
 * @param {string} kind What the values are: "scene"
 * @param {object[]} rows The most used first
 * @param {boolean} counted Whether to show what is counted once a day
 */
export function byValue(kind, rows, state, timezone, counted = false) {
  const order = orderOf(state);
  const [, by] = ORDERS[order];
  const largest = Math.max(...rows.map((row) => row.usageCount), 0);
  const title = `By ${kind}`;
  if (!rows.length) return note(`No ${kind}s yet.`);
  const columns = [
    { title: capital(kind), cell: (row) => named(row[kind]) },
    { title: "Uses", number: true, cell: (row) => bar(row.usageCount, largest) },
    { title: RATE, number: true, cell: (row) => [standing(row), rate(row)] },
    ...(order === "failure" ? [{ title: "Failed, surely", number: true, cell: failed }] : []),
    { title: "Mean time", number: true, cell: (row) => format.duration(row.avgGenerationTimeMs) },
    ...(counted ? [
      { title: "p95 time", number: true, cell: (row) => format.duration(row.p95GenerationTimeMs) },
      { title: "Users", number: true, cell: (row) => (row.uniqueUsers === null ? format.NONE : format.count(row.uniqueUsers)) },
    ] : []),
    { title: "Last used", cell: (row) => day(row.lastUsedAt, timezone) },
  ];
  return [table(title, columns, [...rows].sort((one, other) => by(other) - by(one)), { captionHidden: true }), unsure(kind, rows)];
}

/** What no row is marked as, since the intervals of several leave it open. */
function unsure(kind, rows) {
  const left = ["best", "worst"].filter((word) => !rows.some((row) => row.standing === word));
  return rows.length > 1 && left.length ? h("p", { class: "words" }, `No ${kind} is shown to be ${left.join(" or ")} yet.`) : null;
}

/** "best" or "worst", where the API is sure of it. */
const standing = (row) => (row.standing ? [h("strong", { class: `standing ${row.standing}` }, row.standing), " "] : null);

const failed = (row) => h("span", { class: "rate" },
  h("span", {}, format.count(row.failureCount)), h("small", {}, `≥ ${format.percent(surely(row.failureCount, row))}`));

/** The day of a moment; which moment, for those who ask. */
export const day = (text, timezone) =>
  h("span", { class: "nowrap", title: format.moment(text, timezone) }, format.dayOf(text, timezone));

/** A value of the data; what stands for none is told apart from a value of that name. */
export const named = (value) =>
  value === null || !value.trim() ? h("em", {}, format.valueName(value)) : value;

export const capital = (text) => text[0].toUpperCase() + text.slice(1);
