/**
 * Two to four prompts beside each other over the period, or one before and after: a day, or the period before.
 * The verdict is the API's.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, from, note, periodWords, promptLink, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { changed, ofPeriod, periodOf, timezoneOf } from "dashboard/state";
import { overTime, timezonePicker } from "dashboard/toolbar";

const MOST = 4;

/** @returns {Promise<import("dashboard/main").View>} */
export async function compare(state, source) {
  const title = "Compare prompts";
  const period = periodOf(state, source);
  const ids = [...new Set((state.parameters.ids ?? "").split(",").map((id) => id.trim()).filter(Boolean))];
  const before = ids.length === 1 ? state.parameters.before : undefined;
  const toolbar = before ? [timezonePicker(state, source)] : [overTime(state, source, period)];
  const page = (...content) => ({ title, toolbar, content: [h("h1", { tabindex: "-1" }, title), chooser(state, ids, before), content] });
  if (source.offline) return page(note("Comparing needs the API: this file does not hold it."));
  if (period.wrong && !before) return page(note(period.wrong));
  if (ids.length > MOST) return page(note(`At most ${MOST} prompts can be compared, and the address names ${ids.length}.`));
  if (!ids.length) return page(note("Name prompts above: the others are compared with the first, one alone with its own past."));
  const days = before ? { before, ...ofPeriod({ timezone: timezoneOf(state, source) }) } : ofPeriod(period);
  let found = null;
  // Given several times, each is one: an id may have a comma.
  const content = await from(source.get(path("/prompts/difference", { ids: [...ids, ""], ...days })), (answer) => {
    found = answer;
    return [verdicts(found), section("Beside each other", words(found, period), beside(state, found))];
  });
  return { ...page(content), freshness: found };
}

/** Of one prompt its own days are compared: each side says which. */
const isAlone = ({ prompts: [first, second] }) => first.promptId === second.promptId;

const words = (found, period) => (isAlone(found) ? `Whole days of ${found.timezone}, as many before as after. What else changed then changed too.` : periodWords(period));

/** The prompts by slug, id or name, and of one alone a day; what is not there is said by the API. */
function chooser(state, ids, before) {
  const names = ["First", "Second", "Third", "Fourth"];
  const fields = names.map((name, index) => h("div", { class: "field" },
    h("label", { for: `prompt-${index}` }, `${name} prompt${index ? " (optional)" : ""}`),
    h("input", { id: `prompt-${index}`, value: ids[index] ?? "", autocomplete: "off", placeholder: "slug, id or name" })));
  const show = (event) => {
    event.preventDefault();
    const chosen = fields.map((field) => field.querySelector("input").value.trim()).filter(Boolean);
    const day = chosen.length === 1 && date ? date.querySelector("input").value : null;
    location.hash = changed(state, { ids: chosen.join(",") || null, before: day || null });
  };
  const date = ids.length === 1 ? h("div", { class: "field" },
    h("label", { for: "before" }, "Before and since the day (optional)"),
    h("input", { id: "before", type: "date", value: before ?? "" })) : null;
  return h("form", { class: "chooser", submit: show, "aria-label": "Which prompts" }, fields, date, h("button", {}, "Compare"));
}

function verdicts({ differences }) {
  const sure = differences.length === 1 ? "95 % sure."
    : `95 % sure together: each of the ${differences.length} is ${differences[0].confidence.toFixed(1)} % sure.`;
  return section("Verdict", `Differences of success rates in percentage points, ${sure}`,
    h("ul", { class: "verdicts" }, differences.map((each) => h("li", {}, `${each.verdict[0].toUpperCase()}${each.verdict.slice(1)}.`))));
}

function beside(state, found) {
  const { prompts, differences } = found;
  const first = isAlone(found) ? "the days before" : "the first";
  const largest = Math.max(...prompts.map((prompt) => prompt.usageCount));
  const than = new Map(differences.map((each) => [each.label, each]));
  const points = ({ label }) => {
    const each = than.get(label);
    if (!each) return first;
    return each.points === null ? format.NONE
      : h("span", { class: "rate" }, h("span", {}, format.signed(each.points)), h("small", {}, `${format.signed(each.pointsLower)} to ${format.signed(each.pointsUpper)}`));
  };
  return table("Prompts beside each other", [
    { title: "Prompt", cell: (prompt) => [promptLink(state, prompt), isAlone(found) ? h("small", {}, `${prompt.from} to ${prompt.to}`) : null] },
    { title: RATE, number: true, cell: rate },
    { title: `Points above ${first}`, number: true, cell: points },
    { title: "Uses", number: true, cell: (prompt) => bar(prompt.usageCount, largest) },
    { title: "Failed", number: true, cell: (prompt) => format.count(prompt.failureCount) },
  ], prompts, { captionHidden: true });
}
