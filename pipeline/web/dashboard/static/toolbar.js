/**
 * The pickers above a view. A choice changes the URL's hash, and that changes what is shown.
 */

import { h, select } from "dashboard/dom";
import { OFFLINE_PERIODS, PERIODS, UTC, changed, read, timezoneOf, timezones } from "dashboard/state";

const CUSTOM = "custom";

/** From where the page is now: another choice may have been made since the pickers were. */
const go = (parameters) => {
  location.hash = changed(read(location.hash), parameters);
};

/** Period and time zone: the pickers of views over time. */
export function overTime(state, source, period) {
  return [periodPicker(source, period), period.custom ? customDays(period) : null, timezonePicker(state, source)];
}

function periodPicker(source, period) {
  const lengths = source.offline ? OFFLINE_PERIODS : PERIODS;
  const options = lengths.map((days) => [String(days), days === 365 ? "Last year" : `Last ${days} days`]);
  if (!source.offline) options.push([CUSTOM, "From … to …"]);
  const change = (value) => go(value === CUSTOM
    ? { days: null, from: period.from, to: period.to }
    : { days: value, from: null, to: null });
  return select("period", "Period", options, period.custom ? CUSTOM : String(period.days), change);
}

function customDays(period) {
  const day = (id, label, name) => {
    const field = h("input", { id, type: "date", value: period[name], required: true, change: () => field.value && go({ [name]: field.value }) });
    return h("div", { class: "field" }, h("label", { for: id }, label), field);
  };
  return [day("from", "From", "from"), day("to", "To", "to")];
}

export function timezonePicker(state, source) {
  const chosen = timezoneOf(state, source);
  const known = timezones();
  const options = (known.includes(chosen) ? known : [chosen, ...known]).map((name) => [name, name.replaceAll("_", " ")]);
  const picker = select("timezone", "Time zone", source.offline ? [[UTC, UTC]] : options, chosen, (value) =>
    go({ timezone: value === UTC ? null : value }));
  if (source.offline) {
    const field = picker.querySelector("select");
    field.disabled = true;
    field.setAttribute("aria-describedby", "timezone-why");
    picker.append(h("small", { id: "timezone-why" }, "Other time zones need the API."));
  }
  return picker;
}

/** The length of a series' bars. */
export function bucketPicker(choices, chosen) {
  const names = { hour: "Hours", day: "Days", week: "Weeks", month: "Months" };
  const options = choices.map(([bucket, why]) => [bucket, names[bucket], why]);
  return select("bucket", "Bars", options, chosen, (value) => go({ bucket: value }));
}

/** A picker for a parameter of the hash; `none` is the value that leaves it out. */
export function parameterPicker(name, label, options, chosen, none) {
  return select(name, label, options, chosen, (value) => go({ [name]: value === none ? null : value }));
}
