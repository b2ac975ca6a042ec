/**
 * Elements. What comes from the data becomes text nodes and attributes, never HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. A function is a listener; null, undefined and false leave an attribute out.
 *
 * @param {string} tag
 * @param {Object<string, unknown>} attributes
 * @param {...(Node|string|number|null|Array)} children
 */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element by its id, which is there. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * A table that scrolls by itself where it is too wide; on a small screen each row is a card, by the style sheet.
 * The roles are those that its elements have anyway: a browser takes them from what is laid out otherwise.
 *
 * @param {string} caption
 * @param {Array<{title: string, number?: boolean, header?: boolean, cell: (row: object) => Node|string}>} columns
 *   The one with `header`, or else the first, names the rows.
 * @param {object[]} rows
 * @param {{captionHidden?: boolean}} options
 */
export function table(caption, columns, rows, { captionHidden = false } = {}) {
  const named = Math.max(0, columns.findIndex((column) => column.header));
  const cellOf = (row) => (column, index) => {
    const attributes = { class: column.number ? "number" : null, "data-title": column.title };
    return index === named
      ? h("th", { ...attributes, scope: "row", role: "rowheader" }, column.cell(row))
      : h("td", { ...attributes, role: "cell" }, column.cell(row));
  };
  const head = columns.map((column) =>
    h("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.title));
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    h("table", { role: "table" },
      h("caption", { class: captionHidden ? "visually-hidden" : null }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, columns.map(cellOf(row)))))));
}

/** A labelled select. `options`: [value, text, why it can't be chosen]. */
export function select(id, label, options, chosen, change) {
  const entries = options.map(([value, text, why]) =>
    h("option", { value, selected: value === chosen, disabled: Boolean(why), title: why || null },
      why ? `${text} (${why})` : text));
  const field = h("select", { id, change: () => change(field.value) }, entries);
  return h("div", { class: "field" }, h("label", { for: id }, label), field);
}
