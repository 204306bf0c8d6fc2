// Calls of the HTTP API with the session of whoever looks; who has none is asked to sign in.

import { el } from "/site/dom.js";

export class Problem extends Error {
  constructor(status, told) {
    super(told.detail || `the server answered ${status}`);
    this.status = status;
    this.code = told.code || "";
    this.remedy = told.remedy || "";
  }
}

const OURS = { "X-HoloVitals": "dashboard" };

async function ask(method, path, { body, headers = {} } = {}) {
  const sent = body === undefined ? {} : { "Content-Type": "application/json" };
  return fetch(path, {
    method,
    headers: { Accept: "application/json", ...OURS, ...sent, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "same-origin",
  });
}

async function problemOf(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // a proxy's answer has no problem in it
  }
  return new Problem(answer.status, told);
}

let here = null;

/** Who has signed in; null for nobody. Asked once a page. */
export function whoIsHere() {
  here ??= ask("GET", "/api/session").then(async (answer) => {
    if (!answer.ok) throw await problemOf(answer);
    const session = await answer.json();
    return session.name === null ? null : session;
  });
  here.catch(() => (here = null)); // the next one asks again
  return here;
}

/** The answer as JSON with its ETag; null where it is still what `tag` names. Throws a Problem. */
export async function callWithTag(method, path, { body, tag, match } = {}) {
  if ((await whoIsHere()) === null) await signIn();
  const headers = { ...(tag ? { "If-None-Match": tag } : {}), ...(match ? { "If-Match": match } : {}) };
  let answer = await ask(method, path, { body, headers });
  if (answer.status === 401) {
    await signIn(); // the session has ended meanwhile
    answer = await ask(method, path, { body, headers });
  }
  if (answer.status === 304) return null;
  if (!answer.ok) throw await problemOf(answer);
  return { told: await answer.json(), tag: answer.headers.get("ETag") };
}

/** The answer as JSON. Throws a Problem. */
export const call = async (method, path, more = {}) => (await callWithTag(method, path, more)).told;

let asking = null;

/** Ask for a token until one is taken. Two parts of a page that ask at once show one dialog. */
export function signIn() {
  asking ??= new Promise((done) => {
    const token = el("input", { type: "password", autocomplete: "current-password", required: true, id: "token", placeholder: "hv_…", "aria-describedby": "token-help token-refused" });
    const refused = el("p", { id: "token-refused", role: "alert" });
    const send = async (event) => {
      event.preventDefault();
      refused.textContent = "";
      let answer;
      try {
        answer = await ask("POST", "/api/session", { body: { token: token.value.trim() } });
      } catch {
        refused.textContent = "The server cannot be reached. Is it running?";
        return;
      }
      if (answer.ok) {
        if (new URLSearchParams(location.search).get("then") === "/quality") location.replace("/quality"); // it came from there
        dialog.close();
        dialog.remove();
        asking = null;
        const session = await answer.json();
        here = Promise.resolve(session);
        document.dispatchEvent(new CustomEvent("signed-in", { detail: session }));
        done();
        return;
      }
      const problem = await problemOf(answer);
      refused.textContent = `${problem.message}. ${problem.remedy}`;
      token.select();
    };
    const dialog = el(
      "dialog",
      { "aria-labelledby": "sign-in-title" },
      el(
        "form",
        { on: { submit: send } },
        el("h2", { id: "sign-in-title" }, "Sign in"),
        el("input", { type: "text", autocomplete: "username", hidden: true, tabindex: -1, "aria-hidden": "true" }), // browsers look for one
        el("label", { for: "token" }, "Your token", token),
        el("p", { class: "soft", id: "token-help" }, "Whoever runs this installation makes one: ", el("code", {}, "holovitals tokens create NAME --role viewer"), ". The browser keeps a session for eight hours, never the token."),
        refused,
        el("div", { class: "row" }, el("button", { class: "primary", type: "submit" }, "Sign in"), el("a", { class: "button", href: "/" }, "Back to the start")),
      ),
    );
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    token.focus();
  });
  return asking;
}

export async function signOut() {
  await ask("DELETE", "/api/session");
  location.assign("/");
}
