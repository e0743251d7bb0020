// Keeps the window up to date and closes it at the end. Everything works without it, by plain forms.
"use strict";

(() => {
  const POLL_MS = 500;
  const CLOSE_AFTER_MS = 1500;
  const current = () => document.getElementById("window");

  function take(html) {
    const next = new DOMParser().parseFromString(html, "text/html");
    const main = next.getElementById("window");
    if (!main) return window.location.replace(window.location.href);
    const typed = document.getElementById("pin")?.value;
    const had = current().dataset.view;
    document.title = next.title;
    current().replaceWith(document.adoptNode(main));
    const time = document.getElementById("time");
    if (time && !next.getElementById("time")) time.remove();
    const pin = document.getElementById("pin");
    if (pin && had === "pin" && typed && !document.getElementById("notice")) pin.value = typed;
    (pin || document.querySelector(".outcome"))?.focus();
    const said = ["act-title", "trouble", "notice", "tries", "outcome"].map((id) => document.getElementById(id)?.textContent.trim());
    document.getElementById("announce").textContent = said.filter(Boolean).join(" ");
    if (current().dataset.view === "ended") end();
  }

  async function refresh() {
    const response = await fetch(window.location.href, { credentials: "same-origin", cache: "no-store" });
    take(await response.text());
  }

  async function poll() {
    const main = current();
    if (!main?.dataset.state || main.dataset.view === "ended") return;
    try {
      const response = await fetch(main.dataset.state, { credentials: "same-origin", cache: "no-store" });
      if (!response.ok) return await refresh();
      const { revision, seconds_left } = await response.json();
      const time = document.getElementById("time");
      if (time) time.textContent = time.dataset.text.replace("{}", seconds_left);
      if (String(revision) !== main.dataset.revision && !main.dataset.sending) await refresh();
    } catch {
      // the bridge is restarting or gone; the next poll says
    }
    window.setTimeout(poll, POLL_MS);
  }

  async function send(form, button) {
    const body = new URLSearchParams(new FormData(form));
    if (button?.name) body.set(button.name, button.value);
    current().dataset.sending = "yes";
    for (const each of form.querySelectorAll("button")) each.disabled = true;
    const pin = document.getElementById("pin");
    if (pin) pin.value = "";
    const response = await fetch(form.getAttribute("action"), { method: "POST", body, credentials: "same-origin", cache: "no-store" });
    take(await response.text());
  }

  function end() {
    if (["done", "user_cancelled"].includes(current().dataset.outcome)) window.setTimeout(() => window.close(), CLOSE_AFTER_MS);
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter).catch(() => window.location.replace(window.location.href));
  });

  if (current()?.dataset.view === "ended") end();
  else poll();
})();
