/**
 * Prompts in order, by what one asks for.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, day, from, note, periodWords, promptLink, rate, sparkline } from "dashboard/parts";
import { path } from "dashboard/source";
import { DEFAULT_DAYS, ofPeriod, periodOf } from "dashboard/state";
import { overTime, parameterPicker } from "dashboard/toolbar";

const SHOWN = 50;
const ALL = "all";
/** What each is called in the list, what it goes by, and its title where that is not the name and "prompts". */
const RANKINGS = {
  usage: ["Most used", "By the number of uses."],
  favored: ["Most favoured", "By how many users have the prompt as a favourite now."],
  best: ["Best", "By the success rate that a prompt surely has: the lower end of its 95 % interval, so that 3 of 3 does not beat 950 of 1,000."],
  failures: ["Most failures", "By the number of failures, of prompts that fail at least as often as the average: others may have more failures, and fail less often.", "Prompts with most failures"],
  failing: ["Highest failure rate", "By the lower end of the 95 % interval of the failure rate, of prompts that fail at least as often as the average.", "Prompts with the highest failure rate"],
  worse: ["Worse than average", "By how far the lower end of the failure rate's 95 % interval is above the average.", "Prompts worse than average"],
  slowest: ["Slowest", "By the mean generation time."],
  rising: ["Rising", "By how far the last 7 whole days (UTC) are above the 7 before, in standard deviations."],
  falling: ["Falling", "By how far the last 7 whole days (UTC) are below the 7 before, in standard deviations."],
};
const titleOf = (ranking) => RANKINGS[ranking][2] ?? `${RANKINGS[ranking][0]} prompts`;
/** What a ranking goes by, with its unit, where no other column shows it. */
const SCORES = {
  best: ["Success rate, at least", format.percent],
  failing: ["Failure rate, at least", format.percent],
  worse: ["Failure rate above the average, at least", (score) => `${score.toFixed(1)} points`],
  rising: ["Rise", (score) => `${score.toFixed(1)} standard deviations`],
  falling: ["Fall", (score) => `${score.toFixed(1)} standard deviations`],
};
const BY_PERIOD = ["usage", "best", "failures", "failing", "worse", "slowest"]; // and by scene; the others have a time of their own
const BAD = ["failures", "failing", "worse"];
const OFFLINE = "not in this file";

/** What the parameters of the hash ask for, as far as the API can answer it. */
function wanted({ parameters }) {
  const ranking = Object.hasOwn(RANKINGS, parameters.ranking) ? parameters.ranking : "usage";
  const scene = BY_PERIOD.includes(ranking) ? parameters.scene : undefined;
  return { ranking, scene, category: parameters.category };
}

/** @returns {Promise<import("dashboard/main").View>} */
export async function ranking(state, source) {
  const asked = wanted(state);
  const period = periodOf(filteredOffline(asked, source) ? { ...state, parameters: { days: String(DEFAULT_DAYS) } } : state, source);
  const [categories, scenes] = await Promise.all([source.get("/categories"), source.get("/scenes")]);
  const toolbar = [overTime(state, source, period), ...pickers(source, asked, categories.categories, scenes.scenes)];
  const [, words] = RANKINGS[asked.ranking];
  const title = titleOf(asked.ranking);
  const heading = h("h1", { tabindex: "-1" }, title);
  const { ranking: named } = state.parameters;
  const wrong = named === undefined || Object.hasOwn(RANKINGS, named) ? period.wrong : `There is no ranking ${named}. Choose one above.`;
  if (wrong) return { title, toolbar, freshness: categories, content: [heading, note(wrong)] };
  const { category, scene } = asked;
  const of = BY_PERIOD.includes(asked.ranking) ? ofPeriod(period) : {};
  let found = null;
  const content = await from(
    source.get(path(`/prompts/top/${asked.ranking}`, { limit: SHOWN, category, scene, ...of })),
    async (answer) => {
      found = answer;
      return answer.prompts.length ? rows(state, source, asked, period, answer.prompts) : none(asked);
    },
  );
  return {
    title,
    toolbar,
    freshness: found ?? categories,
    content: [heading, h("p", { class: "words" }, [words, average(asked, found), " ", covered(asked, period), offlineWords(asked, source)]), content],
  };
}

/** A file has the rankings of each period, and by category or scene those of one. */
const filteredOffline = ({ ranking: chosen, scene, category }, source) =>
  source.offline && BY_PERIOD.includes(chosen) && (scene !== undefined || category !== undefined);

function average({ ranking: chosen }, found) {
  if (!BAD.includes(chosen) || !found?.prompts.length) return null;
  return ` All active prompts together fail in ${format.percent(found.averageFailureRate)} of their uses.`;
}

function covered({ ranking: chosen, scene }, period) {
  if (!BY_PERIOD.includes(chosen)) return "It has no other period; counts, rates and times are of all time.";
  return [scene === undefined ? "" : `Uses in the scene ${format.valueName(scene)}, `, periodWords(period)];
}

function offlineWords(asked, source) {
  if (!source.offline) return null;
  const filtered = filteredOffline(asked, source) ? ` With a filter it has the last ${DEFAULT_DAYS} days only.` : "";
  return ` This file has pages of the ${source.pages.length} most used prompts.${filtered}`;
}

function none({ ranking: chosen, category, scene }) {
  if (category !== undefined || scene !== undefined) return note("No prompt fits these filters.");
  if (chosen === "favored") return note("No prompt is anybody's favourite yet.");
  if (chosen === "rising" || chosen === "falling") return note(`No prompt is ${chosen}.`);
  return note("No prompt was used yet.");
}

function pickers(source, { ranking: chosen, scene, category }, categories, scenes) {
  const whyNoScene = BY_PERIOD.includes(chosen) ? null : "not for this ranking";
  const names = categories.map((each) => each.category).filter((name) => name !== null);
  const places = scenes.map((each) => each.scene).filter((name) => name !== null);
  const offlineScene = source.offline && category !== undefined ? OFFLINE : null;
  const offlineCategory = source.offline && scene !== undefined ? OFFLINE : null;
  return [
    parameterPicker("ranking", "Ranking", Object.entries(RANKINGS).map(([name, [title]]) => [name, title]), chosen, "usage"),
    parameterPicker("category", "Category",
      [[ALL, "All categories"], ...names.map((name) => [name, format.valueName(name), offlineCategory])], category ?? ALL, ALL),
    parameterPicker("scene", "Scene",
      [[ALL, "All scenes"], ...places.map((name) => [name, format.valueName(name), whyNoScene ?? offlineScene])], scene ?? ALL, ALL),
  ];
}

async function rows(state, source, { ranking: chosen }, period, prompts) {
  // A file has the lines of the prompts that it has pages of.
  // Given several times, each is one: an id may have a comma.
  const ids = [...(source.offline ? source.pages : prompts.map((prompt) => prompt.promptId)), ""];
  const lines = await source.get(path("/prompts/sparklines", { ids, ...ofPeriod(period) })).catch(() => ({ prompts: [] }));
  const uses = new Map(lines.prompts.map((line) => [line.promptId, period.open ? line.usageCounts.slice(0, -1) : line.usageCounts]));
  const largest = Math.max(...prompts.map((prompt) => prompt.usageCount));
  const { timezone } = period;
  const columns = [
    { title: "Prompt", header: true, cell: (prompt) => [promptLink(state, prompt), h("small", {}, format.valueName(prompt.category))] },
    { title: "Uses", number: true, cell: (prompt) => bar(prompt.usageCount, largest) },
    { title: "Whole days of the period", cell: (prompt) => sparkline(uses.get(prompt.promptId)) },
    { title: RATE, number: true, cell: rate },
    { title: "Mean time", number: true, cell: (prompt) => format.duration(prompt.avgGenerationTimeMs) },
    { title: "Favourites", number: true, cell: (prompt) => format.count(prompt.favoriteCount) },
    { title: "Last used", cell: (prompt) => day(prompt.lastUsedAt, timezone) },
  ];
  const weeks = {
    title: "7 days before → last 7 whole days", number: true,
    cell: (prompt) => `${format.count(prompt.usageCountPrevious7d)} → ${format.count(prompt.usageCount7d)}`,
  };
  if (chosen === "rising" || chosen === "falling") columns.splice(2, 0, weeks);
  const failed = { title: "Failures", number: true, cell: (prompt) => format.count(prompt.failureCount) };
  if (BAD.includes(chosen)) columns.splice(1, 0, failed);
  if (Object.hasOwn(SCORES, chosen)) {
    const [title, cell] = SCORES[chosen];
    columns.splice(1, 0, { title, number: true, cell: (prompt) => cell(prompt.score) });
  }
  const place = { title: "#", number: true, cell: (prompt) => String(prompts.indexOf(prompt) + 1) };
  return h("div", { class: "card" }, table(titleOf(chosen), [place, ...columns], prompts, { captionHidden: true }));
}
