/**
 * One prompt.
 */

import { heatMap, histogram, series } from "dashboard/charts";
import { h, table } from "dashboard/dom";
import { examplesOf, failures } from "dashboard/failures";
import * as format from "dashboard/format";
import { markList, marksOf } from "dashboard/markers";
import { RATE, against, bar, byValue, capital, certainty, columns, day, figures, from, named, note, orderPicker, periodWords, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { bucketOf, buckets, elsewhere, heatBucket, ofPeriod, periodOf } from "dashboard/state";
import { bucketPicker, overTime, parameterPicker } from "dashboard/toolbar";

const HEAT_SCENES = 15;

/** @returns {Promise<import("dashboard/main").View>} */
export async function prompt(state, source) {
  const period = periodOf(state, source);
  const choices = buckets(period, source, { hours: true });
  const bucket = bucketOf(state, choices, period);
  const toolbar = [overTime(state, source, period), bucketPicker(choices, bucket)];
  const base = `/prompts/${encodeURIComponent(source.idOf(state.key))}`;
  const head = await source.get(base);
  const name = format.valueName(head.prompt.name);
  const top = headOf(state, head.prompt);
  if (period.wrong) return { title: name, toolbar, content: [top, note(period.wrong)], freshness: head };
  let freshness = head;
  const content = await from(source.get(path(`${base}/stats`, ofPeriod(period))), (stats) => {
    freshness = stats;
    if (!stats.totalUsage) return note(head.prompt.usageCount ? "Not used in this period." : "This prompt was never used.");
    return everything({ state, source, period, bucket, base, head: head.prompt, stats });
  });
  return { title: name, toolbar, content: [top, content], freshness };
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
      " · ", h("a", { href: elsewhere(state, "/compare", { ids: prompt.id }) }, "Compare with others, or before and after a day")),
    prompt.description ? h("p", {}, prompt.description) : null,
    h("details", {}, h("summary", {}, "Template"), h("pre", { tabindex: "0" }, prompt.template),
      prompt.negativePrompt ? [h("p", { class: "words" }, "Negative prompt"), h("pre", { tabindex: "0" }, prompt.negativePrompt)] : null));
}

async function everything(page) {
  const { stats, period } = page;
  const sections = await Promise.all([
    over(page),
    scenesOver(page),
    times(page),
    Promise.all([compared(page), errors(page)]).then(columns),
    failures(page),
    values("scene", page),
    Promise.all([values("environment", page), values("outfit", page)]).then(columns),
    keyFigures(page),
  ]);
  return [sections.pop(), ...sections];
}

async function beside({ source, head, period }) {
  if (period.open && period.days === 1) return { uses: "not beside the day before: this one is not over" };
  // Given several times, each is one: an id may have a comma.
  const wanted = path("/prompts/difference", { ids: [head.id, ""], ...ofPeriod(period) });
  return from(source.get(wanted), ({ prompts: [before, now], differences: [difference] }) => against(now, before, difference),
    (why) => ({ uses: `not beside the period before: ${why}` }));
}

async function keyFigures(page) {
  const { stats, period } = page;
  const than = await beside(page);
  const { totalUsage, successCount, failureCount } = stats;
  const unknown = totalUsage - successCount - failureCount;
  return section("Key figures", [...periodWords(period), than.words], figures([
    ["Uses", format.count(totalUsage), stats.uniqueUsers === null ? period.days > 92 ? "users are not counted for so many days" : "users are not counted in a file" : `by ${format.counted(stats.uniqueUsers, "user")}`, than.uses],
    ["Success rate", format.percent(stats.successRate), certainty(stats.successRateLower, stats.successRateUpper, totalUsage), than.rate],
    ["Failed", format.count(failureCount), than.failed, unknown ? `and ${format.count(unknown)} with unknown outcome` : null],
    ["Median time", format.duration(stats.p50GenerationTimeMs), `mean ${format.duration(stats.avgGenerationTimeMs)}`],
    ["p90 time", format.duration(stats.p90GenerationTimeMs), "9 of 10 are faster"],
    ["p95 time", format.duration(stats.p95GenerationTimeMs), "19 of 20 are faster"],
    ["p99 time", format.duration(stats.p99GenerationTimeMs), `longest ${format.duration(stats.maxGenerationTimeMs)}`],
    ["First used", format.dayOf(stats.firstUsedAt, period.timezone), "in this period", format.timeOf(stats.firstUsedAt, period.timezone)],
    ["Last used", format.dayOf(stats.lastUsedAt, period.timezone), "in this period", format.timeOf(stats.lastUsedAt, period.timezone)],
  ]));
}

async function over({ state, source, period, bucket, base, head }) {
  const wanted = [path(`${base}/series`, { ...ofPeriod(period), bucket }), `${base}/markers`];
  const content = await from(Promise.all(wanted.map((each) => source.get(each))), ([found, { markers }]) => {
    if (!found.series.some((row) => row.usageCount)) return note("Not used in this period.");
    const marks = marksOf(found.changePoint, markers, period);
    return [series("This prompt", found.series, bucket, marks), markList(marks, state, source, head)];
  });
  return section("Over time", periodWords(period), content);
}

async function scenesOver({ state, source, period, base, stats }) {
  const heat = heatBucket(period);
  const which = `The most used scenes by ${heat}. `;
  const measure = state.parameters.colour === "uses" ? "uses" : "rate";
  const picker = parameterPicker("colour", "Colour", [["rate", "Success rate"], ["uses", "Uses"]], measure, "rate");
  const wanted = path(`${base}/scenes/series`, { ...ofPeriod(period), bucket: heat, limit: HEAT_SCENES });
  const content = await from(source.get(wanted), (found) =>
    (found.series.length ? [picker, heatMap(found.series, heat, measure, stats.successRate)] : note("Not used in this period.")));
  return section("Scenes over time", [which, measure === "rate" ? "Blue is better than the prompt's own rate, red is worse; faint cells have fewer than 10 uses." : null], content);
}

async function times({ source, base, stats, period }) {
  if (!stats.timedCount) return section("Generation time", null, note("No use in this period was timed."));
  const marks = [50, 90, 95, 99].map((each) => [`p${each}`, stats[`p${each}GenerationTimeMs`]]);
  const content = await from(source.get(path(`${base}/times`, ofPeriod(period))), (found) =>
    (found.times.some((each) => each.fromMs > 0) ? histogram(found.times, marks) : note("All uses took less than a millisecond.")));
  return section("Generation time", `${format.counted(stats.timedCount, "timed use")} of this period. p95: 95 of 100 are at most as long. The axis is logarithmic.`, content);
}

async function compared({ source, head, stats, period }) {
  if (head.category === null) return section("Beside its category", null, note("This prompt has no category."));
  if (head.deletedAt) return section("Beside its category", null, note("It is deleted, and compared with no others."));
  const content = await from(source.get(path("/categories", ofPeriod(period))), ({ categories }) => {
    const category = categories.find((each) => each.category === head.category);
    if (!category) return note("Nothing is known of its category.");
    if (category.promptCount === 1) return note("It is the only prompt of its category.");
    const own = { ...stats, usageCount: stats.totalUsage, name: "This prompt" };
    const others = { ...without(category, own), name: `${format.counted(category.promptCount - 1, "other prompt")} of ${format.valueName(category.category)}` };
    if (!others.usageCount) return note("No other prompt of its category was used in this period.");
    return [h("p", {}, verdict(own, others)), table("Beside its category", [
      { title: "Of", cell: (row) => row.name },
      { title: "Uses", number: true, cell: (row) => bar(row.usageCount, Math.max(own.usageCount, others.usageCount)) },
      { title: RATE, number: true, cell: rate },
      { title: "Mean time", number: true, cell: (row) => format.duration(row.avgGenerationTimeMs) },
    ], [own, others], { captionHidden: true })];
  });
  return section("Beside its category", "Of this period; the category without this prompt.", content);
}

/** A category without one of its prompts. */
function without(category, own) {
  const [usageCount, successCount, timedCount] = ["usageCount", "successCount", "timedCount"].map((name) => category[name] - own[name]);
  const sum = (row) => (row.avgGenerationTimeMs ?? 0) * row.timedCount;
  const [successRateLower, successRateUpper] = format.interval(successCount, usageCount) ?? [null, null];
  return {
    usageCount, successCount, successRateLower, successRateUpper,
    successRate: usageCount ? (successCount / usageCount) * 100 : null,
    avgGenerationTimeMs: timedCount ? (sum(category) - sum(own)) / timedCount : null,
  };
}

/** Whether the difference of two rates is more than chance, said with care. */
function verdict(own, others) {
  const share = `It has ${format.percent((own.usageCount / (own.usageCount + others.usageCount)) * 100)} of its category's uses. `;
  if (own.successRateLower > others.successRateUpper) return `${share}It succeeds more often than the others: the intervals do not overlap.`;
  if (own.successRateUpper < others.successRateLower) return `${share}It succeeds less often than the others: the intervals do not overlap.`;
  return `${share}Its success rate may be that of the others: the intervals overlap.`;
}

async function errors({ state, source, base, stats, period }) {
  const content = await from(source.get(path(`${base}/errors`, ofPeriod(period))), ({ errors: rows }) => {
    if (!rows.length) return note(stats.failureCount ? "Its failures have no messages." : "It did not fail in this period.");
    const largest = Math.max(...rows.map((row) => row.errorCount));
    return table("Errors by kind", [
      { title: "Kind", cell: (row) => h("span", { class: "message" }, source.offline ? named(row.errorKind) : examplesOf(row.errorKind, state)) },
      { title: "Errors", number: true, cell: (row) => bar(row.errorCount, largest) },
      { title: "Of its failures", number: true, cell: (row) => format.percent((row.errorCount / stats.failureCount) * 100) },
      { title: "Last seen", cell: (row) => day(row.lastSeenAt, period.timezone) },
    ], rows, { captionHidden: true });
  });
  return section("Errors", "Messages with numbers, ids and addresses folded. Of this period.", content);
}

async function values(kind, { state, source, base, period }) {
  let isCounted = false; // users and percentiles, where there is room for them
  const content = await from(source.get(path(`${base}/${kind}s`, ofPeriod(period))), (found) => {
    const rows = found[`${kind}s`];
    isCounted = kind === "scene" && rows.some((row) => row.uniqueUsers !== null);
    return byValue(kind, rows, state, period.timezone, isCounted);
  });
  const words = kind === "scene" && !isCounted ? "Of this period; users and p95 are not counted in a file, nor of more than 92 days." : "Of this period.";
  return section(`${capital(kind)}s`, words, kind === "scene" ? orderPicker(state) : null, content);
}
