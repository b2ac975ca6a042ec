/**
 * What is shown is what the URL's hash says: #/prompts/ID?days=90&timezone=Europe/Berlin
 */

import { path } from "dashboard/source";

export const UTC = "UTC";
export const PERIODS = [7, 30, 90, 365];
export const OFFLINE_PERIODS = [7, 30, 90];
export const DEFAULT_DAYS = 30;
const DAY_MS = 86_400_000;
export const LAKE_MAX_DAYS = 92; // of hours and of days of another time zone than UTC, which the API counts from raw events
const PARTIALS_MAX_DAYS = 366; // of UTC
const HOURS_MAX_DAYS = 7;
const COMMON = ["days", "from", "to", "timezone"]; // what goes along from view to view

/**
 * @typedef {object} State
 * @property {"overview"|"ranking"|"prompt"|"compare"|"user"|"unknown"} view
 * @property {string} [key] A prompt's id, slug or name; a user's id.
 * @property {Object<string, string>} parameters
 */

/** @returns {State} */
export function read(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?", 2);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const prompt = path.match(/^\/prompts\/([^/]+)$/);
  if (prompt) return { view: "prompt", key: decoded(prompt[1]), parameters };
  const user = path.match(/^\/users\/([^/]+)$/);
  if (user) return { view: "user", key: decoded(user[1]), parameters };
  if (path === "/compare") return { view: "compare", parameters };
  if (path === "" || path === "/") return { view: "overview", parameters };
  if (path === "/prompts") return { view: "ranking", parameters };
  return { view: "unknown", parameters };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The hash of a view. Parameters that are null are left out. */
export const href = (base, parameters) => `#${path(base, parameters)}`;

/** The hash of another view for the same period and time zone. */
export function elsewhere(state, path, parameters = {}) {
  const common = Object.fromEntries(COMMON.map((name) => [name, state.parameters[name]]));
  return href(path, { ...common, ...parameters });
}

/** The hash of the same view with other parameters. */
export function changed(state, parameters) {
  const path = { overview: "/", ranking: "/prompts", compare: "/compare" }[state.view] ?? `/${state.view}s/${encodeURIComponent(state.key)}`;
  return href(path, { ...state.parameters, ...parameters });
}

/** The time zones that the browser knows, UTC first. */
export function timezones() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = Intl.supportedValuesOf?.("timeZone") ?? ["America/New_York", "Asia/Tokyo", "Europe/Berlin"];
  return [...new Set([UTC, own, ...known].filter(Boolean))];
}

/** The time zone asked for; UTC if the browser knows none of that name. */
export function timezoneOf(state, source) {
  const wanted = state.parameters.timezone ?? UTC;
  if (source.offline) return UTC;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: wanted }) && wanted;
  } catch {
    return UTC;
  }
}

/**
 * The period asked for: both ends, how many days, and in which time zone's days it can be counted.
 *
 * @returns {{from: string, to: string, days: number, custom: boolean, timezone: string, open: boolean, note: string|null, wrong: string|null}} `open`: the last day is not over.
 */
export function periodOf(state, source) {
  const wanted = timezoneOf(state, source);
  const today = source.offline ? source.today : todayIn(wanted);
  const found = source.offline ? lastDays(state, today, OFFLINE_PERIODS) : between(state, today);
  const open = found.to >= today;
  if (wanted !== UTC && found.days > LAKE_MAX_DAYS) {
    const note = `More than ${LAKE_MAX_DAYS} days are counted in days of UTC.`;
    return { ...found, open, timezone: UTC, note };
  }
  return { ...found, open, timezone: wanted, note: null };
}

function between(state, today) {
  const { from, to } = state.parameters;
  if (from === undefined && to === undefined) return lastDays(state, today, PERIODS);
  if (!isDay(from) || !isDay(to)) {
    return { ...lastDays({ parameters: {} }, today, PERIODS), wrong: "The address names no two days that there are: from and to are written YYYY-MM-DD. Choose a period above." };
  }
  const days = (Date.parse(to) - Date.parse(from)) / DAY_MS + 1;
  const wrong = days < 1 ? "The first day is after the last one." : null;
  return { from, to, days, custom: true, wrong };
}

function lastDays(state, today, allowed) {
  const wanted = Number(state.parameters.days ?? DEFAULT_DAYS);
  const isChoice = allowed.includes(wanted);
  // A link may be somebody's who asked the API; a file has its periods alone.
  const canBe = isChoice || (allowed === PERIODS && Number.isInteger(wanted) && wanted >= 1 && wanted <= PARTIALS_MAX_DAYS);
  const days = canBe ? wanted : DEFAULT_DAYS;
  const wrong = canBe ? null : `The address asks for ${state.parameters.days} days, which can't be had. Choose a period above.`;
  return { from: dayBefore(today, days - 1), to: today, days, custom: !isChoice, wrong };
}

/** Whether a text is a day that there is: Date.parse takes the 30th of February for the 2nd of March. */
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(Date.parse(text)) && dayBefore(text, 0) === text;

/** The day so many days before another. */
export function dayBefore(day, days) {
  return new Date(Date.parse(day) - days * DAY_MS).toISOString().slice(0, 10);
}

function todayIn(timezone) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: timezone }).format(new Date());
}

/** The period as the API's parameters have it. */
export const ofPeriod = ({ from, to, timezone }) => ({ from, to, timezone: timezone === UTC ? null : timezone });

/** The lengths that a series' bars may have, each with why it can't be chosen, or null. */
export function buckets(period, source, { hours = false } = {}) {
  const choices = [
    ["day", period.days > 1830 ? "too many" : null],
    ["week", period.days <= 7 ? "8 days or more" : null],
    ["month", period.days <= 31 ? "32 days or more" : null],
  ];
  if (!hours) return choices;
  const why = source.offline ? "not in this file"
    : period.days > HOURS_MAX_DAYS ? `${HOURS_MAX_DAYS} days at most`
    : period.timezone !== UTC ? "in UTC only" : null;
  return [["hour", why], ...choices];
}

/** The bucket asked for if it can be had, or one that fits the period. */
export function bucketOf(state, choices, period) {
  const possible = choices.filter(([, why]) => !why).map(([bucket]) => bucket);
  if (possible.includes(state.parameters.bucket)) return state.parameters.bucket;
  return period.days <= 120 ? "day" : period.days <= 800 ? "week" : "month";
}

/** The bucket of a heat map, with columns few enough to be read. */
export const heatBucket = ({ days }) => (days <= 14 ? "day" : days <= 120 ? "week" : "month");
