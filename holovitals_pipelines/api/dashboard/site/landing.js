// The front door: what this is, how it stands, and the ways in.

import { el, svg } from "/site/dom.js";
import { dressPage } from "/site/shell.js";

dressPage();
const main = document.getElementById("main");
const VENDORS = ["Epic", "Oracle Health", "MEDITECH", "Veradigm", "NextGen", "athenahealth", "eClinicalWorks", "FHIR R4"];
const DOORS = [
  ["/dashboard", "Sync dashboard", "Success rate, jobs at work, queue, providers compared, errors; refreshes by itself."],
  ["/dashboard/patients", "Patients", "One patient across vendors: who says what, where it came from, what happened when."],
  ["/dashboard/conflicts", "Conflicts", "What contradicts, side by side, with a decision that can be taken back."],
  ["/quality", "Data quality", "Every claim about the data with its newest outcome, and what holds a write back."],
  ["/docs", "HTTP API", "Every call with its roles, fields and examples, to be tried from the page."],
];

function drawing() {
  const [wide, tall] = [520, 360];
  const middle = [wide / 2, tall / 2];
  const spots = VENDORS.map((name, place) => {
    const angle = (place / VENDORS.length) * 2 * Math.PI - Math.PI / 2;
    return [name, middle[0] + 195 * Math.cos(angle), middle[1] + 140 * Math.sin(angle)];
  });
  return svg(
    "svg",
    { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": `One local store in agreement with ${VENDORS.join(", ")}` },
    ...spots.map(([, x, y]) => svg("line", { class: "line", x1: middle[0], y1: middle[1], x2: x, y2: y, "stroke-width": 2, "stroke-dasharray": "1 6", "stroke-linecap": "round" })),
    ...spots.flatMap(([name, x, y]) => [svg("rect", { class: "vendor", x: x - 58, y: y - 17, width: 116, height: 34, rx: 17 }), svg("text", { class: "vendor-name", x, y: y + 4, "text-anchor": "middle" }, name)]),
    svg("circle", { class: "store", cx: middle[0], cy: middle[1], r: 54 }),
    svg("text", { class: "store-name", x: middle[0], y: middle[1] - 3, "text-anchor": "middle" }, "one local"),
    svg("text", { class: "store-name", x: middle[0], y: middle[1] + 15, "text-anchor": "middle" }, "record"),
  );
}

const health = el("p", { role: "status" });
main.append(
  el("section", { class: "hero" }, el("div", {}, el("h1", {}, "Clinical records in agreement, across EHR vendors"), el("p", {}, "HoloVitals keeps a local clinical store in two-way sync with seven vendors and any FHIR R4 server. Nothing is lost, nothing is silently overwritten, and every decision can be explained and reversed."), el("p", {}, el("a", { class: "button primary", href: "/dashboard" }, "Open the dashboard")), health), drawing()),
  el("ul", { class: "doors" }, ...DOORS.map(([href, name, about]) => el("li", {}, el("a", { class: "card", href }, el("strong", {}, name), el("span", { class: "soft" }, about))))),
);

try {
  const answer = await fetch("/readyz", { cache: "no-store" });
  const told = await answer.json();
  const wrong = told.checks.filter((one) => !one.ok);
  health.append(el("span", { class: `tag ${told.ready ? "good" : "bad"}` }, told.ready ? "ready" : "not ready"), " ", told.ready ? "Everything that is needed is there." : wrong.map((one) => `${one.name}: ${one.message}`).join("; "));
} catch {
  health.append(el("span", { class: "tag bad" }, "not ready"), " The server cannot be reached.");
}
main.dataset.ready = "yes";
