"use strict";
// Runs before anything is drawn, so that no page flashes in the other theme.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("holovitals-theme");
  } catch {
    // a browser that keeps nothing follows the system
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
