// Puts the HTML that the server sends in place. Without it, the page loads itself anew.
"use strict";

(() => {
  const SILENCE = 25000; // ms without a sign of life after which the connection is dead
  const RETRY = 5000; // ms until a server that has refused us is asked again
  const live = document.getElementById("live");
  const icon = document.getElementById("icon");
  const button = document.getElementById("notify");
  const canNotify = "Notification" in window && window.isSecureContext;
  let source = null;
  let watchdog = 0;
  let holds = false; // whether this tab goes on listening while it is hidden
  let told = needs();

  function needs() {
    const sum = document.getElementById("sum");
    return new Set(sum.dataset.needs.split(" ").filter(Boolean));
  }

  function wantsNotes() {
    return canNotify && Notification.permission === "granted" && localStorage.notify === "yes";
  }

  function open() {
    close();
    source = new EventSource(document.body.dataset.stream);
    source.addEventListener("put", (event) => {
      alive();
      put(event.data);
    });
    source.addEventListener("beat", alive);
    source.addEventListener("open", alive);
    source.addEventListener("error", () => {
      lose();
      if (source && source.readyState === EventSource.CLOSED) again(RETRY);
    });
    again(SILENCE);
  }

  function close() {
    clearTimeout(watchdog);
    if (source) source.close();
    source = null;
  }

  function again(after) {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => {
      lose();
      open();
    }, after);
  }

  function alive() {
    again(SILENCE);
    if (document.body.dataset.live === "yes") return;
    document.body.dataset.live = "yes";
    live.textContent = "live";
    show();
  }

  function lose() {
    if (document.body.dataset.live === "no") return;
    document.body.dataset.live = "no";
    live.textContent = `no connection, as of ${new Date().toLocaleTimeString()}`;
    icon.href = "/lost.svg";
  }

  function put(html) {
    const box = document.createElement("template");
    box.innerHTML = html;
    const focused = document.activeElement && document.activeElement.id;
    for (const each of document.querySelectorAll("details[open]")) {
      const details = box.content.getElementById(each.id);
      if (details) details.open = true;
    }
    const moved = [...document.querySelectorAll("[tabindex][id]")].map((each) => [
      each.id, each.scrollLeft, each.scrollTop,
    ]);
    for (const each of [...box.content.children]) place(each);
    for (const [id, left, top] of moved) {
      const region = document.getElementById(id);
      if (region && (left || top)) region.scrollTo({ left, top, behavior: "instant" });
    }
    if (focused && (!document.activeElement || document.activeElement.id !== focused)) {
      const again = document.getElementById(focused);
      if (again) again.focus({ preventScroll: true });
    }
    show();
  }

  // What has an order keeps what it has, if the order is the same, or else moves it.
  function place(node) {
    const old = document.getElementById(node.id);
    if (!old) return;
    if (node.dataset.order === undefined) {
      swap(node);
      return;
    }
    const same = node.dataset.order === old.dataset.order;
    for (const row of [...node.querySelectorAll("[data-keep]")]) {
      const kept = document.getElementById(row.id);
      if (!kept) continue;
      [...row.querySelectorAll("[data-part]")].forEach(swap);
      if (!same) row.replaceWith(kept);
    }
    if (!same) old.replaceWith(node);
  }

  function swap(part) {
    const old = document.getElementById(part.id);
    if (old && old !== part && old.outerHTML !== part.outerHTML) old.replaceWith(part);
  }

  function show() {
    const sum = document.getElementById("sum");
    document.title = sum.dataset.title;
    if (icon.getAttribute("href") !== sum.dataset.icon) icon.href = sum.dataset.icon;
    const now = needs();
    const fresh = [...now].filter((each) => !told.has(each));
    told = now;
    if (wantsNotes() && (document.hidden || !document.hasFocus())) fresh.slice(0, 5).forEach(note);
  }

  function note(need) {
    const [id, state] = need.split("=");
    const why = document.getElementById(`${id}:why`);
    const link = document.getElementById(`${id}:link`);
    const shown = new Notification(`${state}: ${id.split(":")[1]}`, {
      body: why ? why.textContent : "",
      icon: "/trouble.svg",
      tag: id,
    });
    shown.onclick = () => {
      window.focus();
      if (link) location.assign(link.href);
    };
  }

  // A browser has few connections to one server: hidden tabs have none, but one that notifies.
  function look() {
    if (!document.hidden) {
      if (!source) open();
    } else if (!wantsNotes()) {
      close();
    } else if (!holds && navigator.locks) {
      navigator.locks.request("guardkit-notify", { ifAvailable: true }, (lock) => {
        if (!lock) {
          close();
          return null;
        }
        holds = true;
        if (!source) open();
        return new Promise((free) => {
          document.addEventListener("visibilitychange", () => {
            holds = false;
            free();
          }, { once: true });
        });
      });
    }
  }

  if (canNotify) {
    button.hidden = false;
    const press = () => button.setAttribute("aria-pressed", String(wantsNotes()));
    press();
    button.addEventListener("click", async () => {
      if (wantsNotes()) localStorage.notify = "no";
      else if ((await Notification.requestPermission()) === "granted") localStorage.notify = "yes";
      press();
    });
  }
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", look);
  look();
})();
