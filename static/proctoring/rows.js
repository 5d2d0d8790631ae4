// The "Add row" button of a small table of inputs: without this script the blank rows at its end are what there is.
// htmx brings some of them later.
["DOMContentLoaded", "htmx:load"].forEach((moment) => document.addEventListener(moment, () => {
  document.querySelectorAll("[data-rows-add]").forEach((button) => { button.hidden = false; });
}));

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-rows-add]");
  if (!button) return;
  const body = button.closest("[data-rows]").querySelector("tbody");
  const number = body.rows.length;
  const row = body.rows[number - 1].cloneNode(true);
  row.querySelectorAll("input, select").forEach((input) => {
    input.name = input.name.replace(/-\d+-([^-]+)$/, `-${number}-$1`);
    input.setAttribute("aria-label", input.getAttribute("aria-label").replace(/\d+$/, number + 1));
    if (input.type === "checkbox") input.checked = false;
    else if (input.tagName === "SELECT") input.selectedIndex = 0;
    else input.value = "";
  });
  body.append(row);
  row.querySelector("input, select").focus();
});
