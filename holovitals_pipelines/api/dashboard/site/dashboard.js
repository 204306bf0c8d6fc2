// The sync dashboard: one call every few seconds, and only what has changed is drawn anew.

import { call, callWithTag } from "/site/api.js";
import { ring, stackedDays } from "/site/charts.js";
import { el, panel, redraw, table } from "/site/dom.js";
import { dressPage, tellProblem } from "/site/shell.js";
import { ago, at, brief, bytes, count, lasting, onDay, percent, plain, several } from "/site/words.js";

const EVERY = 5000;
const STAGES = ["extract", "transform", "reconcile", "write_back"];
const KIND = { COMPLETED: "good", FAILED: "bad", CANCELLED: "plain", RETRYING: "warn", CRITICAL: "bad", HIGH: "warn", ERROR: "bad", FATAL: "bad", WARNING: "warn" };

const roles = dressPage();
const main = document.getElementById("main");
const asOf = el("p", { class: "soft" });
const trouble = el("div", {});
const period = el("select", { id: "days", "data-key": "days" }, ...[7, 14, 30, 90].map((days) => el("option", { value: days, selected: days === 14 }, `${days} days`)));
const live = el("button", { type: "button", "aria-pressed": "true", "data-key": "live" }, "Live");
const places = Object.fromEntries(["cards", "trend", "connections", "active", "queue", "conflicts", "ended", "errors"].map((name) => [name, el("div", {})]));

main.append(
  el("div", { class: "heading" }, el("div", {}, el("h1", {}, "Sync dashboard"), asOf), el("div", { class: "end" }, el("label", { for: "days" }, "Period ", period), live)),
  trouble,
  places.cards,
  places.trend,
  el("div", { class: "two" }, places.active, places.conflicts),
  places.connections,
  places.queue,
  places.ended,
  places.errors,
);

const tag = (word, kind = KIND[word]) => el("span", { class: `tag ${kind ?? ""}` }, plain(word));
const time = (text) => el("time", { datetime: text, title: at(text) }, ago(text));
const short = (id) => el("code", { title: id }, id.slice(0, 8));
const total = (counts) => Object.values(counts).reduce((sum, one) => sum + one, 0);

function card(name, value, more, { href, kind, drawing } = {}) {
  return el(
    "li",
    { class: `card${drawing ? " ring" : ""}` },
    el("span", { class: "name" }, href ? el("a", { href }, name) : name),
    el("span", { class: "value" }, value),
    drawing ?? null,
    el("span", { class: "more" }, kind ? el("span", { class: `tag ${kind}` }, more) : more),
  );
}

function cards(told) {
  const { statistics: all, openConflicts, queue, webhooks } = told;
  const waiting = queue.PENDING + queue.QUEUED + queue.RETRYING;
  const conflicts = total(openConflicts);
  const worst = ["CRITICAL", "HIGH", "MEDIUM", "LOW"].find((one) => openConflicts[one]);
  const events = total(webhooks);
  return el(
    "ul",
    { class: "cards eight" },
    card("Success rate", percent(all.successRate), `${several(all.completedJobs, "job")} completed, ${count(all.failedJobs)} failed`, { drawing: ring(all.successRate) }),
    card("Records in agreement", brief(told.connections.reduce((sum, one) => sum + one.linkedRecords, 0)), `with ${several(told.connections.length, "connection")}`),
    card("Patients", brief(told.persons), "across all connections", { href: "/dashboard/patients" }),
    card("Open conflicts", count(conflicts), worst ? `${count(openConflicts[worst])} ${plain(worst)}` : "nothing waits for a decision", { href: "/dashboard/conflicts", kind: worst && KIND[worst] }),
    card("Jobs", count(queue.PROCESSING), waiting ? `at work; ${count(waiting)} wait, the first for ${lasting(told.queueOldestSeconds)}` : "at work; none waits"),
    card("Records processed", brief(all.recordsProcessed), `${bytes(all.bytesTransferred)} received`),
    card("Webhook events", brief(events), `in 24 hours${webhooks.FAILED ? `; ${count(webhooks.FAILED)} failed` : ""}`, { kind: webhooks.FAILED ? "bad" : undefined }),
    card("Held back", count(told.quarantined), `refused and kept; ${several(told.waitingWrites, "write")} under way`),
  );
}

function daysOf(told, days) {
  const found = new Map();
  for (const one of told.statistics.byDay) {
    const sums = found.get(one.day) ?? { completed: 0, failed: 0, cancelled: 0, created: 0, updated: 0, written: 0, conflicts: 0 };
    sums.completed += one.completedJobs;
    sums.failed += one.failedJobs;
    sums.cancelled += one.cancelledJobs;
    sums.created += one.recordsCreated;
    sums.updated += one.recordsUpdated;
    sums.written += one.recordsWritten;
    sums.conflicts += one.conflictsFound;
    found.set(one.day, sums);
  }
  const begin = Date.parse(`${told.since}T00:00:00Z`);
  return Array.from({ length: days }, (_, place) => {
    const day = new Date(begin + place * 86400000).toISOString().slice(0, 10);
    return { label: onDay(day), completed: 0, failed: 0, cancelled: 0, created: 0, updated: 0, written: 0, conflicts: 0, ...found.get(day) };
  });
}

function trend(told, days) {
  const each = daysOf(told, days);
  return el(
    "div",
    { class: "two" },
    panel("jobs-by-day", "Jobs by day", "as what they ended, UTC days", ...stackedDays("Jobs by day", [["completed", "completed", "fill-good"], ["failed", "failed", "fill-bad"], ["cancelled", "cancelled", "fill-plain"]], each)),
    panel("records-by-day", "Changes by day", "records created and updated here, written to vendors, in conflict", ...stackedDays("Changes by day", [["created", "created", "fill-brand"], ["updated", "updated", "fill-info"], ["written", "written", "fill-plain"], ["conflicts", "in conflict", "fill-warn"]], each)),
  );
}

function connections(told) {
  const sums = new Map(told.statistics.byConnection.map((one) => [one.connection, one]));
  const of = (one) => sums.get(one.connection) ?? {};
  return panel(
    "connections",
    "Providers compared",
    null,
    table(
      "Providers compared",
      [
        ["connection", (one) => el("th", { scope: "row" }, one.connection, el("span", { class: "more soft" }, `${one.provider === one.connection ? "" : ` ${one.provider}`}${one.enabled ? "" : " switched off"}`))],
        ["newest job", (one) => (one.lastStatus ? el("td", {}, tag(one.lastStatus), one.lastError ? el("span", { class: "more" }, one.lastError) : null) : "–")],
        ["last sync", (one) => (of(one).lastSyncTime ? time(of(one).lastSyncTime) : "never")],
        ["records", (one) => count(one.linkedRecords), "number"],
        ["jobs", (one) => count(of(one).totalJobs), "number"],
        ["success", (one) => percent(of(one).successRate), "number"],
        ["average", (one) => lasting(of(one).averageDuration), "number"],
        ["processed", (one) => count(of(one).recordsProcessed), "number"],
        ["written", (one) => count(of(one).recordsWritten), "number"],
        ["conflicts open", (one) => count(one.openConflicts), "number"],
        ["next sync", (one) => (of(one).nextScheduledSync ? time(of(one).nextScheduledSync) : "not scheduled")],
      ],
      told.connections,
      { nothing: "No connection is declared yet: holovitals connections add." },
    ),
  );
}

function doneOf(job) {
  const types = Math.max(job.progress.length, job.resourceTypes.length, 1);
  const steps = job.progress.reduce((sum, one) => sum + STAGES.indexOf(one.stage) + (one.state === "done" ? 1 : 0.5), 0);
  return Math.min(1, steps / (types * STAGES.length));
}

function activeJob(job) {
  const done = doneOf(job);
  const read = job.progress.reduce((sum, one) => sum + one.extracted, 0);
  const now = job.progress.filter((one) => one.state === "running").map((one) => `${one.resourceType}: ${plain(one.stage)}`);
  return el(
    "div",
    { class: "job" },
    el("div", { class: "row" }, el("strong", {}, job.ehrConnectionId), tag(job.type, "plain"), short(job.id), el("span", { class: "soft" }, job.startedAt ? `began ${ago(job.startedAt)}` : ""), roles.has("operator") ? actButton(`cancel-${job.id}`, job.cancelling ? "Ending…" : "Cancel", "DELETE", `/api/sync/jobs/${job.id}`, { danger: true, disabled: job.cancelling }) : null),
    el("progress", { max: 1, value: done.toFixed(2), "aria-label": `progress at ${job.ehrConnectionId}` }),
    el("span", { class: "soft" }, `${several(read, "record")} read${now.length ? `; ${now.slice(0, 3).join(", ")}` : ""}`),
  );
}

function actButton(key, name, method, path, { danger, disabled } = {}) {
  const act = async (event) => {
    event.currentTarget.disabled = true;
    try {
      await call(method, path);
    } catch (problem) {
      tellProblem(trouble, problem);
    }
    refresh();
  };
  return el("button", { type: "button", "data-key": key, class: danger ? "danger" : null, disabled, on: { click: act } }, name);
}

const active = (jobs) => panel("active", "Active jobs", null, ...(jobs.length ? jobs.map(activeJob) : [el("p", { class: "nothing" }, "No job is at work.")]));

const JOB = [
  ["job", (job) => short(job.id)],
  ["connection", (job) => job.ehrConnectionId],
  ["type", (job) => el("td", {}, plain(job.type), el("span", { class: "more" }, plain(job.direction)))],
];

function queue(told) {
  const { PENDING, QUEUED, RETRYING } = told.queue;
  const all = PENDING + QUEUED + RETRYING;
  return panel(
    "queue",
    "Queue",
    all > told.waitingJobs.length ? `${count(told.waitingJobs.length)} of ${count(all)}` : null,
    table("Queue", [...JOB, ["status", (job) => tag(job.status)], ["priority", (job) => job.priority, "number"], ["asked by", (job) => job.requestedBy ?? "–"], ["waits since", (job) => time(job.queuedAt ?? job.createdAt)], ["not before", (job) => (job.nextAt ? time(job.nextAt) : "–")]], told.waitingJobs, { nothing: "Nothing waits." }),
  );
}

const conflicts = (told) =>
  panel(
    "open-conflicts",
    "Open conflicts",
    total(told.openConflicts) > told.conflicts.length ? `the worst ${count(told.conflicts.length)} of ${count(total(told.openConflicts))}` : null,
    table(
      "Open conflicts",
      [
        ["conflict", (one) => el("a", { href: `/dashboard/conflicts/${one.conflictId}`, "data-key": one.conflictId }, `${one.resourceType}: ${one.elements.map(plain).join(", ") || plain(one.type)}`)],
        ["severity", (one) => tag(one.severity ?? "ungraded")],
        ["connection", (one) => one.connection],
        ["found", (one) => time(one.detectedAt)],
        ["stands", (one) => (one.decision ? (one.twoPerson && !one.approvedBy ? "waits for a second person" : "decided, applied with the next sync") : "waits for a decision")],
      ],
      told.conflicts,
      { nothing: "Nothing waits for a decision." },
    ),
  );

const ended = (jobs) =>
  panel(
    "history",
    "History",
    "the newest jobs that ended",
    table(
      "History",
      [
        ...JOB,
        ["ended as", (job) => el("td", {}, tag(job.status), job.error ? el("span", { class: "more" }, job.error.message ?? job.error.code) : null)],
        ["ended", (job) => time(job.finishedAt)],
        ["took", (job) => lasting((new Date(job.finishedAt) - new Date(job.startedAt ?? job.createdAt)) / 1000), "number"],
        ["created", (job) => count(job.result.summary.resourcesCreated), "number"],
        ["updated", (job) => count(job.result.summary.resourcesUpdated), "number"],
        ["written", (job) => count(job.result.summary.resourcesWritten), "number"],
        ["failed", (job) => count(job.result.recordsFailed), "number"],
        ["", (job) => (job.status === "FAILED" && roles.has("operator") ? actButton(`retry-${job.id}`, "Retry", "POST", `/api/sync/jobs/${job.id}/retry`) : "")],
      ],
      jobs,
      { nothing: "No job has ended in this period." },
    ),
  );

const errors = (told) =>
  panel(
    "errors",
    "Error log",
    "the newest errors and warnings, without health data",
    table(
      "Error log",
      [
        ["when", (one) => time(one.at)],
        ["severity", (one) => tag(one.severity)],
        ["where", (one) => el("td", {}, one.connection, one.resourceType ? el("span", { class: "more" }, one.resourceType) : null)],
        ["what", (one) => el("td", {}, one.message, el("span", { class: "more" }, el("code", {}, one.code)))],
        ["what to do", (one) => one.remedy ?? "–"],
        ["job", (one) => short(one.jobId)],
      ],
      told,
      { nothing: "No error in this period." },
    ),
  );

let known = null;
let newest = null;

function draw() {
  const told = newest;
  const days = Number(period.value);
  const minute = Math.floor(Date.now() / 60000); // «5 minutes ago» goes on
  const can = [...roles];
  redraw(places.cards, [told.statistics.successRate, told.statistics.recordsProcessed, told.statistics.totalJobs, told.persons, told.openConflicts, told.queue, told.queueOldestSeconds, told.webhooks, told.quarantined, told.waitingWrites, told.connections], () => cards(told));
  redraw(places.trend, [told.since, told.statistics.byDay], () => trend(told, days));
  redraw(places.connections, [told.connections, told.statistics.byConnection, minute], () => connections(told));
  redraw(places.active, [told.activeJobs, can], () => active(told.activeJobs));
  redraw(places.queue, [told.waitingJobs, told.queue, minute], () => queue(told));
  redraw(places.conflicts, [told.conflicts, told.openConflicts, minute], () => conflicts(told));
  redraw(places.ended, [told.endedJobs, can, minute], () => ended(told.endedJobs));
  redraw(places.errors, [told.errors, minute], () => errors(told.errors));
}

async function refresh() {
  try {
    const answer = await callWithTag("GET", `/api/dashboard?days=${period.value}`, { tag: known });
    if (answer !== null) [known, newest] = [answer.tag, answer.told];
    trouble.replaceChildren();
    draw();
    asOf.textContent = `As of ${new Date().toLocaleTimeString()}`;
    main.dataset.ready = "yes";
  } catch (problem) {
    tellProblem(trouble, problem);
  }
}

let timer = null;
const isLive = () => live.getAttribute("aria-pressed") === "true";
async function goOn() {
  clearTimeout(timer);
  if (!document.hidden && isLive()) await refresh();
  timer = setTimeout(goOn, EVERY);
}
live.addEventListener("click", () => {
  live.setAttribute("aria-pressed", String(!isLive()));
  live.textContent = isLive() ? "Live" : "Paused";
  goOn();
});
period.addEventListener("change", () => {
  known = null;
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden || goOn());
document.addEventListener("roles-known", () => newest && draw());
goOn();
