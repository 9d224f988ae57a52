// What htmx does not do: says whether the page is live, lets go of the stream while nobody looks, and keeps open what a reader has opened.
"use strict";
(() => {
  const HIDDEN_MS = 20000; // a browser gives one server six connections: hidden pages must not keep them
  const open = new Set(); // ids of <details>
  let source = null;
  let asleep = false;
  let timer = 0;

  const say = (state, word) => {
    const at = document.getElementById("connection");
    if (!at || at.dataset.state === state) return;
    at.dataset.state = state;
    document.getElementById("connection-word").textContent = word;
  };

  htmx.createEventSource = (url) => {
    source = new EventSource(url);
    return source;
  };

  document.addEventListener("htmx:sseOpen", () => say("live", "live"));
  document.addEventListener("htmx:sseError", () => say("lost", "not live: connecting again"));
  document.addEventListener("htmx:sseClose", (event) => {
    if (event.detail.type === "message") say("ended", "no more updates");
  });

  document.addEventListener("toggle", (event) => {
    if (event.target.id) open[event.target.open ? "add" : "delete"](event.target.id);
  }, true);
  const reopen = () => {
    for (const id of open) {
      const found = document.getElementById(id);
      if (found) found.open = true;
    }
  };
  document.addEventListener("htmx:sseMessage", reopen);

  const log = () => document.getElementById("log-lines");
  let following = true;
  document.addEventListener("htmx:sseBeforeMessage", () => {
    const at = log();
    if (at) following = at.scrollHeight - at.scrollTop - at.clientHeight < 40;
  });
  const toEnd = () => {
    const at = log();
    if (at && following) at.scrollTop = at.scrollHeight;
  };
  document.addEventListener("htmx:sseMessage", toEnd);
  toEnd();

  const sleep = () => {
    if (!source || document.visibilityState === "visible") return;
    source.close();
    asleep = true;
    say("paused", "paused");
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") {
      timer = setTimeout(sleep, HIDDEN_MS);
    } else if (asleep) {
      asleep = false;
      htmx.ajax("GET", location.href, { target: "#live", select: "#live", swap: "outerHTML" });
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
    const field = document.querySelector("[data-shortcut='/']");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });
})();
