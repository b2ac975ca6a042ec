/**
 * All prompts together.
 */

import { series } from "dashboard/charts";
import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, against, bar, byValue, capital, certainty, columns, figures, from, named, note, orderPicker, periodWords, promptLink, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { bucketOf, buckets, elsewhere, ofPeriod, periodOf } from "dashboard/state";
import { bucketPicker, overTime } from "dashboard/toolbar";

const SHOWN = 5;
const ALERT_DAYS = 7; // in which alerts that are over are shown

/** @returns {Promise<import("dashboard/main").View>} */
export async function overview(state, source) {
  const period = periodOf(state, source);
  const choices = buckets(period, source);
  const bucket = bucketOf(state, choices, period);
  const toolbar = [overTime(state, source, period), bucketPicker(choices, bucket)];
  const heading = h("h1", { tabindex: "-1" }, "Overview");
  if (period.wrong) return { title: "Overview", toolbar, content: [heading, note(period.wrong)] };
  const found = await source.get(path("/overview", { ...ofPeriod(period), bucket }));
  const content = found.asOf === null ? [nothingYet()] : await everything(state, source, period, bucket, found);
  return { title: "Overview", toolbar, content: [heading, content], freshness: found };
}

function nothingYet() {
  return note("No stats yet. They appear once prompt_usage has events and a refresh has run: ", h("code", {}, "prompt-stats refresh"), ".");
}

async function everything(state, source, period, bucket, found) {
  const sections = await Promise.all([
    alerts(state, source, period),
    prompts(state, source, period),
    categories(state, source, period),
    values("scene", state, source, period),
    Promise.all([values("environment", state, source, period), values("outfit", state, source, period)]).then(columns),
  ]);
  const [raised, ...others] = sections;
  return [raised, totals(found), over(found, bucket, period), ...others];
}

async function alerts(state, source, period) {
  const content = await from(source.get(path("/alerts", { days: ALERT_DAYS })), ({ alerts: rows, evaluatedAt }) => {
    const looked = evaluatedAt ? `Looked at ${format.moment(evaluatedAt, period.timezone)}.` : "Never looked at: is the schedule running?";
    const raised = rows.filter((row) => row.recoveredAt === null).length;
    const words = h("p", { class: "words" }, `${raised ? `${format.counted(raised, "alert")} raised. ` : "Nothing is raised. "}${looked}`);
    return rows.length ? [words, alertTable(state, rows, period.timezone)] : words;
  });
  return section("Alerts", null, content);
}

/** What is raised, then what was; the state is a word, its colour only helps. */
function alertTable(state, rows, timezone) {
  const told = (row) => (row.silencedUntil && row.recoveredAt === null ? " (silenced)" : "");
  const what = (row) => (row.promptId === null ? row.text
    : h("a", { href: elsewhere(state, `/prompts/${encodeURIComponent(row.promptId)}`) }, row.text));
  return table("Alerts", [
    { title: "State", cell: (row) => h("span", { class: `state ${row.state.toLowerCase()}` }, row.recoveredAt ? "recovered" : row.state.replace("_", " ").toLowerCase(), told(row)) },
    { title: "What", header: true, cell: what },
    { title: "Raised", cell: (row) => format.moment(row.raisedAt, timezone) },
    { title: "Recovered", cell: (row) => format.moment(row.recoveredAt, timezone) },
  ], rows, { captionHidden: true });
}

function totals(found) {
  const { usageCount, successCount, failureCount } = found;
  const [lower, upper] = format.interval(successCount, usageCount) ?? [0, 0];
  const unknown = usageCount - successCount - failureCount;
  const than = against(found.compared, found.previous, found.difference);
  const words = than.words ? h("p", { class: "words" }, than.words) : null;
  return [words, figures([
    ["Uses", format.count(usageCount), than.uses],
    ["Success rate", format.percent(found.successRate), certainty(lower, upper, usageCount), than.rate],
    ["Failed", format.count(failureCount), than.failed, unknown ? `and ${format.count(unknown)} with unknown outcome` : null],
    ["Prompts used", format.count(found.promptCount), usageCount ? `${format.count(Math.round(usageCount / found.promptCount))} uses each, on average` : null],
  ])];
}

function over(found, bucket, period) {
  if (!found.usageCount) return section("Over time", null, note("No prompt was used in this period."));
  return section("Over time", periodWords(period), series("All prompts", found.series, bucket));
}

async function prompts(state, source, period) {
  const list = async (ranking, title, words) => {
    const content = await from(source.get(path(`/prompts/top/${ranking}`, { limit: SHOWN, ...ofPeriod(period) })), (answer) => promptList(state, title, answer.prompts));
    const all = h("a", { href: elsewhere(state, "/prompts", { ranking: ranking === "usage" ? null : ranking }) }, "All prompts");
    return section(title, [words, ". ", all], content);
  };
  return columns(await Promise.all([
    list("usage", "Most used", "What people use most"),
    list("failing", "Highest failure rate", "By the lower end of its 95 % interval; those better than the average are left out"),
  ]));
}

function promptList(state, title, rows) {
  if (!rows.length) return note("None in this period.");
  const largest = Math.max(...rows.map((row) => row.usageCount));
  return table(title, [
    { title: "Prompt", cell: (row) => promptLink(state, row) },
    { title: "Uses", number: true, cell: (row) => bar(row.usageCount, largest) },
    { title: RATE, number: true, cell: rate },
  ], rows, { captionHidden: true });
}

async function categories(state, source, period) {
  const content = await from(source.get(path("/categories", ofPeriod(period))), ({ categories: rows }) => {
    if (!rows.length) return note("No prompts yet.");
    const largest = Math.max(...rows.map((row) => row.usageCount));
    const link = (row) => (row.category === null ? named(null)
      : h("a", { href: elsewhere(state, "/prompts", { category: row.category }) }, format.valueName(row.category)));
    return table("By category", [
      { title: "Category", cell: link },
      { title: "Prompts", number: true, cell: (row) => format.count(row.promptCount) },
      { title: "Uses", number: true, cell: (row) => bar(row.usageCount, largest) },
      { title: RATE, number: true, cell: rate },
      { title: "Mean time", number: true, cell: (row) => format.duration(row.avgGenerationTimeMs) },
    ], rows, { captionHidden: true });
  });
  return section("Categories", "Of this period.", content);
}

async function values(kind, state, source, period) {
  const content = await from(source.get(path(`/${kind}s`, ofPeriod(period))), (found) => byValue(kind, found[`${kind}s`], state, period.timezone));
  const picker = kind === "scene" ? orderPicker(state) : null;
  return section(`${capital(kind)}s`, "Of this period, events without a prompt included.", picker, content);
}
