// One conflict, unit by unit: what both sides agreed on last, what each holds now, and what is to be held.

import { call, callWithTag } from "/site/api.js";
import { el, panel, table } from "/site/dom.js";
import { dressPage, tellProblem } from "/site/shell.js";
import { at, plain } from "/site/words.js";

const roles = dressPage();
const main = document.getElementById("main");
const id = decodeURIComponent(location.pathname.split("/").pop());
const said = el("div", { role: "status" });
const place = el("div", { class: "stack" });
main.append(said, place);

const KIND = { CRITICAL: "bad", HIGH: "warn" };
const CLOSED = ["RESOLVED", "IGNORED"];
const isOpen = () => !CLOSED.includes(shown.status) && shown.rows.some((row) => row.number !== null);
let shown = null;
let tag = null;

const tell = (text) => said.replaceChildren(el("p", { class: "panel" }, text));

async function act(path, body, done, match = tag) {
  try {
    await call("POST", path, { body, match });
    tell(done);
  } catch (problem) {
    tellProblem(said, problem);
  }
  await show();
  said.scrollIntoView({ block: "nearest" });
}

function stands(one) {
  if (CLOSED.includes(one.status)) return `${plain(one.status)}${one.decidedBy ? ` by ${one.decidedBy}` : ""}${one.strategy ? `, ${plain(one.strategy)}` : ""}`;
  if (one.decision && one.twoPerson && !one.approvedBy) return `decided by ${one.decidedBy}; waits for a second person`;
  if (one.decision) return `decided by ${one.decidedBy}; applied with the next sync`;
  return one.twoPerson ? "waits for a decision, and for a second person to approve it" : "waits for a decision";
}

function cell(row, side) {
  return el("td", { class: `side${side !== "base" && row.shown[side] !== row.shown.base ? " differs" : ""}` }, row.shown[side] ?? "not there");
}

function units(choosing) {
  const columns = [
    ["what", (row) => el("th", { scope: "row" }, plain(row.element ?? row.unit), el("span", { class: "more soft" }, row.unit === row.element ? "" : ` ${row.unit}`))],
    ["agreed on last", (row) => cell(row, "base")],
    ["here", (row) => cell(row, "local")],
    [`at ${shown.connection}`, (row) => cell(row, "remote")],
    ["proposed", (row) => el("td", { class: "side" }, row.undecided ? "a person decides" : (row.shown.proposal ?? "not there"), row.why ? el("span", { class: "more" }, row.why) : null)],
    ...(choosing ? [["hold", (row) => choiceOf(row)]] : []),
  ];
  return table("Unit by unit", columns, shown.rows, { nothing: "No unit is in conflict." });
}

function choiceOf(row) {
  if (row.number === null) return "";
  const pick = (side, name) => el("label", {}, el("input", { type: "radio", name: `unit-${row.number}`, value: side, "data-unit": row.unit, checked: row.chosenSide === side }), name);
  return el("td", {}, el("fieldset", { class: "choice" }, el("legend", { class: "hidden-text" }, `hold of ${plain(row.element ?? row.unit)}`), pick("local", "ours"), pick("remote", "theirs")));
}

function decision() {
  const open = isOpen();
  const parts = [];
  if (open && roles.has("resolver")) {
    const reason = el("textarea", { id: "reason", rows: 2, required: true, maxlength: 2000 });
    const all = (side) => () => place.querySelectorAll(`input[type="radio"][value="${side}"]`).forEach((one) => (one.checked = true));
    const decide = (event) => {
      event.preventDefault();
      const chosen = [...place.querySelectorAll('input[type="radio"]:checked')];
      const wanted = shown.rows.filter((row) => row.number !== null);
      if (chosen.length < wanted.length) {
        tellProblem(said, { message: "Not every unit has a choice", remedy: "Choose ours or theirs for each; values of your own are entered in the review notebook." });
        said.scrollIntoView({ block: "nearest" });
        return;
      }
      const choices = Object.fromEntries(chosen.map((one) => [one.dataset.unit, { side: one.value }]));
      act("/api/sync/conflicts", { conflictId: id, strategy: "MANUAL", reason: reason.value, choices }, shown.twoPerson ? "Decided. A second person has to approve it." : "Decided. It is applied with the next sync, and written to the vendor then.");
    };
    parts.push(
      el(
        "form",
        { on: { submit: decide } },
        el("div", { class: "row" }, el("button", { type: "button", on: { click: all("local") } }, "Ours for all"), el("button", { type: "button", on: { click: all("remote") } }, "Theirs for all")),
        el("p", {}, el("label", { for: "reason" }, "Reason, for whoever asks later"), el("br"), reason),
        el("button", { type: "submit", class: "primary" }, shown.decision ? "Decide anew" : "Decide"),
      ),
    );
  }
  if (shown.decision && shown.twoPerson && !shown.approvedBy && roles.has("approver"))
    parts.push(el("p", {}, el("button", { type: "button", class: "primary", on: { click: () => act(`/api/sync/conflicts/${id}/approve`, { decision: shown.decision }, "Approved. It is applied with the next sync.") } }, `Approve what ${shown.decidedBy} decided`)));
  if (shown.decision && open && roles.has("resolver"))
    parts.push(el("p", {}, el("button", { type: "button", class: "danger", on: { click: () => act(`/api/sync/conflicts/${id}/withdraw`, { decision: shown.decision }, "Taken back: the conflict is open again.", null) } }, "Take the decision back")));
  if (!parts.length) parts.push(el("p", { class: "nothing" }, open ? "To decide, a token with the role resolver is needed." : "There is nothing left to decide. What was applied, `holovitals conflicts revert` undoes."));
  return panel("decision", "Decision", stands(shown), ...parts);
}

function draw() {
  const fact = (name, value) => el("div", { class: "card" }, el("span", { class: "name" }, name), el("span", {}, value));
  place.replaceChildren(
    el("div", { class: "heading" }, el("div", {}, el("h1", {}, `${shown.resourceType}: ${shown.elements.map(plain).join(", ") || plain(shown.type)}`), el("p", { class: "soft" }, "Conflict ", el("code", {}, id)))),
    el("div", { class: "cards" }, fact("Severity", el("span", { class: `tag ${KIND[shown.severity] ?? ""}` }, plain(shown.severity ?? "ungraded"))), fact("Kind", plain(shown.type)), fact("Found", at(shown.detectedAt)), fact("Changed here", `${shown.localBy ?? "nobody"}, ${at(shown.localUpdated)}`), fact("Changed there", `${shown.remoteBy}, ${at(shown.remoteUpdated)}`), fact("Rule", shown.rule ?? "none"), fact("Revision", String(shown.revision))),
    panel("units", "Unit by unit", "≠ marks what is another than what both sides agreed on", units(isOpen() && roles.has("resolver"))),
    decision(),
    panel("happened", "What happened", null, shown.history.length ? el("ol", { class: "history" }, ...shown.history.map((one) => el("li", {}, `${at(one.at)}: ${one.actor}, ${plain(one.action)}`, one.reason ? el("span", { class: "soft" }, ` “${one.reason}”`) : null))) : el("p", { class: "nothing" }, "Nothing yet.")),
  );
  main.dataset.ready = "yes";
}

async function show() {
  try {
    const answer = await callWithTag("GET", `/api/sync/conflicts/${encodeURIComponent(id)}`);
    [shown, tag] = [answer.told, answer.tag];
    draw();
  } catch (problem) {
    tellProblem(place, problem);
  }
}

document.addEventListener("roles-known", () => shown && draw());
show();
