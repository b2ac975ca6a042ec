/**
 * Values as people read them.
 */

export const NONE = "—";
const LANGUAGE = "en";
const Z = 1.959963984540054; // of a 95 % interval

const counts = new Intl.NumberFormat(LANGUAGE);
const short = new Intl.NumberFormat(LANGUAGE, { notation: "compact", maximumFractionDigits: 1 });

/** 12,345 */
export const count = (value) => (value === null || value === undefined ? NONE : counts.format(value));

/** 12.3K */
export const shortCount = (value) => short.format(value);

/** 93.5 % */
export const percent = (value) =>
  value === null || value === undefined ? NONE : `${value.toFixed(1)} %`;

/** Milliseconds as 5.12 s, 350 ms */
export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return NONE;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  return seconds < 100 ? `${seconds.toFixed(2)} s` : `${counts.format(Math.round(seconds))} s`;
}

/** Seconds as 12 s, 4 min, 3 h, 2 days */
export function age(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A moment's day as 23 Nov 2026 */
export function dayOf(text, timezone) {
  if (!text) return NONE;
  const form = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, day: "numeric", month: "short", year: "numeric" });
  return form.format(new Date(text));
}

/** A day as 23 Nov 2026 */
export const dateOf = (day) => dayOf(`${day}T00:00Z`, "UTC");

/** A moment's time as 03:29 UTC, or 04:29 Berlin */
export function timeOf(text, timezone) {
  if (!text) return null;
  const form = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hour: "2-digit", minute: "2-digit" });
  return `${form.format(new Date(text))} ${timezone.split("/").pop().replaceAll("_", " ")}`;
}

/** A moment as 23 Nov 2026, 03:29 UTC */
export const moment = (text, timezone) => (text ? `${dayOf(text, timezone)}, ${timeOf(text, timezone)}` : NONE);

/** The first day of a period, or its hour, as 23 Nov; a month as Nov 2026 */
export function periodName(period, bucket) {
  const date = new Date(period.length > 10 ? `${period}Z` : `${period}T00:00Z`);
  const forms = {
    hour: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
    day: { weekday: "short", day: "numeric", month: "short", year: "numeric" },
    week: { day: "numeric", month: "short", year: "numeric" },
    month: { month: "long", year: "numeric" },
  };
  const text = new Intl.DateTimeFormat("en-GB", { ...forms[bucket], timeZone: "UTC" }).format(date);
  return bucket === "week" ? `week of ${text}` : text;
}

/** 1 use, 2 uses */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** What a scene, environment, outfit or category is called; events without one are a group of their own. */
export function valueName(value) {
  if (value === null || value === undefined) return "none given";
  return value.trim() ? value : `“${value}” (blank)`;
}

/**
 * The 95 % Wilson interval of a rate, in percent; null of nothing.
 *
 * @returns {[number, number]|null}
 */
export function interval(successes, uses) {
  if (!uses) return null;
  const rate = successes / uses;
  const middle = rate + (Z * Z) / (2 * uses);
  const half = Z * Math.sqrt((rate * (1 - rate)) / uses + (Z * Z) / (4 * uses * uses));
  const whole = 1 + (Z * Z) / uses;
  return [Math.max(0, (middle - half) / whole) * 100, Math.min(1, (middle + half) / whole) * 100];
}

const tenths = new Intl.NumberFormat(LANGUAGE, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });

/** +1.3, -0.4, 0.0: percentage points */
export const signed = (value) => tenths.format(value);

/** How a count differs from the one before: text, and whether it is more (1), less (-1) or alike (0). */
export function change(now, before) {
  if (!before) return { text: now ? "none before" : "none before either", direction: 0 };
  const share = (now - before) / before;
  const text = Math.abs(share) >= 9.995 ? `${(now / before).toFixed(0)}-fold` : `${Math.abs(share * 100).toFixed(0)} %`;
  const direction = Math.sign(Math.round(share * 100));
  if (direction === 0) return { text: "unchanged", direction };
  return { text: `${direction > 0 ? "▲" : "▼"} ${text}`, direction };
}
