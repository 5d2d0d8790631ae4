// The form of a new exam: the part of each vendor is kept as it was left while another account is looked at.
(() => {
  "use strict";
  const left = new Map();
  const part = () => document.getElementById("vendor-form");
  const isOurs = (event) => event.detail.elt.matches("[data-vendors]");
  const say = (text) => { document.getElementById("form-said").textContent = text; };
  const announce = () => { const { asks } = part().dataset; say(asks ? `Below, after “When”: what ${asks} asks.` : ""); };
  const failed = () => say("What this vendor asks could not be loaded. Press Save: it is shown then, and what you entered stays.");

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isOurs(event)) return;
    say("");
    const { value, dataset } = event.detail.elt;
    const wanted = JSON.parse(dataset.vendors)[value] || "";
    const shown = part();
    left.set(shown.dataset.vendor, shown);
    if (!left.has(wanted)) return;
    event.preventDefault();
    if (left.get(wanted) !== shown) shown.replaceWith(left.get(wanted));
    announce();
  });

  document.addEventListener("htmx:afterSwap", (event) => { if (event.target === part()) announce(); });

  document.addEventListener("htmx:beforeSwap", (event) => {
    // The sign-in page, where the session has ended, holds no such part.
    if (event.target !== part() || event.detail.xhr.responseText.includes('id="vendor-form"')) return;
    event.detail.shouldSwap = false;
    failed();
  });
  // The shell's own script takes every line of fields that htmx brings for one of a formset, and trips.
  document.addEventListener("htmx:afterSettle", (event) => { if (event.target === part()) event.stopPropagation(); }, true);

  ["htmx:sendError", "htmx:responseError"].forEach((name) => document.addEventListener(name, (event) => { if (isOurs(event)) failed(); }));
})();
