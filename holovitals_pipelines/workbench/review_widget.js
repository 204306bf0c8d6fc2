// The review widget's face: a virtual list of the queue, one opened conflict, decisions by mouse and by keyboard.
//
// Law: every text is set as text, never as HTML; values live in this page's memory only; whatever a person has chosen or
// written stays with its conflict until it is decided, also when the server refuses it.

const ROW = 50; // pixels; review_widget.css knows it too
const MOST = 20000;
const LOOKING_AFTER = 90; // milliseconds on a line before its conflict is opened
const BATCH = 20;
const MANUAL = "MANUAL", MERGE = "MERGE";

const STRATEGIES = [
  ["LOCAL_WINS", "Local wins", "what is held here, for every unit"],
  ["REMOTE_WINS", "Vendor wins", "what the vendor holds, for every unit"],
  [MANUAL, "Unit by unit", "choose for each unit below"],
  ["LAST_WRITE_WINS", "Last write", "the side written later; not for critical conflicts"],
  ["FIRST_WRITE_WINS", "First write", "the side written earlier; not for critical conflicts"],
  [MERGE, "Merge", "unit by unit, with values of your own; recorded as a merge"],
  ["CUSTOM", "Custom", "a resolver's answer: only a policy can name one"],
];
const VIEWS = [["open", "Open"], ["reviews", "To be looked at"], ["closed", "Decided"]];
const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW"];
const TYPES = {
  UPDATE_UPDATE: "changed on both sides", UPDATE_DELETE: "changed here, deleted there",
  DELETE_UPDATE: "deleted here, changed there", CREATE_CREATE: "created on both sides",
};
const KEYS = [
  ["j k", "next, previous conflict (also ↓ ↑)"], ["g G", "first, last conflict"], ["/", "search"],
  ["1 … 7", "strategy"], ["n p", "next, previous unit"], ["l r x", "this unit: local, remote, leave out"],
  ["e", "this unit: a value of your own"], ["d", "write the reason; Ctrl+Enter decides"],
  ["a", "approve, as a second person"], ["u", "take a decision back before it is applied, undo it afterwards"],
  ["s", "let an automatic decision stand"],
  ["b", "decide like conflicts at once"], ["y", "make this a policy"], ["v", "JSON of all sides"],
  ["w", "send to the vendor now"], ["R", "refresh the queue"], ["?", "this help"], ["Esc", "back to the list"],
];

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function span(seconds) {
  const whole = Math.abs(seconds);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (whole >= size) return `${Math.floor(whole / size)} ${unit}`;
  }
  return `${Math.floor(whole)} s`;
}

function instant(epoch) {
  return epoch === null ? "unknown" : new Date(epoch * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
}

function courier(model) {
  let last = 0;
  const waiting = new Map();
  const heard = (said) => {
    const one = waiting.get(said.id);
    if (!one) return;
    waiting.delete(said.id);
    if (said.error) one.reject(said.error);
    else one.resolve(said.answer);
  };
  model.on("msg:custom", heard);
  return {
    ask: (ask, about = {}) => new Promise((resolve, reject) => {
      last += 1;
      const id = `${Date.now()}-${last}`;
      waiting.set(id, { resolve, reject });
      model.send({ id, ask, with: about });
    }),
    end: () => model.off("msg:custom", heard),
  };
}

class Review {
  constructor(model, root) {
    this.courier = courier(model);
    this.root = root;
    this.view = "open";
    this.entries = [];
    this.shown = [];
    this.filter = { text: "", severities: new Set(), connection: "", resourceType: "" };
    this.current = null; // id of the line the keyboard is on
    this.conflict = null; // what is opened
    this.drafts = new Map();
    this.actor = "";
    this.unit = 0;
    this.bodies = null;
    this.notice = null;
    this.build();
    this.load();
  }

  ask(ask, about) { return this.courier.ask(ask, about); }

  // ---- frame

  build() {
    this.tabs = h("div", { class: "hv-tabs", role: "group", "aria-label": "View" }, VIEWS.map(([view, name]) =>
      h("button", { type: "button", "data-view": view, onclick: () => this.look(view) }, name)));
    this.search = h("input", {
      type: "search", class: "hv-search", placeholder: "Type, element, id … ( / )",
      "aria-label": "Search", oninput: () => { this.filter.text = this.search.value; this.narrow(); },
    });
    this.severities = h("div", { class: "hv-severities", role: "group", "aria-label": "Severity" },
      SEVERITIES.map((one) => h("button", {
        type: "button", class: `hv-chip hv-${one}`, "aria-pressed": "false", "data-severity": one,
        onclick: () => this.toggle(one),
      }, one.toLowerCase())));
    this.connections = this.select("Connection", "connection", "all connections");
    this.types = this.select("Resource type", "resourceType", "all types");
    this.who = h("button", { type: "button", class: "hv-who", onclick: () => this.askName() });
    this.count = h("div", { class: "hv-count" });
    this.space = h("div", { class: "hv-space" });
    this.list = h("div", {
      class: "hv-list", role: "listbox", tabIndex: 0, "aria-label": "Conflicts", onscroll: () => this.drawList(),
    }, this.space);
    this.detail = h("div", { class: "hv-detail", role: "region", "aria-label": "Conflict" });
    this.status = h("div", { class: "hv-status", role: "status", "aria-live": "polite" });
    this.root.append(
      h("div", { class: "hv-bar" }, this.tabs, this.search, this.severities, this.connections, this.types,
        h("span", { class: "hv-push" }), this.who,
        h("button", { type: "button", title: "Refresh (R)", "aria-label": "Refresh", onclick: () => this.load() }, "⟳"),
        h("button", { type: "button", title: "Keys (?)", "aria-label": "Help", onclick: () => this.help() }, "?")),
      h("div", { class: "hv-body" }, h("div", { class: "hv-side" }, this.count, this.list), this.detail),
      this.status);
    this.root.addEventListener("keydown", (event) => this.pressed(event));
    this.resized = new ResizeObserver(() => this.drawList());
    this.resized.observe(this.list);
    this.drawWho();
    this.drawDetail();
  }

  select(title, key, all) {
    return h("select", {
      "aria-label": title, "data-all": all,
      onchange: (event) => { this.filter[key] = event.target.value; this.narrow(); },
    }, h("option", { value: "" }, all));
  }

  end() {
    this.resized.disconnect();
    this.courier.end();
  }

  say(text, kind = "", ...more) { this.status.replaceChildren(h("span", { class: kind }, text), ...more); }

  complain(error) {
    this.say(`${error.message ?? error}${error.remedy ? ` → ${error.remedy}` : ""}`, "hv-bad");
  }

  // ---- the queue

  look(view) {
    this.view = view;
    this.current = this.conflict = null;
    this.drawDetail();
    this.load();
  }

  async load() {
    const turn = (this.turn = {});
    const found = [];
    let after = null;
    for (const tab of this.tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.view === this.view));
    this.root.setAttribute("aria-busy", "true");
    try {
      do {
        const page = await this.ask("queue", { view: this.view, after });
        if (turn !== this.turn) return;
        found.push(...page.entries);
        this.nothing = page.nothing;
        after = page.after;
        this.entries = found;
        this.facets();
        this.narrow(true);
        if (this.current === null && this.shown.length) this.go(0);
      } while (after !== null && found.length < MOST);
      if (after !== null) this.say(`The first ${MOST.toLocaleString()} are listed; decide those first.`);
    } catch (error) { this.complain(error); }
    finally { if (turn === this.turn) this.root.removeAttribute("aria-busy"); }
  }

  facets() {
    for (const [select, key] of [[this.connections, "connection"], [this.types, "resourceType"]]) {
      const names = [...new Set(this.entries.map((entry) => entry[key]))].sort();
      if (select.options.length === names.length + 1) continue;
      select.replaceChildren(h("option", { value: "" }, select.dataset.all),
        ...names.map((name) => h("option", { value: name }, name)));
      select.value = this.filter[key];
    }
  }

  toggle(severity) {
    const wanted = this.filter.severities;
    if (!wanted.delete(severity)) wanted.add(severity);
    for (const chip of this.severities.children) {
      chip.setAttribute("aria-pressed", String(wanted.has(chip.dataset.severity)));
    }
    this.narrow();
  }

  narrow(stay = false) {
    const { severities, connection, resourceType } = this.filter;
    const words = this.filter.text.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.entries.filter((one) =>
      (!severities.size || severities.has(one.severity)) && (!connection || one.connection === connection) &&
      (!resourceType || one.resourceType === resourceType) &&
      words.every((word) => this.haystack(one).includes(word)));
    const all = this.entries.length.toLocaleString(), some = this.shown.length.toLocaleString();
    const of = some === all ? all : `${some} of ${all}`;
    this.count.textContent = this.entries.length ? `${of} conflict${of === "1" ? "" : "s"}` : this.nothing ?? "";
    if (!stay) this.list.scrollTop = 0;
    this.drawList();
  }

  haystack(one) {
    return (one.text ??= [one.id, one.resourceType, one.connection, one.severity, one.type, one.state, ...one.elements]
      .join(" ").toLowerCase());
  }

  drawList() {
    this.space.style.height = `${Math.max(this.shown.length * ROW, ROW)}px`;
    if (!this.shown.length) {
      const none = { open: "Nothing waits for a decision.", reviews: "Nothing is to be looked at.",
        closed: "Nothing has been decided yet." }[this.view];
      this.space.replaceChildren(h("div", { class: "hv-none" },
        this.entries.length ? "No conflict fits these filters." : this.nothing ? "" : none));
      return;
    }
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - 4);
    const last = Math.min(this.shown.length, first + Math.ceil((this.list.clientHeight || 400) / ROW) + 8);
    this.space.replaceChildren(...this.shown.slice(first, last).map((one, place) => this.line(one, first + place)));
    if (this.current) this.list.setAttribute("aria-activedescendant", `hv-${this.current}`);
  }

  line(one, place) {
    const now = Date.now() / 1000;
    const overdue = one.due !== null && one.due < now;
    const due = one.due === null ? "" : overdue ? `overdue ${span(now - one.due)}` : `due in ${span(one.due - now)}`;
    const state = one.state === "open" ? "" : one.state === "closed" ? `by ${one.decidedBy ?? "–"}` : `✓ ${one.state}`;
    return h("div", {
      class: "hv-line", role: "option", id: `hv-${one.id}`, "aria-selected": String(one.id === this.current),
      "data-id": one.id, style: `top:${place * ROW}px`, onclick: () => this.go(place),
    },
    h("span", { class: `hv-dot hv-${one.severity}`, title: one.severity ?? "" }, (one.severity ?? "?")[0]),
    h("span", { class: "hv-what" }, h("b", {}, one.resourceType), ` ${one.elements.join(", ") || "–"}`),
    h("span", { class: overdue ? "hv-due hv-late" : "hv-due" }, due),
    h("span", { class: "hv-where" }, `${one.connection} · ${TYPES[one.type] ?? one.type}`),
    h("span", { class: "hv-state" }, state || `${span(now - one.detected)} old`));
  }

  place() { return this.shown.findIndex((one) => one.id === this.current); }

  go(place) {
    if (!this.shown.length) return;
    place = Math.min(Math.max(place, 0), this.shown.length - 1);
    this.current = this.shown[place].id;
    const top = place * ROW;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    const below = top + ROW - this.list.clientHeight;
    if (below > this.list.scrollTop) this.list.scrollTop = below;
    this.drawList();
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.open(this.current), LOOKING_AFTER);
  }

  // ---- one conflict

  async open(id, notice = null) {
    const turn = (this.opening = {});
    try {
      const found = await this.ask("open", { id });
      if (turn !== this.opening) return;
      this.unit = this.conflict?.id === id ? this.unit : 0;
      this.take(found, notice);
    } catch (error) { this.complain(error); }
  }

  take(found, notice = null) {
    this.conflict = found;
    this.notice = notice;
    this.bodies = null;
    const listed = this.entries.findIndex((one) => one.id === found.id);
    if (listed >= 0) {
      const { state, revision, severity, postReview, decidedBy, due } = found;
      Object.assign(this.entries[listed], { state, revision, severity, postReview, decidedBy, due, text: undefined });
    }
    const draft = this.draft();
    const known = new Set(found.rows.map((row) => row.unit));
    for (const unit of Object.keys(draft.choices)) if (!known.has(unit)) delete draft.choices[unit];
    this.drawList();
    this.drawDetail();
  }

  draft() {
    const id = this.conflict.id;
    if (!this.drafts.has(id)) this.drafts.set(id, { strategy: null, choices: {}, reason: "" });
    return this.drafts.get(id);
  }

  units() { return this.conflict ? this.conflict.rows.filter((row) => row.number !== null) : []; }

  /** Drawn anew with the focus where it was: keys would go nowhere otherwise. */
  drawDetail() {
    const focused = this.detail.contains(document.activeElement) ? document.activeElement : null;
    const { strategy, choice } = focused?.dataset ?? {};
    const unit = focused?.closest(".hv-unit")?.dataset.unit;
    const again = focused?.matches(".hv-reason") ? ".hv-reason" : strategy ? `[data-strategy="${strategy}"]`
      : choice ? `[data-unit="${unit}"] [data-choice="${choice}"]` : null;
    this.fillDetail();
    if (focused) ((again && this.detail.querySelector(again)) ?? this.list).focus({ preventScroll: true });
  }

  fillDetail() {
    const conflict = this.conflict;
    if (!conflict) {
      this.detail.replaceChildren(h("div", { class: "hv-none" }, "Choose a conflict: j and k move, ? shows the keys."));
      return;
    }
    const others = conflict.rows.filter((row) => row.number === null);
    const panel = conflict.state === "closed" ? this.closedPanel() : this.decisionPanel();
    const top = this.detail.scrollTop, same = this.detail.dataset.id === conflict.id;
    this.detail.dataset.id = conflict.id;
    this.detail.replaceChildren(
      ...[this.head(), this.notice && h("div", { class: "hv-notice", role: "alert" }, this.notice), this.waitingPanel(),
        ...this.units().map((row, place) => this.card(row, place)), panel,
        others.length ? h("details", { open: conflict.rows.some((row) => row.whole) },
          h("summary", {}, conflict.rows.some((row) => row.whole)
            ? `What the sides hold: ${others.length} elements differ` : `${others.length} more follow by themselves`),
          others.map((row) => this.card(row, -1))) : null,
        this.provenance(), this.jsonPanel()].filter(Boolean));
    this.detail.scrollTop = same ? top : 0;
  }

  head() {
    const one = this.conflict;
    return h("header", { class: "hv-head" },
      h("span", { class: `hv-badge hv-${one.severity}` }, (one.severity ?? "not graded").toLowerCase()),
      h("h3", {}, `${one.resourceType} at ${one.connection}`),
      h("span", { class: "hv-muted" }, `${TYPES[one.type] ?? one.type} · ${one.state} · revision ${one.revision}`),
      one.twoPerson && h("span", { class: "hv-two" }, "two people"));
  }

  provenance() {
    const one = this.conflict;
    const facts = [
      ["rule that fired", one.rule ?? "none"], ["policy", one.policy ?? "none"],
      ["local written", `${instant(one.localUpdated)} by ${one.localBy ?? "nobody known"}`],
      ["remote written", `${instant(one.remoteUpdated)} at ${one.connection}` +
        (one.remoteVersion ? `, version ${one.remoteVersion}` : "")],
      ["found", `${instant(one.detected)} by job ${one.job.slice(0, 8)}`],
      ["record", `${one.resourceType}/${one.record.slice(0, 8)}…`], ["about", one.patient ?? "no patient"],
      ["conflict", one.id], one.reopened ? ["reopened", `${one.reopened} times`] : null,
    ].filter(Boolean);
    return h("details", { class: "hv-provenance", open: true }, h("summary", {}, "Where it comes from"),
      h("dl", {}, facts.map(([name, text]) => [h("dt", {}, name), h("dd", {}, text)])),
      h("ol", {}, one.history.map((past) =>
        h("li", {}, `${instant(past.at)}  ${past.action} by ${past.actor}${past.reason ? `: ${past.reason}` : ""}`))));
  }

  card(row, place) {
    const choosable = place >= 0 && this.conflict.state !== "closed";
    const sides = ["base", "local", "remote", "proposal"];
    const names = { base: "base", local: "local", remote: this.conflict.connection, proposal: "proposal" };
    const chosen = choosable ? this.chosen(row) : null;
    const cell = (side) => {
      const mine = side === chosen?.side;
      const content = side === "proposal" && chosen ? this.proposed(row, chosen) : this.text(row.cells[side], row, side);
      return h("div", { class: `hv-cell hv-${side}${mine ? " hv-taken" : ""}` },
        h("div", { class: "hv-name" }, side === "remote" ? `remote · ${names.remote}` : names[side]), content,
        side === "base" && row.cells.baseRemote
          ? [h("div", { class: "hv-name" }, "base at the vendor"), this.text(row.cells.baseRemote)] : null);
    };
    return h("section", {
      class: `hv-unit${place === this.unit && choosable ? " hv-current" : ""}${place < 0 ? " hv-follows" : ""}`,
      "data-unit": place, onclick: () => { if (choosable && this.unit !== place) this.unitAt(place); },
    },
    h("div", { class: "hv-title" }, row.number !== null && h("span", { class: "hv-number" }, String(row.number)),
      h("b", {}, row.label), row.severity && h("span", { class: `hv-badge hv-${row.severity}` }, row.severity.toLowerCase()),
      h("span", { class: "hv-muted" }, [row.rule, row.why].filter(Boolean).join(" · ") || (row.kind ?? ""))),
    h("div", { class: "hv-sides" }, sides.map(cell)),
    choosable && this.chooser(row, place, chosen));
  }

  text(parts, row = null, side = null) {
    if (row?.whole && parts) {
      return h("div", { class: "hv-value" }, side === "proposal" ? "kept" : "is there");
    }
    if (!parts) {
      const absent = side === "proposal" && row?.undecided ? "to be decided" : "not there";
      return h("div", { class: "hv-value hv-absent" }, row?.whole && side !== "proposal" ? "deleted" : absent);
    }
    return h("div", { class: "hv-value" }, parts.map(([text, differs]) => (differs ? h("mark", {}, text) : text)));
  }

  proposed(row, chosen) {
    if (chosen.side !== "value") return this.text(row.cells[chosen.side]?.map(([text]) => [text, false]), row, chosen.side);
    if (chosen.value === null) return h("div", { class: "hv-value hv-absent" }, "left out");
    return h("div", { class: "hv-value" }, row.plain ? plainText(chosen.value) : chosen.value);
  }

  /** What holds for a unit as things stand: the draft's, else the stored decision's. */
  chosen(row) {
    const { strategy, choices } = this.draft();
    if (strategy === "LOCAL_WINS") return { side: "local" };
    if (strategy === "REMOTE_WINS") return { side: "remote" };
    if (strategy === MANUAL || strategy === MERGE) return choices[row.unit] ?? null;
    return null;
  }

  chooser(row, place, chosen) {
    const choose = (side, value) => this.choose(place, side, value);
    const own = chosen?.side === "value" && chosen.value !== null;
    const button = (name, key, on, act, title) => h("button", {
      type: "button", class: "hv-choice", "aria-pressed": String(on), title: `${title} (${key})`, "data-choice": name,
      onclick: act,
    }, name);
    return h("div", { class: "hv-chooser", role: "group", "aria-label": `Choice for ${row.label}` },
      button("Local", "l", chosen?.side === "local", () => choose("local"), "hold what is held here"),
      button("Vendor", "r", chosen?.side === "remote", () => choose("remote"), "hold what the vendor holds"),
      !row.whole && button("Own value…", "e", own, () => this.edit(place), "write what both are to hold"),
      !row.whole && button("Leave out", "x", chosen?.side === "value" && !own, () => choose("value", null),
        "neither side holds it"));
  }

  unitAt(place) {
    const count = this.units().length;
    if (!count) return;
    this.unit = Math.min(Math.max(place, 0), count - 1);
    for (const card of this.detail.querySelectorAll(".hv-unit")) {
      const mine = Number(card.dataset.unit) === this.unit;
      card.classList.toggle("hv-current", mine);
      if (mine) card.scrollIntoView({ block: "nearest" });
    }
  }

  choose(place, side, value) {
    if (!this.conflict || this.conflict.state === "closed") return;
    const draft = this.draft(), row = this.units()[place];
    if (!row || (row.whole && side === "value")) return;
    if (draft.strategy !== MANUAL && draft.strategy !== MERGE) {
      for (const one of this.units()) { const was = this.chosen(one); if (was) draft.choices[one.unit] = was; }
      draft.strategy = MANUAL;
    }
    draft.choices[row.unit] = side === "value" ? { side, value } : { side };
    this.unit = place;
    this.drawDetail();
  }

  async edit(place) {
    const row = this.units()[place];
    if (!row || row.whole || this.conflict.state === "closed") return;
    const before = this.chosen(row);
    const text = before?.side === "value" && before.value !== null ? before.value
      : row.json[before?.side] ?? row.json.local ?? row.json.remote ?? "";
    const field = h("textarea", { rows: row.plain ? 2 : 8, class: "hv-code", "aria-label": "Value" });
    field.value = row.plain ? plainText(text) : text;
    const said = await this.dialog(`${row.label}: a value of your own`, [
      h("p", { class: "hv-muted" }, row.plain ? "The text both sides are to hold."
        : "JSON, in the form the sides hold it in."), field], "Take it");
    if (said) this.choose(place, "value", row.plain ? JSON.stringify(field.value) : field.value);
  }

  // ---- deciding

  strategy(number) {
    const [name, , what] = STRATEGIES[number - 1];
    if (!this.conflict || this.conflict.state === "closed") return;
    if (name === "CUSTOM") { this.say(`Not for a person: ${what}.`, "hv-bad"); return; }
    this.draft().strategy = name;
    this.drawDetail();
    this.say(`${STRATEGIES[number - 1][1]}: ${what}.`);
  }

  decisionPanel() {
    const draft = this.draft();
    const reason = h("textarea", {
      rows: 1, class: "hv-reason", placeholder: "Why? For whoever asks later (required)", "aria-label": "Reason",
      oninput: (event) => { draft.reason = event.target.value; },
    });
    reason.value = draft.reason;
    const again = this.conflict.state !== "open";
    return h("section", { class: "hv-panel" },
      h("div", { class: "hv-strategies", role: "group", "aria-label": "Strategy" }, STRATEGIES.map(([name, shown, what], place) =>
        h("button", {
          type: "button", class: "hv-strategy", "aria-pressed": String(draft.strategy === name), "data-strategy": name,
          title: what, "aria-disabled": String(name === "CUSTOM"), onclick: () => this.strategy(place + 1),
        }, h("kbd", {}, String(place + 1)), shown))),
      h("div", { class: "hv-act" }, reason,
        h("button", { type: "button", class: "hv-main hv-decide", title: "Ctrl+Enter in the reason", onclick: () => this.decide() },
          again ? "Decide anew" : "Decide"),
        h("button", { type: "button", title: "Decide like conflicts at once (b)", onclick: () => this.batch() }, "Like ones…"),
        h("button", { type: "button", title: "Make this a policy (y)", onclick: () => this.policy() }, "Make this a policy…")),
      this.conflict.twoPerson && h("div", { class: "hv-muted" },
        "About who a patient is: a decision counts once a second person has approved it."));
  }

  waitingPanel() {
    const one = this.conflict;
    if (one.state === "decided") {
      return h("div", { class: "hv-waiting" },
        h("span", {}, `${one.strategy} by ${one.decidedBy}: “${one.reason}”. It is applied at the next sync.`),
        h("div", { class: "hv-act" }, this.undoButton("Take back"),
          h("button", { type: "button", title: "w", class: "hv-main hv-send", onclick: () => this.writeBack() },
            h("kbd", {}, "w"), `Send to ${one.connection} now`)));
    }
    if (one.state !== "waits for approval") return null;
    return h("div", { class: "hv-waiting" },
      h("span", {}, `${one.strategy} by ${one.decidedBy}: “${one.reason}”. Waits for a second person.`),
      h("div", { class: "hv-act" }, this.undoButton("Take back"),
        h("button", { type: "button", title: "a", class: "hv-main hv-approve", onclick: () => this.approve() },
          h("kbd", {}, "a"), "Approve…")));
  }

  undoButton(name) {
    return h("button", { type: "button", class: "hv-undo", onclick: () => this.undo() }, h("kbd", {}, "u"), name);
  }

  closedPanel() {
    const one = this.conflict;
    const by = `${one.strategy ?? "decided"} by ${one.decidedBy ?? "nobody known"}` +
      (one.approvedBy ? `, approved by ${one.approvedBy}` : "") + (one.reason ? `: “${one.reason}”` : "");
    return h("section", { class: "hv-panel" }, h("div", {}, by),
      h("div", { class: "hv-act" },
        one.postReview && h("button", { type: "button", class: "hv-main", title: "s", onclick: () => this.letStand() },
          h("kbd", {}, "s"), "Let it stand"),
        this.undoButton("Undo…")));
  }

  /** What is sent of a decision; null, and said, where something is missing. */
  ready() {
    const draft = this.draft();
    if (!draft.strategy) { this.say("Choose a strategy first: 1 to 7, or a side of each unit.", "hv-bad"); return null; }
    const byUnit = draft.strategy === MANUAL || draft.strategy === MERGE;
    const choices = byUnit ? { ...draft.choices } : {};
    const missing = byUnit ? this.units().findIndex((row) => !choices[row.unit]) : -1;
    if (missing >= 0) {
      this.unitAt(missing);
      this.say(`Unit ${missing + 1} has no choice yet.`, "hv-bad");
      return null;
    }
    return { strategy: draft.strategy, choices };
  }

  sides(choices) { return Object.fromEntries(Object.entries(choices).map(([unit, one]) => [unit, one.side])); }

  reasoned() {
    if (this.draft().reason.trim()) return true;
    this.say("Say in a few words why.", "hv-bad");
    this.detail.querySelector(".hv-reason")?.focus();
    return false;
  }

  async decide() {
    const wanted = this.conflict && this.conflict.state !== "closed" && this.ready();
    if (!wanted || !this.reasoned() || !(await this.known())) return;
    const { id, revision } = this.conflict;
    try {
      const found = await this.ask("decide", { id, revision, ...wanted, actor: this.actor, reason: this.draft().reason });
      this.take(found);
      this.drawDetail();
      this.list.focus({ preventScroll: true });
      this.say(found.state === "decided" ? "Decided. It is applied at the next sync; w sends it now."
        : "Decided. It counts once a second person has approved it (a).", "hv-good");
    } catch (error) { await this.refused(error, id, revision); }
  }

  /** Nothing a person chose is lost; what has changed meanwhile is shown in its place. */
  async refused(error, id, revision) {
    this.complain(error);
    if (error.code !== "conflict.stale" && error.code !== "conflict.closed") return;
    const told = error.code === "conflict.stale" ? `The values have changed since you looked (revision ${revision}). ` +
      "These are the new ones; your choices and your reason are kept. Nothing was decided."
      : "It was decided meanwhile. Nothing of yours was applied.";
    await this.open(id, told);
  }

  async approve() {
    const one = this.conflict;
    if (one?.state !== "waits for approval") { this.say("No decision here waits for approval."); return; }
    const name = h("input", { type: "text", "aria-label": "Second person's name", maxLength: 64 });
    const same = this.actor.trim().toLowerCase() === (one.decidedBy ?? "").toLowerCase();
    name.value = same ? "" : this.actor;
    const said = await this.dialog("Approve this decision", [
      h("p", {}, `${one.strategy} by ${one.decidedBy}: “${one.reason}”`),
      h("label", {}, "Your name, as the second person ", name)], "Approve");
    if (!said) return;
    try {
      this.take(await this.ask("approve", { id: one.id, revision: one.revision, decision: one.decisionCode, actor: name.value }));
      this.say("Approved. It is applied at the next sync; w sends it now.", "hv-good");
    } catch (error) { await this.refused(error, one.id, one.revision); }
  }

  async letStand() {
    if (!this.conflict?.postReview) { this.say("No review of this conflict is due."); return; }
    if (!(await this.known())) return;
    try {
      this.take(await this.ask("let stand", { id: this.conflict.id, actor: this.actor }));
      this.say("Noted: it stands.", "hv-good");
    } catch (error) { this.complain(error); }
  }

  async undo() {
    const one = this.conflict;
    if (!one) return;
    if (one.state === "open") { this.say("Nothing is decided yet: there is nothing to undo."); return; }
    if (!(await this.known())) return;
    if (one.state !== "closed") { await this.takeBack(one); return; }
    const reason = h("input", { type: "text", "aria-label": "Reason for undoing" });
    const said = await this.dialog("Undo this decision", [
      h("p", {}, "What the record was before is restored as a new version, which flows out to the vendors. " +
        "What has changed since stays; where something newer contradicts, nothing is undone."),
      h("label", {}, "Why? ", reason)], "Undo");
    if (!said) return;
    try {
      const found = await this.ask("undo", { id: one.id, actor: this.actor, reason: reason.value });
      this.take(found, `Undone: the record has version ${found.undone.version}. It reaches ${one.connection} at the ` +
        `next sync. To undo this: holovitals records revert ${found.undone.seq}`);
      this.say("Undone.", "hv-good");
    } catch (error) {
      this.complain(error);
      await this.open(one.id, `Nothing was undone: ${error.message}. ${error.remedy}.`);
    }
  }

  /** Before it is applied nothing has happened yet: no reason is needed, and what was chosen is kept to be changed. */
  async takeBack(one) {
    try {
      this.take(await this.ask("take back", { id: one.id, decision: one.decisionCode, actor: this.actor }));
      this.say("Taken back: it waits for a decision again.", "hv-good");
    } catch (error) {
      this.complain(error);
      await this.open(one.id, error.code === "conflict.closed"
        ? "Too late to take it back: it has been applied meanwhile. “Undo…” (u) restores what was before, as a new version."
        : `Nothing was taken back: ${error.message}.`);
    }
  }

  async writeBack() {
    if (!this.conflict) return;
    const { connection, id } = this.conflict;
    this.say(`Sending to ${connection} …`);
    try {
      const done = await this.ask("write back", { connection });
      await this.load();
      if (this.conflict?.id === id) await this.open(id);
      const first = done.errors[0];
      if (done.succeeded) this.say(`Sent: ${done.pushed} written to ${connection}, ${done.resolved} conflicts resolved.`, "hv-good");
      else this.complain(first ?? { message: "the job failed", remedy: "holovitals jobs list" });
    } catch (error) { this.complain(error); }
  }

  // ---- several, and for good

  async batch() {
    const wanted = this.conflict && this.conflict.state !== "closed" && this.ready();
    if (!wanted) return;
    const model = this.conflict, sides = this.sides(wanted.choices);
    let alike;
    try { alike = await this.ask("alike", { id: model.id }); } catch (error) { this.complain(error); return; }
    if (!alike.length) { this.say("No other open conflict is like this one. Critical ones are decided one by one."); return; }
    const reason = h("input", { type: "text", "aria-label": "Reason for all" });
    reason.value = this.draft().reason;
    const boxes = alike.map((one) => [one, h("input", { type: "checkbox", checked: true, "aria-label": one.id })]);
    const all = h("input", { type: "checkbox", checked: true, "aria-label": "all",
      onchange: () => boxes.forEach(([, box]) => { box.checked = all.checked; }) });
    const said = await this.dialog(`${alike.length} conflicts like this one`, [
      h("p", {}, `${model.resourceType} at ${model.connection}, ${model.elements.join(", ")}: ${wanted.strategy}. ` +
        "Each is decided under the revision it is listed with; what has changed meanwhile is refused and stays open."),
      h("label", { class: "hv-all" }, all, " all"),
      h("div", { class: "hv-alike" }, boxes.map(([one, box]) =>
        h("label", {}, box, ` ${one.id.slice(0, 8)}  ${(one.severity ?? "").toLowerCase()}  revision ${one.revision}`))),
      h("label", {}, "One reason for all ", reason)], "Decide them");
    const others = said ? boxes.filter(([, box]) => box.checked).map(([one]) => ({ id: one.id, revision: one.revision })) : [];
    if (!others.length) return;
    if (!reason.value.trim()) { this.say("Say in a few words why: nothing was decided.", "hv-bad"); return; }
    if (!(await this.known())) return;
    const decided = [], refused = [];
    for (let begin = 0; begin < others.length; begin += BATCH) {
      this.say(`Deciding ${begin} of ${others.length} …`);
      try {
        const done = await this.ask("decide alike", {
          id: model.id, others: others.slice(begin, begin + BATCH), strategy: wanted.strategy, sides,
          actor: this.actor, reason: reason.value });
        decided.push(...done.decided);
        refused.push(...done.refused);
      } catch (error) { this.complain(error); return; }
    }
    const states = new Set(decided);
    for (const one of this.entries) if (states.has(one.id)) one.state = "decided";
    this.drawList();
    this.say(`Decided ${decided.length} like it, ${refused.length} refused. This one is still to be decided.`, "hv-good");
    if (!this.draft().reason) this.draft().reason = reason.value;
    this.drawDetail();
    if (refused.length) {
      await this.dialog(`${refused.length} refused`, [h("ul", {}, refused.map((one) =>
        h("li", {}, `${one.id.slice(0, 8)}: ${one.message} → ${one.remedy}`)))], null);
    }
  }

  async policy() {
    const wanted = this.conflict && this.conflict.state !== "closed" && this.ready();
    if (!wanted || !(await this.known())) return;
    const about = { id: this.conflict.id, strategy: wanted.strategy, sides: this.sides(wanted.choices), actor: this.actor };
    try {
      const proposed = await this.ask("rows", about);
      const said = await this.dialog("Make this a policy", [
        h("p", {}, `Conflicts like this one would be decided so from now on. This would be added to ${proposed.file}:`),
        h("pre", { class: "hv-code" }, proposed.text),
        h("p", { class: "hv-muted" }, "This conflict itself is still to be decided. Critical conflicts stay with people.")],
      "Add to the policy");
      if (!said) return;
      const added = await this.ask("add rows", { ...about, code: proposed.code });
      this.say(`Added to the policy: ${added.rows.join(", ")}.`, "hv-good");
    } catch (error) { this.complain(error); }
  }

  // ---- JSON, names, dialogs

  async json() {
    if (!this.conflict) return;
    const { id } = this.conflict;
    try {
      this.bodies = this.bodies ? null : await this.ask("json", { id });
      if (this.conflict?.id === id) this.drawDetail();
      this.detail.querySelector(".hv-bodies")?.scrollIntoView({ block: "nearest" });
    } catch (error) { this.complain(error); }
  }

  jsonPanel() {
    const sides = Object.entries(this.bodies ?? {});
    return h("section", { class: "hv-json" },
      h("button", { type: "button", title: "v", "aria-expanded": String(Boolean(this.bodies)), onclick: () => this.json() },
        this.bodies ? "Hide JSON" : "Show JSON of all sides"),
      this.bodies && h("div", { class: "hv-bodies" }, sides.map(([side, text]) =>
        h("div", {}, h("div", { class: "hv-name" }, side), h("pre", { class: "hv-code" }, text)))));
  }

  drawWho() { this.who.textContent = this.actor ? `You are ${this.actor}` : "Who are you?"; }

  /** Whether it is known who acts; asked once. */
  async known() { return Boolean(this.actor) || this.askName(); }

  async askName() {
    const name = h("input", { type: "text", "aria-label": "Your name", maxLength: 64, autocomplete: "off" });
    name.value = this.actor;
    const said = await this.dialog("Who decides?", [
      h("p", { class: "hv-muted" }, "Your name is kept with every decision. It is asked once."),
      h("label", {}, "Your name ", name)], "That is me");
    if (!said) return false;
    try { this.actor = await this.ask("actor", { actor: name.value }); } catch (error) { this.complain(error); return false; }
    this.drawWho();
    return true;
  }

  help() {
    return this.dialog("Keys", [h("dl", { class: "hv-keys" }, KEYS.map(([key, what]) => [
      h("dt", {}, key.split(" ").map((one) => (one === "…" ? " … " : h("kbd", {}, one)))), h("dd", {}, what)]))], null);
  }

  dialog(title, content, yes) {
    return new Promise((resolve) => {
      let agreed = false;
      const box = h("dialog", {
        class: "hv-dialog", "aria-label": title,
        onclose: () => {
          box.remove();
          // The browser has put the focus back; where that element is gone, keys would go nowhere.
          if (!this.root.contains(document.activeElement)) this.list.focus({ preventScroll: true });
          resolve(agreed);
        },
        onkeydown: (event) => {
          const inField = event.target.matches("input");
          if (yes && event.key === "Enter" && (inField || event.ctrlKey)) { event.preventDefault(); agreed = true; box.close(); }
          event.stopPropagation();
        },
      }, h("h3", {}, title), content, h("div", { class: "hv-act" },
        yes && h("button", { type: "button", class: "hv-main", onclick: () => { agreed = true; box.close(); } }, yes),
        h("button", { type: "button", onclick: () => box.close() }, yes ? "Cancel" : "Close")));
      this.root.append(box);
      box.showModal();
      const field = box.querySelector("input[type=text], textarea");
      (field ?? box.querySelector(".hv-act button:last-child")).focus(); // Enter alone agrees to nothing
      field?.select();
    });
  }

  // ---- keys

  pressed(event) {
    const field = event.target.matches("input, textarea, select");
    if (field) {
      if (event.key === "Escape") this.list.focus();
      else if (event.key === "Enter" && event.ctrlKey && event.target.matches(".hv-reason")) this.decide();
      else if (event.key === "Enter" && event.target === this.search) { this.go(0); this.list.focus(); }
      else return;
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.keyed(event.key);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  keyed(key) {
    if (/^[1-7]$/.test(key)) return () => this.strategy(Number(key));
    return {
      j: () => this.go(this.place() + 1), ArrowDown: () => this.go(this.place() + 1),
      k: () => this.go(this.place() - 1), ArrowUp: () => this.go(this.place() - 1),
      g: () => this.go(0), G: () => this.go(this.shown.length - 1),
      PageDown: () => this.go(this.place() + 8), PageUp: () => this.go(this.place() - 8),
      "/": () => this.search.focus(), n: () => this.unitAt(this.unit + 1), p: () => this.unitAt(this.unit - 1),
      l: () => this.choose(this.unit, "local"), r: () => this.choose(this.unit, "remote"),
      x: () => this.choose(this.unit, "value", null), e: () => this.edit(this.unit),
      d: () => this.detail.querySelector(".hv-reason")?.focus(),
      a: () => this.approve(), u: () => this.undo(), s: () => this.letStand(), b: () => this.batch(),
      y: () => this.policy(), v: () => this.json(), w: () => this.writeBack(), R: () => this.load(),
      "?": () => this.help(), Escape: () => this.list.focus(),
    }[key];
  }
}

function plainText(json) {
  try { return String(JSON.parse(json)); } catch { return json; }
}

function render({ model, el }) {
  // Notebook shortcuts (a, d d, j, k …) must not act while the keys are meant for the review.
  const root = h("div", { class: "hv-review", "data-lm-suppress-shortcuts": "true" });
  el.append(root);
  const review = new Review(model, root);
  return () => review.end();
}

export default { render };
