// What every page has: the head with its links, the theme, who has signed in, and where problems are told.

import { signOut, whoIsHere } from "/site/api.js";
import { el } from "/site/dom.js";

const PAGES = [["/dashboard", "Dashboard"], ["/dashboard/patients", "Patients"], ["/dashboard/conflicts", "Conflicts"], ["/quality", "Quality"], ["/docs", "API"]];
const DARK = matchMedia("(prefers-color-scheme: dark)");

const isDark = () => (document.documentElement.dataset.theme || (DARK.matches ? "dark" : "light")) === "dark";

function themeButton() {
  const button = el("button", { type: "button", "data-key": "theme" });
  const tell = () => {
    button.textContent = isDark() ? "☀ Light" : "☾ Dark";
    button.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
  };
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("holovitals-theme", chosen);
    } catch {
      // it lasts until the page is left
    }
    tell();
  });
  DARK.addEventListener("change", tell);
  tell();
  return button;
}

/** The head. Answers the roles of whoever has signed in, as a set that is filled once that is known. */
export function dressPage() {
  const here = location.pathname.replace(/\/$/, "") || "/";
  const current = PAGES.map(([path]) => path).filter((path) => here === path || here.startsWith(`${path}/`)).pop();
  const roles = new Set();
  const user = el("span", { class: "row" });
  const show = (session) => {
    roles.clear();
    for (const role of session?.roles ?? []) roles.add(role);
    user.replaceChildren(
      ...(session
        ? [el("span", { class: "soft", title: session.roles.join(", ") }, session.name), el("button", { type: "button", on: { click: signOut } }, "Sign out")]
        : []),
    );
    document.dispatchEvent(new CustomEvent("roles-known"));
  };
  const links = PAGES.map(([path, name]) => el("li", {}, el("a", { href: path, "aria-current": path === current ? "page" : null }, name)));
  document.getElementById("top").append(
    el(
      "div",
      { class: "inside" },
      el("a", { class: "brand", href: "/" }, el("img", { src: "/site/icon.svg", alt: "" }), el("span", {}, "HoloVitals ", el("small", {}, "Pipelines"))),
      el("nav", { "aria-label": "Pages" }, el("ul", {}, ...links)),
      el("div", { class: "end" }, user, themeButton()),
    ),
  );
  document.addEventListener("signed-in", (event) => show(event.detail));
  whoIsHere().then((session) => session && show(session), () => {});
  return roles;
}

/** What went wrong and what to do, in the place of what was to be shown. */
export function tellProblem(place, problem) {
  const unreachable = problem instanceof TypeError;
  const said = unreachable ? "The server cannot be reached." : `${problem.message}.`;
  const remedy = unreachable ? "It is asked again until it answers." : problem.remedy;
  place.replaceChildren(el("section", { class: "panel failure", role: "alert" }, el("h2", {}, said), remedy ? el("p", {}, remedy) : null));
  delete place.dataset.told;
}
