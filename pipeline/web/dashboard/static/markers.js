/**
 * What is marked in the series of a prompt: the changes that its author noted, and when its success rate changed.
 */

import { h } from "dashboard/dom";
import * as format from "dashboard/format";
import { elsewhere } from "dashboard/state";

/**
 * The marks of a period in order, each with its day and what is to be said of it.
 *
 * @param {object|null} changePoint The API's, of the series.
 * @param {Array<{day: string, note: string}>} markers
 * @returns {Array<{day: string, text: string, change: "fell"|"rose"|null}>}
 */
export function marksOf(changePoint, markers, { from, to }) {
  const noted = markers.filter(({ day }) => day >= from && day <= to).map(({ day, note }) => ({ day, text: note, change: null }));
  return [...noted, ...(changePoint ? [changeOf(changePoint)] : [])].sort((one, other) => one.day.localeCompare(other.day));
}

function changeOf(found) {
  const change = found.sinceSuccessRate < found.beforeSuccessRate ? "fell" : "rose";
  const [before, since] = ["before", "since"].map((side) => {
    const [lower, upper] = [found[`${side}SuccessRateLower`], found[`${side}SuccessRateUpper`]];
    return `${format.percent(found[`${side}SuccessRate`])} (${lower.toFixed(1)}–${upper.toFixed(1)})`;
  });
  return { day: found.day, text: `The success rate ${change} from ${before} to ${since}`, change };
}

/** The marks in words under the chart, by the numbers that they have there; each leads to what came of it. */
export function markList(marks, state, source, prompt) {
  if (!marks.length) return null;
  return h("ol", { class: "marks" }, marks.map(({ day, text, change }) => h("li", {},
    h("span", { class: "nowrap" }, format.dateOf(day)), ": ", h(change ? "strong" : "span", {}, text),
    source.offline ? null : [" · ", h("a", { href: elsewhere(state, "/compare", { ids: prompt.id, before: day }), "aria-label": `Before and after ${format.dateOf(day)}` }, "Before and after")])));
}
