// Drawings of numbers, each with its numbers as a table for whoever does not see it.

import { el, svg, table } from "/site/dom.js";
import { brief, count } from "/site/words.js";

const WIDTH = 640;
const HEIGHT = 190;
const LEFT = 44;
const BELOW = 24;

function nice(most) {
  const size = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= most) || 1;
}

/** A bar a day, of parts on top of one another. `parts`: [key, name, class]; `days`: objects with `label` and the keys. */
export function stackedDays(title, parts, days) {
  const sum = (one) => parts.reduce((total, [key]) => total + one[key], 0);
  const top = nice(Math.max(1, ...days.map(sum)));
  const wide = (WIDTH - LEFT) / days.length;
  const height = HEIGHT - BELOW - 8;
  const at = (value) => 8 + height - (value / top) * height;
  const drawn = [0, top / 2, top].flatMap((value) => [
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: at(value), y2: at(value) }),
    svg("text", { x: LEFT - 6, y: at(value) + 4, "text-anchor": "end" }, value % 1 ? "" : brief(value)),
  ]);
  const every = Math.ceil(days.length / 8);
  days.forEach((one, place) => {
    const left = LEFT + place * wide;
    let below = 0;
    for (const [key, name, kind] of parts) {
      if (!one[key]) continue;
      const tall = (one[key] / top) * height;
      drawn.push(svg("rect", { class: kind, x: left + wide * 0.15, width: wide * 0.7, y: at(below) - tall, height: tall, rx: 1.5 }, svg("title", {}, `${one.label}: ${count(one[key])} ${name}`)));
      below += one[key];
    }
    if ((days.length - 1 - place) % every === 0) drawn.push(svg("text", { x: left + wide / 2, y: HEIGHT - 6, "text-anchor": "middle" }, one.label));
  });
  const total = parts.map(([key, name]) => `${count(days.reduce((all, one) => all + one[key], 0))} ${name}`).join(", ");
  return [
    svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${total}` }, ...drawn),
    el("ul", { class: "legend", "aria-hidden": "true" }, ...parts.map(([, name, kind]) => el("li", {}, svg("svg", { viewBox: "0 0 8 8" }, svg("rect", { class: kind, width: 8, height: 8, rx: 2 })), name))),
    el("details", { "data-key": title }, el("summary", {}, "as a table"), table(title, [["day", (one) => one.label], ...parts.map(([key, name]) => [name, (one) => count(one[key]), "number"])], [...days].reverse())),
  ];
}

/** A ring that is full at 1. */
export function ring(share) {
  const around = 2 * Math.PI * 15;
  const kind = share === null ? "" : share >= 0.98 ? "" : share >= 0.9 ? " warn" : " bad";
  return svg(
    "svg",
    { viewBox: "0 0 40 40", "aria-hidden": "true" },
    svg("circle", { class: "ring-back", cx: 20, cy: 20, r: 15, fill: "none", "stroke-width": 6 }),
    share ? svg("circle", { class: `ring-front${kind}`, cx: 20, cy: 20, r: 15, fill: "none", "stroke-width": 6, "stroke-dasharray": `${share * around} ${around}`, transform: "rotate(-90 20 20)", "stroke-linecap": share < 1 ? "round" : "butt" }) : null,
  );
}
