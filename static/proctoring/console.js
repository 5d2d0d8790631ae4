// Comforts only: every page works without this file.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => { document.getElementById("spoken").textContent = text; };
  const warn = (text) => {
    const notice = document.getElementById("notice");
    notice.textContent = text;
    notice.hidden = !text;
  };

  const copy = async (button) => {
    const label = button.firstChild.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.firstChild.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.firstChild.textContent = label; }, 1500);
    } catch {
      window.prompt("Copy the link from here:", button.dataset.copy);
    }
  };

  // The preview's button says how many it will deliver to.
  const count = () => {
    const button = document.querySelector("[data-deliver]");
    if (!button) return;
    const goes = new Map(); // who has two boxes needs both ticked
    all("[name=arranged], [name=interrupted]").forEach((box) => goes.set(box.value, (goes.get(box.value) ?? true) && box.checked));
    const ticked = [...goes.values()].filter(Boolean).length;
    const notShown = all("[data-tick-all]:checked").map((whole) => whole.value - all(`[name="${whole.dataset.tickAll}"]`).length);
    const number = notShown.reduce((sum, more) => sum + more, Number(button.form.dataset.ready) + ticked);
    button.textContent = number ? `Deliver to ${number} candidate${number === 1 ? "" : "s"}` : "Tick first who is to get one";
    button.disabled = number === 0;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    const once = event.target.closest("[data-works-once]");
    if (once && !window.confirm("This link works once. If you open it, the candidate can no longer use it. Open it?")) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    const name = event.target.dataset.tickAll;
    if (name) all(`[name="${name}"]`).forEach((box) => { box.checked = event.target.checked; });
    const whole = document.querySelector(`[data-tick-all="${event.target.name}"]`);
    if (whole && !event.target.checked) whole.checked = false;
    count();
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-once]")) return;
    // After the form is read: a disabled button's own value would not be sent.
    setTimeout(() => all("button", event.target).forEach((button) => { button.disabled = true; }));
  });
  // The shell's own script expects its own file field around each of these.
  all("input[type=file]").forEach((input) => { input.hasChangeListener = true; });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) all("[data-once] button").forEach((button) => { button.disabled = false; });
    count();
  });

  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) warn(""); });
  document.addEventListener("htmx:sendError", (event) => {
    warn(event.target.matches("[data-poll]") ? "The connection is lost. This page goes on trying." : "The connection is lost. Try again.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const why = answer.querySelector("[data-why]");
    warn(why ? why.textContent.trim() : "That did not work. Load the page again.");
  });

  // What appears after a press is what comes next: a form's first field, the buttons of a link.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!event.target.matches(".step, .link-row")) return;
    const first = event.target.querySelector("input:not([type=hidden]), select, textarea, button");
    if (first) first.focus();
  });
})();
