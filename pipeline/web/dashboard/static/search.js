/**
 * The search box in the header: prompts by name, slug, id or tag. Enter goes to the first that is found.
 */

import { h } from "dashboard/dom";
import * as format from "dashboard/format";
import { path } from "dashboard/source";
import { elsewhere, read } from "dashboard/state";

const SHOWN = 8;
const LOOKED_AT = 200;
const PAUSE_MS = 200;

/** The form; `source` answers. A file has its pages alone. */
export function searchBox(source) {
  const found = h("ul", { id: "found", "aria-label": "Prompts that are found" });
  const said = h("p", { class: "visually-hidden", role: "status" });
  let timer = null;
  let latest = 0; // answers to what was typed before are dropped
  const clear = () => {
    latest += 1;
    found.replaceChildren();
  };
  const look = async () => {
    const text = field.value.trim();
    if (!text) return clear();
    const mine = ++latest;
    const prompts = await matches(source, text).catch((error) => error);
    if (mine !== latest) return;
    if (!Array.isArray(prompts)) said.textContent = prompts.message;
    else said.textContent = format.counted(prompts.length, "prompt");
    found.replaceChildren(...(Array.isArray(prompts) && prompts.length ? prompts.map(entry) : [h("li", { class: "soft" }, Array.isArray(prompts) ? "No prompt is called that." : prompts.message)]));
  };
  const entry = (prompt) => h("li", {},
    h("a", { href: elsewhere(read(location.hash), `/prompts/${encodeURIComponent(prompt.id)}`), click: leave },
      format.valueName(prompt.name), h("small", {}, prompt.slug ?? prompt.id)));
  const leave = () => {
    field.value = "";
    clear();
  };
  const field = h("input", {
    id: "search", type: "search", placeholder: "Find a prompt", "aria-label": "Find a prompt by name, slug, id or tag", autocomplete: "off",
    input: () => {
      clearTimeout(timer);
      timer = setTimeout(look, PAUSE_MS);
    },
    keydown: (event) => event.key === "Escape" && leave(),
  });
  const first = async (event) => {
    event.preventDefault();
    clearTimeout(timer);
    await look();
    found.querySelector("a")?.click();
  };
  addEventListener("hashchange", leave);
  return h("form", { class: "search", role: "search", submit: first }, field, found, said);
}

/** The prompts that are called so: active ones first, the most used first. The API looks into templates, too. */
async function matches(source, text) {
  const wanted = text.toLowerCase();
  const is = (each) => typeof each === "string" && each.toLowerCase().includes(wanted);
  const prompts = source.offline ? held(source) : (await Promise.all([true, false].map((active) =>
    source.get(path("/prompts", { search: text, active, limit: LOOKED_AT }))))).flatMap((answer) => answer.prompts);
  return prompts.filter(({ id, name, slug, tags }) => [id, name, slug, tags ?? []].flat().some(is)).slice(0, SHOWN);
}

const held = (source) => source.pages.map((id) => source.answers[`/prompts/${encodeURIComponent(id)}`].prompt);
