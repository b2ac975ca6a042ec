/**
 * The page: reads the hash, shows the view that it names, and says how fresh the numbers are.
 *
 * @typedef {object} View
 * @property {string} title
 * @property {Node[]} toolbar
 * @property {Node[]} content
 * @property {{asOf: string|null, lagSeconds: number|null}} [freshness]
 */

import { draw } from "dashboard/charts";
import { compare } from "dashboard/compare";
import { byId, h } from "dashboard/dom";
import * as format from "dashboard/format";
import { overview } from "dashboard/overview";
import { note } from "dashboard/parts";
import { prompt } from "dashboard/prompt";
import { ranking } from "dashboard/ranking";
import { searchBox } from "dashboard/search";
import { sourceOf } from "dashboard/source";
import { elsewhere, read, timezoneOf } from "dashboard/state";
import { user } from "dashboard/user";

const LATE_SECONDS = 15 * 60;
const TICK_MS = 5_000;
const VIEWS = { overview, ranking, prompt, compare, user };
const NAVIGATION = [["/", "Overview", ["overview"]], ["/prompts", "Prompts", ["ranking", "prompt"]], ["/compare", "Compare", ["compare"]]];

const source = sourceOf(document);
let shown = null; // what the view last shown was of
let latest = 0; // the number of the last rendering; earlier ones that come late are dropped
let fresh = null; // as of when the numbers are, and when they came

/** Shows what the hash says. */
async function render() {
  const mine = ++latest;
  const state = read(location.hash);
  navigate(state);
  byId("content").setAttribute("aria-busy", "true");
  byId("status").textContent = "Loading …";
  const [view, status] = await Promise.all([viewOf(state), statusOf()]);
  if (mine !== latest) return;
  const place = `${state.view} ${state.key ?? ""}`;
  show(view, shown !== null && shown !== place);
  shown = place;
  if (view.freshness) fresh = { ...view.freshness, pendingDays: status?.pendingDays ?? [], damage: status?.damage ?? [], timezone: timezoneOf(state, source), at: Date.now() };
  sayFreshness();
}

async function viewOf(state) {
  try {
    if (state.view === "unknown") return message("There is no such page", "The address names no view of this page.");
    return await VIEWS[state.view](state, source);
  } catch (error) {
    return problem(error);
  }
}

const statusOf = () => source.get("/status").catch(() => null);

function show(view, isElsewhere) {
  const focused = document.activeElement?.id;
  document.title = `${view.title} · Prompt stats`;
  byId("toolbar").replaceChildren(...(view.toolbar ?? []).flat(Infinity).filter(Boolean));
  byId("content").replaceChildren(...view.content.flat(Infinity).filter(Boolean));
  byId("content").removeAttribute("aria-busy");
  byId("status").textContent = `${view.title} is shown`;
  draw(byId("content"));
  if (isElsewhere) {
    byId("content").querySelector("h1")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  } else if (focused) {
    byId(focused)?.focus({ preventScroll: true });
  }
}

function navigate(state) {
  byId("views").replaceChildren(...NAVIGATION.map(([path, name, views]) =>
    h("a", { href: elsewhere(state, path), "aria-current": views.includes(state.view) ? "page" : null }, name)));
}

/** @returns {View} */
function message(title, ...words) {
  return { title, content: [h("h1", { tabindex: "-1" }, title), note(words)] };
}

/** @returns {View} What went wrong, in plain words. */
function problem(error) {
  const all = h("a", { href: "#/prompts" }, "All prompts");
  if (error.status === 401) return tokenForm();
  if (error.status === 403) return source.token ? tokenForm("This token may not read stats.") : message("Not allowed", error.message);
  if (error.status === 404) return message("There is no such prompt", "It may have been removed, or the address is misspelt. ", all);
  if (error.status === -1) return message("Not in this file", `This file has pages of the ${source.pages.length} most used prompts, for the last 7, 30 and 90 days. `, error.message, " ", all);
  const again = h("button", { type: "button", click: render }, "Try again");
  if (error.status === 0 || error.status >= 500) return message("The stats can't be read now", error.message, " ", again);
  if (error.status) return message("That can't be shown", error.message);
  console.error(error);
  return message("Something went wrong", "The browser's console says more. ", again);
}

/** Asks for the token that the API wants. It is kept in this tab's session, and nowhere else. */
function tokenForm(why = source.token ? "This token is not known." : null) {
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-words" });
  const use = (event) => {
    event.preventDefault();
    source.token = field.value.trim();
    render();
  };
  const form = h("form", { class: "token", submit: use },
    why ? h("p", { class: "note", role: "alert" }, why) : null,
    h("p", { id: "token-words" }, "Who runs this server has given out tokens (PROMPT_STATS_API_TOKEN); one that may read is enough. It stays in this tab until you close it."),
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), field),
    h("button", {}, "Show the stats"));
  queueMicrotask(() => field.isConnected && field.focus());
  return { title: "A token is needed", content: [h("h1", { tabindex: "-1" }, "A token is needed"), form] };
}

function sayFreshness() {
  if (!fresh?.asOf) return;
  const since = source.offline ? (Date.now() - Date.parse(fresh.asOf)) / 1000 : fresh.lagSeconds + (Date.now() - fresh.at) / 1000;
  byId("freshness").replaceChildren(
    h("span", {}, `As of ${format.moment(fresh.asOf, fresh.timezone)}`), h("span", { class: "soft" }, `, ${format.age(since)} ago`));
  byId("notices").replaceChildren(...warnings(since));
}

function warnings(since) {
  const found = [];
  if (source.offline) found.push(h("p", { class: "notice" }, "This is a file: it shows the stats as they were when it was written, and does not change."));
  const lag = source.offline ? fresh.lagSeconds : since;
  if (lag > LATE_SECONDS) {
    found.push(h("p", { class: "notice warning" }, h("strong", {}, `These numbers ${source.offline ? "were" : "are"} ${format.age(lag)} behind. `),
      "They should follow every five minutes: is the schedule running?"));
  }
  if (fresh.pendingDays.length) {
    const days = fresh.pendingDays;
    found.push(h("p", { class: "notice warning" }, h("strong", {}, `${format.counted(days.length, "day")} could not be brought up to date: `),
      `${days.slice(0, 5).join(", ")}${days.length > 5 ? ", …" : ""}. ${days.length === 1 ? "Its" : "Their"} numbers are older than the others.`));
  }
  if (fresh.damage.length) {
    const said = fresh.damage.slice(0, 5).map(({ table, day, remedy }) => `${table} of ${day}: ${remedy}`);
    found.push(h("p", { class: "notice warning" }, h("strong", {}, `${format.counted(fresh.damage.length, "day")} of the lake can't be read. `),
      `${said.join("; ")}${fresh.damage.length > 5 ? "; …" : ""}.`));
  }
  return found;
}

/** The token can be forgotten before the tab is closed. */
function footer() {
  const forget = h("button", { type: "button", class: "plain", click: () => { source.token = null; render(); } }, "Forget the token");
  const api = h("a", { href: "openapi.json" }, "HTTP API");
  byId("footer").replaceChildren(h("p", {},
    "Rates are percent of all uses, with their 95 % interval and the number of uses (n). A use whose outcome is unknown is no success. ",
    source.offline ? null : [api, " "], source.token ? forget : null));
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view's
  byId("content").focus();
});
byId("toolbar").addEventListener("submit", (event) => event.preventDefault());
byId("search-place").replaceChildren(searchBox(source));
addEventListener("hashchange", () => render().then(footer));
setInterval(sayFreshness, TICK_MS);
render().then(footer);
