/**
 * Two to four prompts beside each other over the period, with the verdict of the API.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { RATE, bar, note, periodWords, promptLink, rate, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { UTC, changed, periodOf } from "dashboard/state";
import { overTime } from "dashboard/toolbar";

const MOST = 4;

/** @returns {Promise<import("dashboard/main").View>} */
export async function compare(state, source) {
  const title = "Compare prompts";
  const period = periodOf(state, source);
  const ids = [...new Set((state.parameters.ids ?? "").split(",").map((id) => id.trim()).filter(Boolean))];
  const toolbar = [overTime(state, source, period)];
  const page = (...content) => ({ title, toolbar, content: [h("h1", { tabindex: "-1" }, title), chooser(state, ids), content] });
  if (source.offline) return page(note("Comparing needs the API: this file does not hold it."));
  if (period.wrong) return page(note(period.wrong));
  if (ids.length < 2) return page(note("Name the prompts above: the others are compared with the first."));
  const timezone = period.timezone === UTC ? null : period.timezone;
  const found = await source.get(path("/prompts/difference", { ids: ids.slice(0, MOST), from: period.from, to: period.to, timezone }));
  return { ...page(verdicts(found), section("Beside each other", periodWords(period), beside(state, found))), freshness: found };
}

/** The prompts by slug, id or name; what is not there is said by the API. */
function chooser(state, ids) {
  const names = ["First", "Second", "Third", "Fourth"];
  const fields = names.map((name, index) => h("div", { class: "field" },
    h("label", { for: `prompt-${index}` }, `${name} prompt${index < 2 ? "" : " (optional)"}`),
    h("input", { id: `prompt-${index}`, value: ids[index] ?? "", autocomplete: "off", placeholder: "slug, id or name" })));
  const show = (event) => {
    event.preventDefault();
    const chosen = fields.map((field) => field.querySelector("input").value.trim()).filter(Boolean);
    location.hash = changed(state, { ids: chosen.join(",") || null });
  };
  return h("form", { class: "chooser", submit: show, "aria-label": "Which prompts" }, fields, h("button", {}, "Compare"));
}

function verdicts({ differences }) {
  const sure = differences.length === 1 ? "95 % sure."
    : `95 % sure together: each of the ${differences.length} is ${differences[0].confidence.toFixed(1)} % sure.`;
  return section("Verdict", `Differences of success rates in percentage points, ${sure}`,
    h("ul", { class: "verdicts" }, differences.map((each) => h("li", {}, `${each.verdict[0].toUpperCase()}${each.verdict.slice(1)}.`))));
}

function beside(state, { prompts, differences }) {
  const largest = Math.max(...prompts.map((prompt) => prompt.usageCount));
  const than = new Map(differences.map((each) => [each.label, each]));
  const signed = (value) => `${value > 0 ? "+" : ""}${value.toFixed(1)}`;
  const points = ({ label }) => {
    const each = than.get(label);
    if (!each) return "the first";
    return each.points === null ? format.NONE
      : h("span", { class: "rate" }, h("span", {}, signed(each.points)), h("small", {}, `${signed(each.pointsLower)} to ${signed(each.pointsUpper)}`));
  };
  return table("Prompts beside each other", [
    { title: "Prompt", cell: (prompt) => promptLink(state, prompt) },
    { title: RATE, number: true, cell: rate },
    { title: "Points above the first", number: true, cell: points },
    { title: "Uses", number: true, cell: (prompt) => bar(prompt.usageCount, largest) },
    { title: "Failed", number: true, cell: (prompt) => format.count(prompt.failureCount) },
  ], prompts, { captionHidden: true });
}
