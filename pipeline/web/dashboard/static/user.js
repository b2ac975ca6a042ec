/**
 * What one user likes: favourites in their order, then what was used most.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, day, note, promptLink, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { timezoneOf } from "dashboard/state";

const SHOWN = 200;

/** @returns {Promise<import("dashboard/main").View>} */
export async function user(state, source) {
  const title = "A user's prompts";
  const heading = [h("h1", { tabindex: "-1" }, title), h("p", { class: "words" }, h("code", {}, state.key))];
  if (source.offline) return { title, content: [heading, note("This file holds nothing of single users; the dashboard that prompt-stats serve shows does.")] };
  const timezone = timezoneOf(state, source);
  const found = await source.get(path(`/users/${encodeURIComponent(state.key)}/prompts`, { limit: SHOWN }));
  const words = ["Of all time; favourites first, in the user's order. ",
    found.userStatsAsOf ? `Uses are counted as of ${format.moment(found.userStatsAsOf, timezone)}.` : "Uses of users were not counted yet."];
  const content = found.prompts.length ? rows(state, found.prompts, timezone) : note("This user has no favourite, and no use of a prompt is counted.");
  return { title, content: [heading, section("Prompts", words, content)], freshness: found };
}

function rows(state, prompts, timezone) {
  const largest = Math.max(...prompts.map((prompt) => prompt.usageCount));
  return table("The user's prompts", [
    { title: "Prompt", cell: (prompt) => [promptLink(state, prompt), h("small", {}, prompt.isFavorite ? "favourite" : format.valueName(prompt.category))] },
    { title: "Uses", number: true, cell: (prompt) => bar(prompt.usageCount, largest) },
    { title: RATE, number: true, cell: rate },
    { title: "Mean time", number: true, cell: (prompt) => format.duration(prompt.avgGenerationTimeMs) },
    { title: "Last used", cell: (prompt) => day(prompt.lastUsedAt, timezone) },
  ], prompts, { captionHidden: true });
}
