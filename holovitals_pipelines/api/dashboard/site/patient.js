// One patient across all vendors: who says what, where it came from, what happened when, what contradicts.

import { call } from "/site/api.js";
import { el, panel, table } from "/site/dom.js";
import { dressPage, tellProblem } from "/site/shell.js";
import { ago, at, count, plain, several } from "/site/words.js";

const roles = dressPage();
const main = document.getElementById("main");
const key = decodeURIComponent(location.pathname.split("/").pop());
const place = el("div", {});
const said = el("div", { role: "status" });
main.append(said, place);

const KIND = { CRITICAL: "bad", HIGH: "warn" };
let vendors = [];
const vendor = (name) => el("span", { class: `of-${(vendors.indexOf(name) % 8) + 1}` }, name);

async function syncNow(id, button) {
  button.disabled = true;
  try {
    const job = await call("POST", "/api/sync/jobs", { body: { type: "PATIENT_SYNC", ehrConnectionId: id.connection, patientId: id.remoteId, priority: 2 } });
    said.replaceChildren(el("p", { class: "panel" }, `Job ${job.id.slice(0, 8)} ${job.joined ? "waits already" : "is in the queue"}: see the `, el("a", { href: "/dashboard#active" }, "dashboard"), "."));
  } catch (problem) {
    tellProblem(said, problem);
  }
  button.disabled = false;
}

function heading(told) {
  const { person } = told;
  const chip = (id) => {
    const button = el("button", { type: "button", "aria-label": `Sync now with ${id.connection}` }, "Sync now");
    button.addEventListener("click", () => syncNow(id, button));
    return el("li", { class: "chip" }, vendor(id.connection), el("code", {}, id.remoteId), roles.has("operator") ? button : null);
  };
  return el(
    "section",
    { "aria-label": "Who this is" },
    el("div", { class: "heading" }, el("div", {}, el("h1", {}, person.name ?? "A patient without a name"), el("p", { class: "soft" }, person.birthDate ? `born ${person.birthDate}; ` : "", "key ", el("code", {}, person.patientKey)))),
    el("ul", { class: "chips", "aria-label": "Ids at vendors" }, ...person.ids.map(chip)),
  );
}

function cards(told) {
  const open = told.conflicts.filter((one) => !one.decidedAt && one.chosen === null);
  const card = (name, value, more) => el("li", { class: "card" }, el("span", { class: "name" }, name), el("span", { class: "value" }, value), el("span", { class: "more" }, more));
  const differing = new Set(told.values.filter((one) => one.agreement === "differs").map((one) => one.element));
  return el(
    "ul",
    { class: "cards" },
    card("Records", count(told.eventCount), `of ${several(Object.keys(told.byType).length, "type")}`),
    card("Vendors", count(new Set(told.person.ids.map((one) => one.connection)).size), several(told.person.records.length, "Patient record")),
    card("Vendors disagree on", count(differing.size), [...differing].map(plain).join(", ") || "nothing"),
    card("Places in conflict", count(told.conflicts.length), open.length ? `${count(open.length)} without a decision` : "all decided"),
    card("Last synced", ago(told.person.lastSyncedAt), at(told.person.lastSyncedAt)),
  );
}

function sides(told) {
  const records = [...new Map(told.values.map((one) => [one.recordId, one.connection])).entries()];
  const rows = new Map();
  for (const one of told.values) rows.set(one.element, { ...rows.get(one.element), [one.recordId]: one });
  const cell = (one) => el("td", { class: one.agreement === "differs" ? "differs" : one.value === null ? "untold" : null, title: one.agreement }, one.value ?? "not told");
  return panel(
    "sides",
    "What each vendor says",
    "≠ marks what differs from what most say",
    table("What each vendor says", [["element", ([name]) => plain(name)], ...records.map(([id, connection]) => [connection, ([, held]) => cell(held[id])])], [...rows.entries()], { nothing: "No Patient record is held." }),
  );
}

const whoMade = (one) => `${one.actor}${one.by && one.by !== "vendor" ? ` (${one.by})` : ""}`;

function origins(told) {
  return panel(
    "origins",
    "Where each value came from",
    null,
    el(
      "details",
      {},
      el("summary", {}, several(told.origins.length, "value")),
      table("Where each value came from", [["element", (one) => plain(one.element)], ["record from", (one) => vendor(one.connection)], ["value", (one) => one.value], ["so since", (one) => at(one.since)], ["made so by", whoMade], ["because", (one) => (one.why ? `${one.why}${one.strategy ? ` (${plain(one.strategy)})` : ""}` : "–")], ["version", (one) => one.version, "number"]], told.origins),
    ),
  );
}

/** Events that several vendors tell in the same words, on the same day, as one: told by all of these. */
function together(events) {
  const found = new Map();
  for (const one of events) {
    const same = JSON.stringify([one.happened?.slice(0, 10), one.resourceType, one.what, one.status]);
    const known = found.get(same);
    if (!known) found.set(same, { ...one, connections: [one.connection] });
    else if (!known.connections.includes(one.connection)) known.connections.push(one.connection);
    else found.set(`${same} ${one.recordId}`, { ...one, connections: [one.connection] }); // the vendor itself tells it twice
  }
  return [...found.values()];
}

function timeline(told) {
  const list = el("ol", { class: "timeline" });
  const type = el("select", { id: "type" }, el("option", { value: "" }, "every type"), ...Object.entries(told.byType).map(([name, number]) => el("option", { value: name }, `${name} (${count(number)})`)));
  const from = el("select", { id: "from" }, el("option", { value: "" }, "every vendor"), ...vendors.map((name) => el("option", { value: name }, name)));
  const draw = () => {
    const years = new Map();
    for (const one of together(told.events)) {
      if ((type.value && one.resourceType !== type.value) || (from.value && !one.connections.includes(from.value))) continue;
      const year = one.happened ? one.happened.slice(0, 4) : "without a date";
      if (!years.has(year)) years.set(year, []);
      years.get(year).push(one);
    }
    const event = (one) =>
      el("li", { class: "event" }, el("time", { class: "soft", datetime: one.happened }, one.happened ? one.happened.slice(0, 10) : "–"), el("span", { class: "what" }, one.what, " ", one.status ? el("span", { class: "tag plain" }, one.status) : null), el("span", { class: "where" }, ...one.connections.flatMap((name, place) => [place ? " · " : "", vendor(name)]), el("span", { class: "soft" }, ` ${one.resourceType}`)));
    list.replaceChildren(...[...years].map(([year, events]) => el("li", {}, el("h3", {}, year), el("ol", {}, ...events.map(event)))));
    if (!years.size) list.replaceChildren(el("li", { class: "nothing" }, "Nothing of that kind."));
  };
  type.addEventListener("change", draw);
  from.addEventListener("change", draw);
  draw();
  const note = told.eventCount > told.events.length ? `the newest ${count(told.events.length)} of ${count(told.eventCount)}` : several(told.eventCount, "record");
  return panel("timeline", "Timeline across vendors", note, el("p", { class: "row" }, el("label", { for: "type" }, "Type ", type), el("label", { for: "from" }, "From ", from)), list);
}

const conflicts = (told) =>
  panel(
    "conflicts",
    "Conflicts",
    null,
    table(
      "Conflicts",
      [
        ["where", (one) => el("a", { href: `/dashboard/conflicts/${one.conflictId}` }, `${one.resourceType}: ${plain(one.element)}`)],
        ["severity", (one) => el("span", { class: `tag ${KIND[one.severity] ?? ""}` }, plain(one.severity ?? "ungraded"))],
        ["here", (one) => el("td", { class: "side" }, one.here ?? "not there")],
        ["at the vendor", (one) => el("td", { class: "side" }, vendor(one.connection), ": ", one.vendor ?? "not there")],
        ["decided", (one) => el("td", { class: "side" }, one.chosen ?? plain(one.status), one.decidedBy ? el("span", { class: "more" }, `by ${one.decidedBy}`) : null)],
      ],
      told.conflicts,
      { nothing: "Nothing of this patient was ever in conflict." },
    ),
  );

const history = (told) =>
  panel(
    "changes",
    "What changed, and why",
    told.changeCount > told.changes.length ? `the newest ${count(told.changes.length)} of ${count(told.changeCount)}` : several(told.changeCount, "change"),
    el("details", {}, el("summary", {}, "show"), table("What changed, and why", [["when", (one) => el("time", { datetime: one.at }, at(one.at))], ["record", (one) => one.resourceType], ["version", (one) => `${one.beforeVersion ?? 0} → ${one.afterVersion}`, "number"], ["by", whoMade], ["because", (one) => `${one.why}${one.strategy ? ` (${plain(one.strategy)})` : ""}`]], told.changes)),
  );

/** Pairs of which one side is this person: shown one by one, because each look opens a second chart. */
function maybeTheSame() {
  const records = new Set(newest.person.records.map((one) => one.recordId));
  const mine = pairs.filter((one) => one.recordIds.some((id) => records.has(id)));
  if (!mine.length) return null;
  return panel("same", "May be the same person as", "what is merely probable waits for a person; deciding it changes no record", ...mine.map((one) => proposal(one)));
}

function proposal(one) {
  const place = el("div", { class: "stack" });
  const compared = Object.entries(one.compared).map(([name, level]) => `${plain(name)} ${level}`).join(", ");
  const look = el("button", { type: "button" }, "Compare");
  look.addEventListener("click", async () => {
    try {
      const told = await call("GET", `/api/patients/proposals/${one.proposalId}`);
      place.replaceChildren(...compare(told, place));
    } catch (problem) {
      tellProblem(place, problem);
    }
  });
  return el("div", { class: "job" }, el("div", { class: "row" }, look, el("strong", {}, plain(one.grounds)), one.score === null ? null : el("span", { class: "tag" }, `probability ${one.score.toFixed(4)}`), el("span", { class: "soft" }, compared)), place);
}

function compare(told, place) {
  const records = told.persons.flatMap((person) => Object.entries(person.records).map(([id, elements]) => ({ id, elements, person })));
  const names = [...new Set(records.flatMap((record) => Object.keys(record.elements)))];
  const title = (record) => `${record.person.patientKey === key ? "this person" : "the other"}: ${Object.keys(record.person.ids).join(", ")}`;
  const shown = table("Both persons", [["element", (name) => plain(name)], ...records.map((record) => [title(record), (name) => el("td", { class: record.elements[name] ? "side" : "side untold" }, record.elements[name] ?? "not told")])], names);
  if (!roles.has("resolver")) return [shown, el("p", { class: "nothing" }, "To decide, a token with the role resolver is needed.")];
  const reason = el("textarea", { id: `reason-${told.proposalId}`, rows: 2, required: true, maxlength: 2000 });
  const decide = (verdict, words) =>
    el("button", {
      type: "button",
      class: verdict === "accept" ? "primary" : null,
      on: {
        click: async () => {
          if (!reason.reportValidity()) return;
          try {
            const answer = await call("POST", `/api/patients/proposals/${told.proposalId}/${verdict}`, { body: { revision: told.revision, reason: reason.value } });
            if (answer.patientKey && answer.patientKey !== key) location.assign(`/dashboard/patients/${answer.patientKey}`);
            else await show();
            said.replaceChildren(el("p", { class: "panel" }, verdict === "accept" ? "One person from now on." : "Two persons; it is not asked again."));
          } catch (problem) {
            tellProblem(said, problem);
          }
        },
      },
    }, words);
  return [shown, el("p", {}, el("label", { for: reason.id }, "Reason, for whoever asks later"), el("br"), reason), el("div", { class: "row" }, decide("accept", "One person"), decide("reject", "Two persons"))];
}

let newest = null;
let pairs = [];

function draw() {
  vendors = [...new Set([...newest.person.ids.map((one) => one.connection), ...newest.events.map((one) => one.connection)])].sort();
  place.replaceChildren(...[heading, cards, maybeTheSame, sides, conflicts, timeline, origins, history].map((part) => part(newest)).filter(Boolean));
  main.dataset.ready = "yes";
}

async function show() {
  try {
    newest = await call("GET", `/api/patients/${encodeURIComponent(key)}/chart`);
    pairs = (await call("GET", "/api/patients/proposals?limit=1000")).items;
    draw();
  } catch (problem) {
    tellProblem(place, problem);
  }
}

place.className = "stack";
document.addEventListener("roles-known", () => newest && draw());
show();
