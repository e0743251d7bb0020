// Login with the IC card: challenge from this server, token from the bridge on this computer, token to this server.
// The server writes every text; this file only shows them. Trusted Types are on: nothing here makes markup.
"use strict";

(() => {
  const way = document.getElementById("way-card");
  const { challenge, token, failure, bridge, csrf, lang } = way.dataset;
  const part = (name) => document.getElementById(`card-${name}`);
  const start = part("start");
  const steps = [...part("steps").children];
  const OVER = new Set(["interaction_not_found", "interaction_expired", "interaction_moved_on", "wrong_session", "wrong_browser", "csrf_refused"]);
  const LIMIT_MS = 25_000; // longer than the bridge holds a request for its turn
  const QUICK_MS = 2_000;
  const PAUSE_MS = 300;
  const TIMES = 4; // all of them within the time that the bridge waits for a page to come back
  const OLD_MS = 30_000;
  let attempt = null; // { abort: AbortController, operation: id at the bridge or null }

  // A refusal in the server's words.
  class Refused extends Error {
    constructor(title, message, code) {
      super(code);
      Object.assign(this, { title, message, code });
    }
  }

  // A failure that the bridge named, for which the server has the words.
  class Reported extends Error {
    constructor(code, triesLeft) {
      super(code);
      this.code = code;
      this.triesLeft = Number.isInteger(triesLeft) ? triesLeft : undefined;
    }
  }

  const pause = (ms) => new Promise((resume) => window.setTimeout(resume, ms));

  // The answer to what `send` sends, once more where the line broke (a network that changes breaks all of them). What
  // took its time is not sent again: it may be a question of the browser's that the person has closed. limit 0: none.
  async function answerTo(send, signal, limit) {
    for (let isFirst = true; ; isFirst = false) {
      const own = new AbortController();
      const stop = () => own.abort();
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop, { once: true });
      const timer = limit ? window.setTimeout(stop, limit) : 0;
      const since = performance.now();
      try {
        return await send(own.signal);
      } catch (error) {
        if (signal.aborted || !isFirst || performance.now() - since > QUICK_MS) throw error;
      } finally {
        window.clearTimeout(timer);
      }
      await pause(PAUSE_MS);
    }
  }

  // This server. Each of its calls may come twice: a challenge is replaced by the next, a token is taken once.
  async function post(url, body, signal) {
    const options = {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json", "Accept-Language": lang, "X-CSRF-Token": csrf },
      body: JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    };
    let response;
    try {
      response = await answerTo((own) => fetch(url, { ...options, signal: own }), signal, LIMIT_MS);
    } catch (error) {
      throw signal.aborted ? error : unreachable();
    }
    const reference = response.headers.get("X-Request-Id");
    if (reference) document.getElementById("request-id").textContent = reference;
    const answer = await response.json().catch(() => null); // null: something between us and the server answered
    if (!answer) throw unreachable();
    if (!response.ok) throw new Refused(answer.title, answer.detail, answer.code);
    return answer;
  }

  function unreachable() {
    const { title, message } = part("offline").dataset;
    return new Refused(title, message, "offline");
  }

  // The bridge. Chromium asks the person before a page may call a program on this computer.
  function bridgeRequest(path, options) {
    const all = {
      mode: "cors", credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer", ...options,
      headers: { "X-Card-Bridge": "1", ...(options.body ? { "Content-Type": "application/json" } : {}) },
    };
    try {
      return new Request(bridge + path, { ...all, targetAddressSpace: "loopback" });
    } catch {
      return new Request(bridge + path, all); // a browser that knows other address spaces
    }
  }

  async function askBridge(path, options) {
    const { signal } = options;
    const limit = (await permission()) === "granted" ? LIMIT_MS : 0; // else the browser may be asking the person
    const since = performance.now();
    let response;
    try {
      response = await answerTo((own) => fetch(bridgeRequest(path, { ...options, signal: own })), signal, limit);
    } catch (error) {
      if (signal.aborted) throw error;
      if (limit && performance.now() - since >= limit) throw new Reported("bridge_failed");
      throw new Reported((await permission()) === "denied" ? "local_network_denied" : "bridge_unreachable");
    }
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw new Reported(problem.code || "bridge_failed", problem.tries_left);
    }
    return response;
  }

  async function permission() {
    const states = [];
    for (const name of ["loopback-network", "local-network-access"]) {
      try {
        states.push((await navigator.permissions.query({ name })).state);
      } catch {
        // a browser without this permission
      }
    }
    return ["denied", "prompt", "granted"].find((state) => states.includes(state));
  }

  async function wordsFor(reported, signal) {
    const body = { code: reported.code };
    if (reported.triesLeft !== undefined) body.tries_left = reported.triesLeft;
    try {
      const { title, message } = await post(failure, body, signal);
      return new Refused(title, message, reported.code);
    } catch (error) {
      if (error.code !== "report_refused") return error;
      return wordsFor(new Reported("bridge_failed"), signal); // a code of a newer bridge
    }
  }

  // Server-sent events: yields [event, data]. Only what the bridge sends: one event line, one data line, a blank one.
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        buffer += value.replaceAll("\r\n", "\n");
        for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
          const fields = { event: "", data: "" };
          for (const line of buffer.slice(0, end).split("\n")) {
            const [, name, text] = /^(event|data): ?(.*)$/.exec(line) || [];
            if (name) fields[name] = text;
          }
          buffer = buffer.slice(end + 2);
          if (fields.event) yield [fields.event, JSON.parse(fields.data)]; // else a comment that keeps the line open
        }
      }
    } finally {
      reader.cancel().catch(() => {}); // the connection is free for the next request
    }
  }

  // Where the line breaks while the person types, it is taken up again: the bridge waits a few seconds for that.
  async function tokenFrom(mine, signal) {
    let last = new Reported("bridge_failed");
    for (let time = 0; time < TIMES; time += 1) {
      if (time) await pause(PAUSE_MS);
      const response = await askBridge(`/v1/events?operation_id=${encodeURIComponent(mine.operation)}`, { signal });
      try {
        for await (const [event, data] of events(response)) {
          if (event === "state") {
            clearError();
            step(data.state);
          } else if (event === "result") {
            mine.operation = null;
            return data.auth_token;
          } else if (event === "error") {
            last = new Reported(data.code, data.tries_left);
            if (data.code !== "pin_incorrect") {
              mine.operation = null;
              throw last;
            }
            show(await wordsFor(last, signal), { final: false }); // the person may type again in the bridge's window
          }
        }
      } catch (error) {
        if (signal.aborted || error instanceof Reported) throw error;
      }
    }
    throw last;
  }

  // Where the browser's question was answered so late that the bridge refuses the statement, a new one is asked for.
  async function begun(signal) {
    for (let isFirst = true; ; isFirst = false) {
      const { challenge_nonce, statement, code } = await post(challenge, {}, signal);
      const since = performance.now();
      part("code").textContent = code;
      try {
        const body = JSON.stringify({ challenge_nonce, statement, lang });
        return await (await askBridge("/v1/authenticate", { method: "POST", body, signal })).json();
      } catch (error) {
        const isOld = error.code === "statement_expired" && performance.now() - since > OLD_MS;
        if (!isFirst || !isOld) throw error;
      }
    }
  }

  async function logIn() {
    cancelOperation();
    const mine = (attempt = { abort: new AbortController(), operation: null });
    const { signal } = mine.abort;
    begin();
    try {
      const { operation_id, consent_url } = await begun(signal);
      mine.operation = operation_id;
      offerConsent(consent_url);
      step("waiting_for_card");
      const auth_token = await tokenFrom(mine, signal);
      clearError();
      step("finishing");
      const { location } = await post(token, { auth_token }, signal);
      window.location.assign(location);
    } catch (error) {
      if (signal.aborted) return;
      cancelAtBridge(mine);
      const isInWords = error instanceof Refused;
      const shown = isInWords ? error : await wordsFor(error instanceof Reported ? error : new Reported("bridge_failed"), signal);
      if (!signal.aborted) show(shown, { final: true });
    }
  }

  function cancelOperation() {
    if (!attempt) return;
    const given = attempt;
    attempt = null;
    given.abort.abort();
    cancelAtBridge(given);
  }

  function cancelAtBridge(given) {
    if (!given.operation) return;
    const body = JSON.stringify({ operation_id: given.operation });
    given.operation = null;
    fetch(bridgeRequest("/v1/cancel", { method: "POST", body, keepalive: true })).catch(() => {});
  }

  // What the page shows.
  function begin() {
    clearError();
    start.hidden = true;
    part("retry").hidden = true;
    part("give-up").hidden = true;
    part("consent").hidden = true;
    part("code").textContent = "----";
    part("progress").hidden = false;
    document.getElementById("cancel").hidden = false;
    step("connecting");
  }

  function step(state) {
    const at = steps.findIndex((item) => item.dataset.state === state);
    if (at < 0) return;
    steps.forEach((item, index) => {
      item.classList.toggle("done", index < at);
      if (index === at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    part("permission-note").hidden = state !== "connecting";
    if (state === "finishing") part("consent").hidden = true;
    part("status").textContent = steps[at].textContent;
  }

  function offerConsent(url) {
    if (!url.startsWith(`${bridge}/consent/`)) throw new Reported("bridge_failed");
    part("consent-link").href = url;
    part("consent").hidden = false;
    window.open(url, "_blank", "noopener,noreferrer"); // the link stays, for browsers that block this
  }

  function show(problem, { final }) {
    part("error-title").textContent = problem.title;
    part("error-message").textContent = problem.message;
    part("error-code").textContent = problem.code;
    part("error").hidden = false;
    part("error").dataset.code = problem.code;
    if (!final) {
      part("status").textContent = `${problem.title} ${problem.message}`;
      return;
    }
    part("progress").hidden = true;
    part("status").textContent = "";
    part("retry").hidden = OVER.has(problem.code);
    part("give-up").hidden = OVER.has(problem.code);
    document.getElementById("cancel").hidden = true;
    part("error-title").focus();
  }

  function clearError() {
    part("error").hidden = true;
    delete part("error").dataset.code;
  }

  start.hidden = false;
  start.addEventListener("click", logIn);
  part("retry").addEventListener("click", logIn);
  window.addEventListener("pagehide", cancelOperation);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });
})();
