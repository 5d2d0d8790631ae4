// Goes on counting: the page says the same in words without it. A timer is not read out by itself; its end is.
(() => {
  "use strict";
  const line = document.querySelector("[data-to]");
  if (!line) return;
  const shown = line.querySelector("[role=timer]");
  const over = document.querySelector("[data-over]");
  const to = Date.parse(line.dataset.to);
  const ahead = Date.parse(line.dataset.at) - Date.now(); // the candidate's clock may be wrong
  const two = (number) => String(number).padStart(2, "0");

  const tick = () => {
    const left = Math.floor((to - Date.now() - ahead) / 1000);
    if (left < 0) return end();
    const days = Math.floor(left / 86400);
    const clock = `${two(Math.floor(left / 3600) % 24)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    shown.textContent = days ? `${days} day${days === 1 ? "" : "s"} ${clock}` : clock;
    return undefined;
  };

  const end = () => {
    clearInterval(timer);
    line.hidden = true;
    const link = document.createElement("a");
    link.href = location.pathname;
    link.className = "button plain";
    link.textContent = "Load this page again";
    over.textContent = `${over.dataset.over} `;
    over.append(link);
  };

  const timer = setInterval(tick, 1000);
  tick();
})();
