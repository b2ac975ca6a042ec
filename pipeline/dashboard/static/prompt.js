/**
 * One prompt.
 */

import { heatMap, histogram, series } from "dashboard/charts";
import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, byValue, capital, certainty, changed, columns, day, figures, from, named, note, periodWords, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { UTC, bucketOf, buckets, elsewhere, heatPeriod, periodOf } from "dashboard/state";
import { bucketPicker, overTime, parameterPicker } from "dashboard/toolbar";

const HEAT_SCENES = 15;
const HEAT_MAX_DAYS = 366;

/** @returns {Promise<import("dashboard/main").View>} */
export async function prompt(state, source) {
  const period = periodOf(state, source);
  const choices = buckets(period, source, { hours: true });
  const bucket = bucketOf(state, choices, period);
  const toolbar = [overTime(state, source, period), bucketPicker(choices, bucket)];
  const base = `/prompts/${encodeURIComponent(source.idOf(state.key))}`;
  const head = await source.get(base);
  const stats = await source.get(`${base}/stats`);
  const name = format.valueName(head.prompt.name);
  const content = [headOf(state, head.prompt), period.wrong ? note(period.wrong) : null];
  if (!stats.totalUsage) content.push(note("This prompt was never used."));
  else content.push(await everything({ state, source, period, bucket, base, head: head.prompt, stats }));
  return { title: name, toolbar, content, freshness: stats };
}

function headOf(state, prompt) {
  const category = prompt.category === null ? "no category"
    : h("a", { href: elsewhere(state, "/prompts", { category: prompt.category }) }, format.valueName(prompt.category));
  const gone = prompt.deletedAt ? "deleted" : prompt.isActive === false ? "not active" : null;
  return h("div", { class: "head" },
    h("h1", { tabindex: "-1" }, format.valueName(prompt.name)),
    h("p", { class: "words" },
      prompt.slug ? [h("code", {}, prompt.slug), " · "] : null, category,
      prompt.subcategory ? ` · ${prompt.subcategory}` : null,
      gone ? [" · ", h("strong", {}, gone)] : null,
      " · ", h("a", { href: elsewhere(state, "/compare", { ids: prompt.id }) }, "Compare with others")),
    prompt.description ? h("p", {}, prompt.description) : null,
    h("details", {}, h("summary", {}, "Template"), h("pre", { tabindex: "0" }, prompt.template),
      prompt.negativePrompt ? [h("p", { class: "words" }, "Negative prompt"), h("pre", { tabindex: "0" }, prompt.negativePrompt)] : null));
}

async function everything(page) {
  const { stats, period } = page;
  const sections = await Promise.all([
    period.wrong ? null : over(page),
    period.wrong ? null : scenesOver(page),
    times(page),
    Promise.all([compared(page), errors(page)]).then(columns),
    values("scene", page),
    Promise.all([values("environment", page), values("outfit", page)]).then(columns),
  ]);
  return [keyFigures(stats, period.timezone), ...sections];
}

function keyFigures(stats, timezone) {
  const window = (days, now, before) => [
    days === 1 ? "Yesterday (UTC)" : `Last ${days} whole days`, format.count(now),
    changed(now, before, days === 1 ? "against the day before" : `against the ${days} before`),
  ];
  return section("Key figures", "Of all time.", figures([
    ["Uses", format.count(stats.totalUsage), `by ${format.counted(stats.uniqueUsers, "user")}, favourite of ${format.count(stats.favoriteCount)}`],
    ["Success rate", format.percent(stats.successRate), certainty(stats.successRateLower, stats.successRateUpper, stats.totalUsage)],
    window(1, stats.usageCount1d, stats.usageCountPrevious1d),
    window(7, stats.usageCount7d, stats.usageCountPrevious7d),
    window(30, stats.usageCount30d, stats.usageCountPrevious30d),
    ["Median time", format.duration(stats.p50GenerationTimeMs), `mean ${format.duration(stats.avgGenerationTimeMs)}`],
    ["p90 time", format.duration(stats.p90GenerationTimeMs), "9 of 10 are faster"],
    ["p95 time", format.duration(stats.p95GenerationTimeMs), "19 of 20 are faster"],
    ["p99 time", format.duration(stats.p99GenerationTimeMs), `longest ${format.duration(stats.maxGenerationTimeMs)}`],
    ["First used", format.dayOf(stats.firstUsedAt, timezone), format.timeOf(stats.firstUsedAt, timezone)],
    ["Last used", format.dayOf(stats.lastUsedAt, timezone), format.timeOf(stats.lastUsedAt, timezone)],
  ]));
}

async function over({ source, period, bucket, base }) {
  const timezone = period.timezone === UTC ? null : period.timezone;
  const wanted = path(`${base}/series`, { from: period.from, to: period.to, bucket, timezone });
  const content = await from(source.get(wanted), (found) =>
    (found.series.some((row) => row.usageCount) ? series("This prompt", found.series, bucket) : note("Not used in this period.")));
  return section("Over time", periodWords(period), content);
}

async function scenesOver({ state, source, period, base, stats }) {
  const { from: first, to, bucket } = heatPeriod(period, source);
  const which = `The most used scenes, ${first} to ${to} by ${bucket} (UTC). `;
  if (period.days > HEAT_MAX_DAYS) return section("Scenes over time", null, note("A year at most: choose a shorter period."));
  const measure = state.parameters.colour === "uses" ? "uses" : "rate";
  const picker = parameterPicker("colour", "Colour", [["rate", "Success rate"], ["uses", "Uses"]], measure, "rate");
  const wanted = path(`${base}/scenes/series`, { from: first, to, bucket, limit: HEAT_SCENES });
  const content = await from(source.get(wanted), (found) =>
    (found.series.length ? [picker, heatMap(found.series, bucket, measure, stats.successRate)] : note("Not used in this period.")));
  return section("Scenes over time", [which, measure === "rate" ? "Blue is better than the prompt's own rate, red is worse; faint cells have fewer than 10 uses." : null], content);
}

async function times({ source, base, stats }) {
  if (!stats.timedCount) return section("Generation time", null, note("No use of this prompt was timed."));
  const marks = [50, 90, 95, 99].map((each) => [`p${each}`, stats[`p${each}GenerationTimeMs`]]);
  const content = await from(source.get(`${base}/times`), (found) =>
    (found.times.some((each) => each.fromMs > 0) ? histogram(found.times, marks) : note("All uses took less than a millisecond.")));
  return section("Generation time", `${format.counted(stats.timedCount, "timed use")}, all time. p95: 95 of 100 are at most as long. The axis is logarithmic.`, content);
}

async function compared({ source, head, stats }) {
  if (head.category === null) return section("Beside its category", null, note("This prompt has no category."));
  const content = await from(source.get("/categories"), ({ categories }) => {
    const category = categories.find((each) => each.category === head.category);
    if (!category?.usageCount) return note("Nothing is known of its category.");
    const rows = [
      { ...stats, usageCount: stats.totalUsage, name: "This prompt" },
      { ...category, name: `${format.counted(category.promptCount, "prompt")} of ${format.valueName(category.category)}` },
    ];
    return [h("p", {}, verdict(stats, category)), table("Beside its category", [
      { title: "Of", cell: (row) => row.name },
      { title: "Uses", number: true, cell: (row) => bar(row.usageCount, category.usageCount) },
      { title: RATE, number: true, cell: rate },
      { title: "Mean time", number: true, cell: (row) => format.duration(row.avgGenerationTimeMs) },
    ], rows, { captionHidden: true })];
  });
  return section("Beside its category", "Of all time.", content);
}

/** Whether the difference of two rates is more than chance, said with care: the category contains the prompt. */
function verdict(stats, category) {
  if (category.promptCount === 1) return "It is the only prompt of its category.";
  const share = `It has ${format.percent((stats.totalUsage / category.usageCount) * 100)} of its category's uses. `;
  if (stats.successRateLower > category.successRateUpper) return `${share}It succeeds more often than its category: the intervals do not overlap.`;
  if (stats.successRateUpper < category.successRateLower) return `${share}It succeeds less often than its category: the intervals do not overlap.`;
  return `${share}Its success rate may be that of its category: the intervals overlap.`;
}

async function errors({ source, base, stats, period }) {
  const content = await from(source.get(`${base}/errors`), ({ errors: rows }) => {
    if (!rows.length) return note(stats.failureCount ? "Its failures have no messages." : "It never failed.");
    const largest = Math.max(...rows.map((row) => row.errorCount));
    return table("Errors by kind", [
      { title: "Kind", cell: (row) => h("span", { class: "message" }, named(row.errorKind)) },
      { title: "Errors", number: true, cell: (row) => bar(row.errorCount, largest) },
      { title: "Of its failures", number: true, cell: (row) => format.percent((row.errorCount / stats.failureCount) * 100) },
      { title: "Last seen", cell: (row) => day(row.lastSeenAt, period.timezone) },
    ], rows, { captionHidden: true });
  });
  return section("Errors", "Messages with numbers, ids and addresses folded. Of all time.", content);
}

async function values(kind, { source, base, period }) {
  let countedAt = null; // what is counted once a day, where there is room for it
  const content = await from(source.get(`${base}/${kind}s`), (found) => {
    if (kind === "scene") countedAt = found.valueStatsAsOf;
    return byValue(kind, found[`${kind}s`], period.timezone, Boolean(countedAt));
  });
  const words = countedAt ? `Of all time; p95 and users as of ${format.moment(countedAt, period.timezone)}.` : "Of all time.";
  return section(`${capital(kind)}s`, words, content);
}
