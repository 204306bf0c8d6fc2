// Elements made of data. Every text goes into the page as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, react] of Object.entries(value)) element.addEventListener(event, react);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: `on` are listeners by event, everything else is an attribute; children that are null are left out. */
export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** A table in a box that scrolls sideways. `columns`: [title, cell of a row, class]; the first names the row. */
export function table(caption, columns, rows, { hidden = true, nothing = "Nothing yet." } = {}) {
  if (!rows.length) return el("p", { class: "nothing" }, nothing);
  const head = columns.map(([title, , kind]) => el("th", { scope: "col", class: kind }, title));
  const line = (row) =>
    columns.map(([, cell, kind], place) => {
      const told = cell(row);
      const known = told instanceof HTMLTableCellElement ? told : null;
      return known ?? el(place ? "td" : "th", { class: kind, scope: place ? null : "row" }, told ?? "–");
    });
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", { class: hidden ? "hidden-text" : null }, caption),
      el("thead", {}, el("tr", {}, ...head)),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...line(row)))),
    ),
  );
}

/** A titled part of a page. */
export function panel(id, title, note, ...children) {
  return el(
    "section",
    { class: "panel", id, "aria-labelledby": `${id}-title` },
    el("header", {}, el("h2", { id: `${id}-title` }, title), note ? el("p", {}, note) : null),
    ...children,
  );
}

/** Put `make()` into `place` if `data` is not what it was; whoever has the focus in it keeps it. */
export function redraw(place, data, make) {
  const told = JSON.stringify(data);
  if (place.dataset.told === told) return;
  const focused = document.activeElement;
  const key = place.contains(focused) ? focused.dataset.key : null;
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  place.replaceChildren(...[make()].flat());
  place.dataset.told = told;
  for (const one of place.querySelectorAll("details")) if (open.has(one.dataset.key)) one.open = true;
  if (key) [...place.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key)?.focus();
}
