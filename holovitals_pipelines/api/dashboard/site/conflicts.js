// The conflicts that wait for people, the worst first; no value of anybody is on this page.

import { call } from "/site/api.js";
import { el, panel, table } from "/site/dom.js";
import { dressPage, tellProblem } from "/site/shell.js";
import { ago, at, count, plain, several } from "/site/words.js";

dressPage();
const main = document.getElementById("main");
const found = el("div", { "aria-live": "polite" });
const choose = (id, name, options) => {
  const select = el("select", { id }, ...options.map(([value, label]) => el("option", { value }, label)));
  select.addEventListener("change", () => show());
  return [select, el("label", { for: id }, `${name} `, select)];
};
const [status, statusBox] = choose("status", "Show", [["", "open"], ["RESOLVED", "resolved"], ["postReview", "decided automatically, not looked at yet"]]);
const [severity, severityBox] = choose("severity", "Severity", [["", "every"], ...["CRITICAL", "HIGH", "MEDIUM", "LOW"].map((one) => [one, one.toLowerCase()])]);
main.append(
  el("div", { class: "heading" }, el("div", {}, el("h1", {}, "Conflicts"), el("p", { class: "soft" }, "Where both sides changed and no rule may decide. For many at once: the review notebook."))),
  el("p", { class: "row" }, statusBox, severityBox),
  found,
);
const KIND = { CRITICAL: "bad", HIGH: "warn" };

async function show(cursor = null) {
  const query = new URLSearchParams({ limit: 100 });
  if (status.value === "postReview") query.set("postReview", "true");
  else if (status.value) query.set("status", status.value);
  if (severity.value) query.set("severity", severity.value);
  if (cursor) query.set("cursor", cursor);
  try {
    const told = await call("GET", `/api/sync/conflicts?${query}`);
    const columns = [
      ["conflict", (one) => el("a", { href: `/dashboard/conflicts/${one.conflictId}` }, `${one.resourceType}: ${one.elements.map(plain).join(", ") || plain(one.type)}`)],
      ["severity", (one) => el("span", { class: `tag ${KIND[one.severity] ?? ""}` }, plain(one.severity ?? "ungraded"))],
      ["connection", (one) => one.connection],
      ["units", (one) => count(one.units), "number"],
      ["found", (one) => el("time", { datetime: one.detectedAt, title: at(one.detectedAt) }, ago(one.detectedAt))],
      ["due", (one) => (one.dueAt ? el("time", { datetime: one.dueAt, title: at(one.dueAt) }, ago(one.dueAt)) : "–")],
      ["stands", (one) => (one.decision ? (one.twoPerson && !one.approvedBy ? "waits for a second person" : "decided, applied with the next sync") : one.decidedBy ? `decided by ${one.decidedBy}` : "waits for a decision")],
    ];
    const further = told.next ? el("button", { type: "button", on: { click: () => show(told.next) } }, "Further conflicts") : null;
    found.replaceChildren(panel("found", status.selectedOptions[0].textContent, several(told.items.length, "conflict"), table("Conflicts", columns, told.items, { nothing: "None." }), el("p", { class: "row" }, further)));
    main.dataset.ready = "yes";
  } catch (problem) {
    tellProblem(found, problem);
  }
}

show();
