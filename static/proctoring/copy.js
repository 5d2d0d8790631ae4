// Copies the link in the field beside a pressed "Copy"; where the browser does not let us, the link is selected instead.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy] .copy-link");
  if (!button) return;
  event.preventDefault();
  const input = button.closest("[data-copy]").querySelector("input");
  input.select();
  try {
    await navigator.clipboard.writeText(input.value);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
  }
});
