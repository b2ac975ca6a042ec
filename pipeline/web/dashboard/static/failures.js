/**
 * Examples of what failed: the latest failed events of a prompt.
 */

import { h, table } from "dashboard/dom";
import * as format from "dashboard/format";
import { from, named, note, section } from "dashboard/parts";
import { path } from "dashboard/source";
import { LAKE_MAX_DAYS, changed, dayBefore, ofPeriod } from "dashboard/state";

const TITLE = "Latest failures";

/** A link to the examples of one kind of error. */
export const examplesOf = (kind, state) => h("a", { href: changed(state, { error: kind }) }, named(kind));

/** Nothing in a file: it may go to people who may not see events. */
export async function failures({ state, source, period, base, stats }) {
  if (source.offline || !stats.failureCount) return null;
  const kind = state.parameters.error ?? null;
  const isLong = period.days > LAKE_MAX_DAYS;
  const searched = isLong ? { ...period, from: dayBefore(period.to, LAKE_MAX_DAYS - 1) } : period;
  const words = [
    kind === null ? null : ["Of the kind ", h("span", { class: "message" }, named(kind)), ". ", h("a", { href: changed(state, { error: null }) }, "All kinds"), ". "],
    isLong ? `Of the last ${LAKE_MAX_DAYS} days of this period, ` : "Of this period, ", "20 at most.",
  ];
  const content = await from(source.get(path(`${base}/failures`, { ...ofPeriod(searched), errorKind: kind })), ({ failures: rows }) =>
    (rows.length ? examples(rows, period.timezone) : note("There are none.")));
  return section(TITLE, words, h("div", { class: "failures" }, content));
}

const examples = (rows, timezone) => table(TITLE, [
  { title: "When", cell: (row) => h("span", { class: "nowrap" }, format.moment(row.createdAt, timezone)) },
  { title: "Kind of error", cell: (row) => h("span", { class: "message" }, row.errorKind === null ? h("em", {}, "no message") : named(row.errorKind)) },
  { title: "Scene", cell: (row) => named(row.scene) },
  { title: "Environment", cell: (row) => named(row.environment) },
  { title: "Outfit", cell: (row) => named(row.outfit) },
  { title: "Time", number: true, cell: (row) => format.duration(row.generationTimeMs) },
  { title: "Event", cell: (row) => h("span", { class: "message" }, row.eventId) },
], rows, { captionHidden: true });
