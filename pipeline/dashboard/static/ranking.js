/**
 * Prompts in order, by what one asks for.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, day, from, note, promptLink, rate, sparkline } from "dashboard/parts";
import { path } from "dashboard/source";
import { timezoneOf } from "dashboard/state";
import { parameterPicker } from "dashboard/toolbar";

const SHOWN = 50;
const FULL_DAYS = 30; // of a sparkline; the day of the last refresh is not over
const ALL = "all";
const RANKINGS = {
  usage: ["Most used", "By the number of uses."],
  favored: ["Most favoured", "By how many users have the prompt as a favourite."],
  best: ["Best", "By the success rate that a prompt surely has: the lower end of its 95 % interval, so that 3 of 3 does not beat 950 of 1,000."],
  failing: ["Failing most", "By the failure rate that a prompt surely has: the lower end of its 95 % interval."],
  slowest: ["Slowest", "By the mean generation time."],
  rising: ["Rising", "By how far the last 7 days are above the 7 before, in standard deviations."],
  falling: ["Falling", "By how far the last 7 days are below the 7 before, in standard deviations."],
};
const BY_DAYS = ["usage", "best", "failing"];
const BY_SCENE = [...BY_DAYS, "slowest"];
const PERIODS = [7, 30, 90, 365];
const OFFLINE = "not in this file";

/** What the parameters of the hash ask for, as far as the API can answer it. */
function wanted({ parameters }) {
  const ranking = Object.hasOwn(RANKINGS, parameters.ranking) ? parameters.ranking : "usage";
  const scene = BY_SCENE.includes(ranking) ? parameters.scene : undefined;
  const over = Number(parameters.over);
  const days = BY_DAYS.includes(ranking) && scene === undefined && PERIODS.includes(over) ? over : undefined;
  return { ranking, scene, days, category: parameters.category };
}

/** @returns {Promise<import("dashboard/main").View>} */
export async function ranking(state, source) {
  const asked = wanted(state);
  const [categories, scenes] = await Promise.all([source.get("/categories"), source.get("/scenes")]);
  const toolbar = pickers(source, asked, categories.categories, scenes.scenes);
  const [title, words] = RANKINGS[asked.ranking];
  const { category, scene, days } = asked;
  let found = null;
  const content = await from(
    source.get(path(`/prompts/top/${asked.ranking}`, { limit: SHOWN, category, scene, days })),
    async (answer) => {
      found = answer;
      return answer.prompts.length ? rows(state, source, asked, answer.prompts) : none(asked);
    },
  );
  return {
    title: `${title} prompts`,
    toolbar,
    freshness: found ?? categories,
    content: [h("h1", { tabindex: "-1" }, `${title} prompts`), h("p", { class: "words" }, [words, " ", covered(asked), offlineWords(source)]), content],
  };
}

function covered({ ranking: chosen, scene, days }) {
  if (scene !== undefined) return `Uses in the scene ${format.valueName(scene)}, all time.`;
  if (days) return `Of the last ${days} days (UTC).`;
  return ["rising", "falling"].includes(chosen) ? "Counts are of all time." : "Of all time.";
}

function offlineWords(source) {
  return source.offline ? ` This file has pages of the ${source.pages.length} most used prompts.` : null;
}

function none({ ranking: chosen, category, scene }) {
  if (category !== undefined || scene !== undefined) return note("No prompt fits these filters.");
  if (chosen === "favored") return note("No prompt is anybody's favourite yet.");
  if (chosen === "rising" || chosen === "falling") return note(`No prompt is ${chosen}.`);
  return note("No prompt was used yet.");
}

function pickers(source, { ranking: chosen, scene, days, category }, categories, scenes) {
  const whyNoScene = BY_SCENE.includes(chosen) ? null : "not for this ranking";
  const whyNoDays = !BY_DAYS.includes(chosen) ? "not for this ranking" : scene !== undefined ? "not by scene" : null;
  const names = categories.map((each) => each.category).filter((name) => name !== null);
  const places = scenes.map((each) => each.scene).filter((name) => name !== null);
  const offlineDays = (number) => (source.offline && (number > 90 || category !== undefined) ? OFFLINE : null);
  const offlineScene = source.offline && category !== undefined ? OFFLINE : null;
  const offlineCategory = source.offline && (scene !== undefined || days) ? OFFLINE : null;
  return [
    parameterPicker("ranking", "Ranking", Object.entries(RANKINGS).map(([name, [title]]) => [name, title]), chosen, "usage"),
    parameterPicker("category", "Category",
      [[ALL, "All categories"], ...names.map((name) => [name, format.valueName(name), offlineCategory])], category ?? ALL, ALL),
    parameterPicker("scene", "Scene",
      [[ALL, "All scenes"], ...places.map((name) => [name, format.valueName(name), whyNoScene ?? offlineScene])], scene ?? ALL, ALL),
    parameterPicker("over", "Counted over",
      [[ALL, "All time"], ...PERIODS.map((number) => [String(number), number === 365 ? "Last year" : `Last ${number} days`, whyNoDays ?? offlineDays(number)])],
      days ? String(days) : ALL, ALL),
  ];
}

async function rows(state, source, { ranking: chosen, days }, prompts) {
  // A file has the lines of the prompts that it has pages of.
  // Given several times, each is one: an id may have a comma.
  const ids = [...(source.offline ? source.pages : prompts.map((prompt) => prompt.promptId)), ""];
  const lines = await source.get(path("/prompts/sparklines", { ids, days: FULL_DAYS + 1 })).catch(() => ({ prompts: [] }));
  const uses = new Map(lines.prompts.map((line) => [line.promptId, line.usageCounts.slice(0, FULL_DAYS)]));
  const largest = Math.max(...prompts.map((prompt) => prompt.usageCount));
  const timezone = timezoneOf(state, source);
  const columns = [
    { title: "Prompt", header: true, cell: (prompt) => [promptLink(state, prompt), h("small", {}, format.valueName(prompt.category))] },
    { title: "Uses", number: true, cell: (prompt) => bar(prompt.usageCount, largest) },
    { title: `${FULL_DAYS} days to yesterday`, cell: (prompt) => sparkline(uses.get(prompt.promptId)) },
    { title: RATE, number: true, cell: rate },
    // Times are kept by prompt and by scene, not by day.
    ...(days ? [] : [{ title: "Mean time", number: true, cell: (prompt) => format.duration(prompt.avgGenerationTimeMs) }]),
    { title: "Favourites", number: true, cell: (prompt) => format.count(prompt.favoriteCount) },
    { title: "Last used", cell: (prompt) => day(prompt.lastUsedAt, timezone) },
  ];
  const weeks = {
    title: "7 days before → last 7 days", number: true,
    cell: (prompt) => `${format.count(prompt.usageCountPrevious7d)} → ${format.count(prompt.usageCount7d)}`,
  };
  if (chosen === "rising" || chosen === "falling") columns.splice(2, 0, weeks);
  const place = { title: "#", number: true, cell: (prompt) => String(prompts.indexOf(prompt) + 1) };
  return h("div", { class: "card" }, table(`${RANKINGS[chosen][0]} prompts`, [place, ...columns], prompts, { captionHidden: true }));
}
