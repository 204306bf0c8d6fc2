// The patients: found by a vendor's id, paged, with names only where somebody asks for them.

import { call } from "/site/api.js";
import { el, panel, table } from "/site/dom.js";
import { dressPage, tellProblem } from "/site/shell.js";
import { ago, at, several } from "/site/words.js";

dressPage();
const main = document.getElementById("main");
const wanted = el("input", { id: "remote", type: "search", autocomplete: "off", placeholder: "a vendor's id of the patient" });
const names = el("input", { type: "checkbox", id: "names" });
const found = el("div", { "aria-live": "polite" });
const search = el(
  "form",
  { class: "row", role: "search" },
  el("label", { for: "remote" }, el("span", { class: "hidden-text" }, "Vendor's id"), wanted),
  el("button", { type: "submit", class: "primary" }, "Find"),
  el("label", { for: "names" }, names, "with names (each person shown is noted in the log of accesses)"),
);
main.append(el("div", { class: "heading" }, el("div", {}, el("h1", {}, "Patients"), el("p", { class: "soft" }, "Persons across all connections, as identity decided."))), search, found);

const SIZE = 50;

async function show(cursor = null) {
  const query = new URLSearchParams({ limit: SIZE });
  if (wanted.value.trim()) query.set("remoteId", wanted.value.trim());
  if (names.checked) query.set("names", "true");
  if (cursor) query.set("cursor", cursor);
  try {
    const told = await call("GET", `/api/patients?${query}`);
    const link = (one) => el("a", { href: `/dashboard/patients/${encodeURIComponent(one.patientKey)}` }, one.name ?? el("code", {}, one.patientKey.slice(0, 12)));
    const columns = [
      ["patient", link],
      ...(names.checked ? [["born", (one) => one.birthDate ?? "–"]] : []),
      ["known by", (one) => el("td", {}, el("ul", { class: "chips" }, ...one.ids.map((id) => el("li", { class: "chip" }, el("span", { class: "soft" }, id.connection), el("code", {}, id.remoteId)))))],
      ["records of the person", (one) => one.records.filter((record) => record.state === "active").length, "number"],
      ["last synced", (one) => el("time", { datetime: one.lastSyncedAt, title: at(one.lastSyncedAt) }, ago(one.lastSyncedAt))],
    ];
    const further = told.next ? el("button", { type: "button", on: { click: () => show(told.next) } }, "Further patients") : null;
    const nothing = wanted.value.trim() ? "No vendor knows a patient by this id." : "No patient is known yet: sync a connection first.";
    found.replaceChildren(panel("found", wanted.value.trim() ? "Found" : cursor ? "Further patients" : "All patients", several(told.items.length, "person", "persons"), table("Patients", columns, told.items, { nothing }), el("p", { class: "row" }, further)));
    main.dataset.ready = "yes";
  } catch (problem) {
    tellProblem(found, problem);
  }
}

search.addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
names.addEventListener("change", () => show());
show();
