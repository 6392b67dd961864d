/* The worker's page: the list, one task, one tap for an outcome. What is done without a network is kept on the phone and sent later. */
(function () {
  "use strict";

  var TEXTS = window.oneknockTexts;

  var UNDO_MS = 4000, POLL_MS = 5000, SIZES = 4;
  var language = stored("language") === "en" ? "en" : "zh-CN";
  var size = Number(stored("size")) || 0;
  var me = null, skew = 0, last = null, tag = null, mandates = null;
  var tasks = new Map(), doneTasks = new Map(), listed = new Map(), gridNames = new Map(), versions = new Map();
  var queue = [], tab = "open", shown = null, opened = null, loaded = false;
  var source = null, pollTimer = 0, streamTimer = 0, sendTimer = 0, listTimer = 0, sending = false, connected = true, toastTimer = 0;

  // --- small things -------------------------------------------------------------------------------------------------

  function $(id) { return document.getElementById(id); }
  function stored(name) { try { return localStorage.getItem("oneknock." + name); } catch (e) { return null; } }
  function store(name, value) { try { localStorage.setItem("oneknock." + name, value); } catch (e) { /* Private mode: memory must do. */ } }
  function t(name, values) {
    var text = TEXTS[language][name];
    if (text === undefined) { return name; }
    return text.replace(/\{(\w+)\}/g, function (whole, key) { return values && values[key] !== undefined ? values[key] : ""; });
  }
  function el(tagName, properties) {
    var element = document.createElement(tagName);
    Object.keys(properties || {}).forEach(function (key) {
      var value = properties[key];
      if (value === null || value === undefined) { return; }
      if (key === "class") { element.className = value; }
      else if (key === "text") { element.textContent = value; }
      else if (key === "click") { element.addEventListener("click", value); }
      else { element.setAttribute(key, value); }
    });
    for (var i = 2; i < arguments.length; i++) { if (arguments[i]) { element.appendChild(arguments[i]); } }
    return element;
  }
  function empty(element) { while (element.firstChild) { element.removeChild(element.firstChild); } }
  function uuid() {
    var b = crypto.getRandomValues(new Uint8Array(16));
    b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128;
    var hex = Array.prototype.map.call(b, function (x) { return (x + 256).toString(16).slice(1); }).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }
  function now() { return Date.now() + skew; }
  function byEvents() { return me && me.clock === "events"; }
  function span(ms) {
    var minutes = Math.max(1, Math.round(Math.abs(ms) / 60000));
    if (minutes < 90) { return t("minutes", { n: minutes }); }
    if (minutes < 48 * 60) { return t("hours", { n: Math.round(minutes / 60) }); }
    return t("days", { n: Math.round(minutes / 1440) });
  }
  function when(text) {
    return new Date(text).toLocaleString(language, { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
  }
  function gridName(grid) { return grid ? gridNames.get(grid) || grid : "—"; }

  // --- language and text size ---------------------------------------------------------------------------------------

  function dress() {
    document.documentElement.lang = language;
    document.documentElement.className = size ? "size-" + size : "";
    document.title = t("title");
    document.querySelectorAll("[data-text]").forEach(function (element) { element.textContent = t(element.getAttribute("data-text")); });
    document.querySelectorAll("[data-label]").forEach(function (element) { element.setAttribute("aria-label", t(element.getAttribute("data-label"))); });
    var button = $("language");
    button.textContent = language === "en" ? "中" : "EN";
    button.lang = language === "en" ? "zh-CN" : "en";
    button.setAttribute("aria-label", t("other_language"));
    render();
  }

  // --- asking the server --------------------------------------------------------------------------------------------

  function ask(method, url, body, headers) {
    var options = { method: method, credentials: "same-origin", cache: "no-store", headers: headers || {} };
    if (body !== undefined) { options.body = JSON.stringify(body); options.headers["content-type"] = "application/json"; }
    return fetch(url, options).then(function (response) {
      online(true);
      if (response.status === 401 && me) { signedOut(); }
      if (response.status === 204 || response.status === 304) { return { status: response.status, headers: response.headers, body: null }; }
      return response.json().catch(function () { return null; }).then(function (json) {
        return { status: response.status, headers: response.headers, body: json };
      });
    }, function () { online(false); throw new Error("offline"); });
  }

  function online(yes) {
    if (connected === yes) { return; }
    connected = yes;
    bars();
    if (yes) { send(); if (me && !source) { listen(); } }
  }

  function start() {
    ask("GET", "/v1/me").then(function (answer) {
      if (answer.status === 200) { signedIn(answer.body); }
      else if (answer.status === 503) { setTimeout(start, 1500); }
      else { askToSignIn(location.hash === "#sign-in-failed" ? "sign_in_failed" : answer.status === 403 ? "sign_in_role" : null); }
    }).catch(function () { setTimeout(start, 3000); });
  }

  function signedIn(body) {
    me = body;
    skew = byEvents() ? 0 : Date.parse(me.now) - Date.now();
    if (Math.abs(skew) < 2000) { skew = 0; }
    gridNames.clear();
    me.grid_names.forEach(function (grid) { gridNames.set(grid.grid, [grid.community, grid.name].filter(Boolean).join(" ")); });
    try { queue = JSON.parse(stored("queue." + me.name) || "[]"); } catch (e) { queue = []; }
    if (location.hash === "#sign-in-failed") { history.replaceState(null, "", "/"); }
    $("demonstration").hidden = !me.demonstration;
    route();
    load();
    send();
  }

  function askToSignIn(error) {
    me = null;
    show("signing-in");
    $("sign-in-error").hidden = !error;
    if (error) { $("sign-in-error").setAttribute("data-text", error); $("sign-in-error").textContent = t(error); }
  }

  function signedOut() {
    stop();
    tasks.clear(); doneTasks.clear(); listed.clear(); opened = null; loaded = false; last = null; tab = "open";
    askToSignIn("signed_out");
  }

  // --- the list -----------------------------------------------------------------------------------------------------

  function load() {
    var fresh = new Map();
    function page(url) {
      return ask("GET", url).then(function (answer) {
        if (answer.status !== 200) { throw new Error("list"); }
        answer.body.tasks.forEach(function (task) { fresh.set(task.task_id, task); });
        if (answer.body.next) { return page("/v1/tasks?after=" + encodeURIComponent(answer.body.next)); }
        forget(answer.body.forget);
        tasks = fresh; loaded = true; tag = null;
        versions.clear();
        fresh.forEach(function (task) { versions.set(task.task_id, task.version); });
        last = answer.body.last;
        mandates = (answer.body.mandates || []).join(" ");
        render();
        listen();
        loadNotices();
      });
    }
    page("/v1/tasks?state=open,claimed&limit=200").catch(function () { if (me) { setTimeout(load, 3000); } });
  }

  function loadDone() {
    ask("GET", "/v1/tasks?state=done&limit=200").then(function (answer) {
      if (answer.status !== 200) { return; }
      doneTasks.clear();
      answer.body.tasks.forEach(function (task) { doneTasks.set(task.task_id, task); });
      render();
    }).catch(function () {});
  }

  /* Who opened more contacts than is usual: a supervisor hears of it, and may let them go on. */
  function loadNotices() {
    if (!me || me.role !== "supervisor") { return; }
    ask("GET", "/v1/notices").then(function (answer) {
      if (answer.status !== 200) { return; }
      var box = $("notices"), locked = answer.body.notices.filter(function (notice) { return notice.state === "locked"; });
      empty(box);
      box.hidden = !locked.length;
      locked.forEach(function (notice) {
        var text = t("notice", { name: notice.actor, n: notice.budget, grid: gridName(notice.grid), t: when(notice.until) });
        var unlock = notice.actor === me.name ? null : el("button", { type: "button", text: t("unlock"), "data-notice": notice.id, click: function () {
          ask("POST", "/v1/notices/" + encodeURIComponent(notice.id) + "/unlock").then(loadNotices).catch(function () { toast(t("at_most"), t("dismiss")); });
        } });
        box.appendChild(el("section", { class: "panel" }, el("p", { text: text }), unlock));
      });
    }).catch(function () {});
  }

  /* A supervisor's list is the server's word: what changes is asked for again. */
  function loadList() {
    clearTimeout(listTimer); listTimer = 0;
    var name = tab, fresh = new Map();
    function page(url) {
      return ask("GET", url).then(function (answer) {
        if (answer.status !== 200) { throw new Error("list"); }
        answer.body.tasks.forEach(function (task) { fresh.set(task.task_id, task); });
        if (answer.body.next) { return page("/v1/tasks?after=" + encodeURIComponent(answer.body.next)); }
        if (tab === name) { listed = fresh; render(); }
      });
    }
    page("/v1/tasks?limit=200&list=" + name).catch(function () {});
  }

  function isList() { return tab !== "open" && tab !== "done"; }

  function take(task) {
    if (isList() && !listTimer) { listTimer = setTimeout(loadList, 300); }
    var whole = task.priority !== undefined && task.evidence !== undefined;
    // An answer may come after what the stream said since, also where that took the task away.
    if (versions.get(task.task_id) > task.version) { return; }
    versions.set(task.task_id, task.version);
    if (whole && (task.state === "OPEN" || task.state === "CLAIMED")) { tasks.set(task.task_id, task); doneTasks.delete(task.task_id); }
    else {
      tasks.delete(task.task_id);
      if (whole && task.state === "DONE") { doneTasks.set(task.task_id, task); } else { doneTasks.delete(task.task_id); }
    }
    if (shown === task.task_id) {
      if (whole) {
        // What the register says now is another thing: what it said must not stay on the screen until the answer comes.
        if (opened && opened.entry !== task.entry) { opened = null; }
        if (!opened || opened.gone || opened.version !== task.version) { openDetail(task.task_id); }
      } else { opened = { gone: true, task_id: task.task_id }; }
    }
  }

  /* What a mandate allowed is over: nothing of it stays on this phone, what was not sent neither. */
  function forget(mandates) {
    mandates.forEach(function (one) {
      function of(task) { return task && task.mandate === one.mandate; }
      var held = of(opened) || of(tasks.get(shown) || doneTasks.get(shown) || listed.get(shown)), count = 0, unsent = queue.length;
      queue = queue.filter(function (entry) { return entry.mandate !== one.mandate && !of(tasks.get(entry.task_id)); });
      [tasks, doneTasks, listed].forEach(function (map) {
        map.forEach(function (task, id) { if (of(task)) { map.delete(id); versions.delete(id); count++; } });
      });
      if (held) { opened = { gone: true, task_id: shown, why: "forgot_" + one.reason }; }
      unsent -= queue.length;
      if (unsent) { keep(); }
      if (held || count || unsent) { toast(t("forgot_" + one.reason) + (unsent ? " " + t("forgot_unsent", { n: unsent }) : ""), t("dismiss")); }
    });
  }

  // --- live: a stream, or asking again and again --------------------------------------------------------------------

  function stop() {
    if (source) { source.close(); source = null; }
    clearTimeout(pollTimer); clearTimeout(streamTimer);
    pollTimer = streamTimer = 0;
  }

  function listen() {
    stop();
    if (!me || !last) { return; }
    if (!window.EventSource) { poll(); return; }
    source = new EventSource("/v1/tasks/stream?after=" + encodeURIComponent(last));
    source.addEventListener("open", function () { online(true); clearTimeout(pollTimer); pollTimer = 0; bars(); });
    source.addEventListener("task", function (event) {
      if (event.lastEventId) { last = event.lastEventId; }
      take(JSON.parse(event.data));
      render();
    });
    source.addEventListener("forget", function (event) { forget([JSON.parse(event.data)]); render(); });
    source.addEventListener("mandates", function () { stop(); load(); });
    source.addEventListener("error", function () {
      bars();
      if (source && source.readyState === 2) { source = null; streamTimer = setTimeout(listen, 30000); }
      if (!pollTimer) { pollTimer = setTimeout(poll, POLL_MS); }
    });
  }

  function poll() {
    pollTimer = 0;
    if (!me || (source && source.readyState === 1)) { return; }
    function page(after, first) {
      return ask("GET", "/v1/tasks?after=" + encodeURIComponent(after), undefined, first && tag ? { "if-none-match": tag } : {}).then(function (answer) {
        if (answer.status === 304) { return; }
        if (answer.status === 400) { load(); return; }
        if (answer.status !== 200) { return; }
        answer.body.tasks.forEach(take);
        forget(answer.body.forget);
        if (answer.body.next) { return page(answer.body.next, false); }
        last = answer.body.last;
        tag = answer.body.tasks.length ? null : answer.headers.get("etag");
        if (mandates !== null && mandates !== answer.body.mandates.join(" ")) { load(); }
        render();
      });
    }
    page(last, true).catch(function () {}).then(function () {
      if (me && !(source && source.readyState === 1) && !pollTimer) { pollTimer = setTimeout(poll, POLL_MS); }
    });
  }

  // --- what is done, and sent when it can be ------------------------------------------------------------------------

  function keep() { store("queue." + me.name, JSON.stringify(queue)); bars(); }

  function act(task, action, members, undoable) {
    var entry = Object.assign({ action_id: uuid(), action: action, version: task.version }, members);
    if (!byEvents()) { entry.at = new Date(now()).toISOString(); }
    queue.push({ task_id: task.task_id, mandate: task.mandate, what: members.outcome || action, entry: entry, hold: undoable ? Date.now() + UNDO_MS : 0 });
    keep();
    if (undoable) {
      toast(t("recorded", { what: t(members.outcome || action) }), t("undo"), function () {
        queue = queue.filter(function (one) { return one.entry.action_id !== entry.action_id; });
        keep(); render();
      }, UNDO_MS);
      location.hash = "#/";
    }
    render();
    clearTimeout(sendTimer);
    sendTimer = setTimeout(send, undoable ? UNDO_MS + 50 : 0);
  }

  function send() {
    clearTimeout(sendTimer); sendTimer = 0;
    if (sending || !me || !queue.length) { return; }
    var first = queue[0], wait = first.hold - Date.now();
    // A phone whose clock was set back must not hold for ever.
    if (wait > 0 && wait <= UNDO_MS) { sendTimer = setTimeout(send, wait + 50); return; }
    sending = true;
    var owner = me.name;
    ask("POST", "/v1/tasks/" + encodeURIComponent(first.task_id) + "/actions", first.entry).then(function (answer) {
      sending = false;
      if (!me || me.name !== owner) { return; }
      var what = t(first.what);
      if (answer.status === 200) { settled(first); take(answer.body); }
      else if (answer.status === 409) { settled(first); if (answer.body && answer.body.task) { take(answer.body.task); } toast(t("conflict", { what: what }), t("dismiss")); }
      else if (answer.status === 400 || answer.status === 413) { settled(first); toast(t("refused_field", { what: what, field: (answer.body && answer.body.field) || answer.status }), t("dismiss")); }
      else if (answer.status === 404) { settled(first); toast(t("gone_action", { what: what }), t("dismiss")); }
      else if (answer.status !== 401) { sendTimer = setTimeout(send, 1000 * (Number(answer.headers.get("retry-after")) || 5)); return; }
      render();
      if (answer.status !== 401) { send(); }
    }).catch(function () { sending = false; sendTimer = setTimeout(send, 5000); });
  }

  function settled(one) {
    queue = queue.filter(function (other) { return other.entry.action_id !== one.entry.action_id; });
    keep();
  }

  function queued(task_id) { return queue.filter(function (one) { return one.task_id === task_id; }); }

  // --- drawing ------------------------------------------------------------------------------------------------------

  function show(id) {
    ["signing-in", "listing", "detail"].forEach(function (one) { $(one).hidden = one !== id; });
    bars();
  }

  function bars() {
    var bar = $("connection"), off = !connected || navigator.onLine === false;
    var lost = !off && me && source && source.readyState !== 1 && loaded && pollTimer;
    bar.hidden = !off && !lost;
    bar.textContent = off ? t("offline") : lost ? t("reconnecting") : "";
    $("unsent").hidden = !me || !queue.length;
    $("unsent").textContent = t("unsent", { n: queue.length });
  }

  function toast(text, label, press, ms) {
    var box = $("toast");
    clearTimeout(toastTimer);
    empty(box);
    box.appendChild(el("span", { text: text }));
    box.appendChild(el("button", { type: "button", text: label, click: function () { box.hidden = true; if (press) { press(); } } }));
    box.hidden = false;
    if (ms) { toastTimer = setTimeout(function () { box.hidden = true; }, ms); }
  }

  function route() {
    if (!me) { return; }
    var match = /^#\/task\/(.+)$/.exec(location.hash);
    var id = match ? decodeURIComponent(match[1]) : null;
    if (id !== shown) {
      shown = id; opened = null;
      // What was typed or unfolded at one task is not the next one's.
      empty($("detail"));
      if (id) { openDetail(id); }
      window.scrollTo(0, 0);
    }
    show(id ? "detail" : "listing");
    render();
    var heading = id ? $("detail-title") : null;
    if (heading) { heading.focus(); }
  }

  function openDetail(id) {
    ask("GET", "/v1/tasks/" + encodeURIComponent(id)).then(function (answer) {
      if (shown !== id) { return; }
      if (answer.status === 200) { opened = answer.body; }
      else if (answer.status === 429) { toast(t("too_many", { t: span(Number(answer.headers.get("retry-after")) * 1000) }), t("dismiss")); }
      else if (answer.status === 404) { opened = { gone: true, task_id: id }; tasks.delete(id); }
      render();
    }).catch(function () {});
  }

  var RANK = { HIGH: 0, MEDIUM: 1, LOW: 2 };
  function urgency(a, b) {
    return RANK[a.priority] - RANK[b.priority] || String(a.due_at || "9").localeCompare(String(b.due_at || "9")) || (a.task_id < b.task_id ? -1 : 1);
  }

  function due(task) {
    if (!task.due_at || (task.state !== "OPEN" && task.state !== "CLAIMED")) { return null; }
    if (byEvents()) { return el("span", { class: "meta", text: t("due_at", { t: when(task.due_at) }) }); }
    var left = Date.parse(task.due_at) - now();
    return el("span", { class: left < 0 ? "late" : "meta", text: t(left < 0 ? "overdue" : "due_in", { t: span(left) }) });
  }

  function holder(task) {
    if (task.state !== "CLAIMED") { return null; }
    return el("span", { class: "chip state", text: task.assignee === me.name ? t("mine") : t("by", { name: task.assignee || "" }) });
  }

  function chip(task) {
    var name = String(task.priority || "LOW").toLowerCase();
    return el("span", { class: "chip " + name, text: t(name) });
  }

  function card(task) {
    var waiting = queued(task.task_id).length > 0, live = task.state === "OPEN" || task.state === "CLAIMED";
    return el("li", {}, el("button", { type: "button", class: "card " + String(task.priority).toLowerCase(), click: function () { location.hash = "#/task/" + encodeURIComponent(task.task_id); } },
      el("span", { class: "row" }, live ? chip(task) : el("span", { class: "chip state", text: t(task.state === "DONE" && task.outcome || task.state) }), due(task), holder(task),
        task.triage ? el("span", { class: "chip state", text: t("triage") }) : null, waiting ? el("span", { class: "chip wait", text: t("waiting_to_send") }) : null),
      el("span", { class: "address", text: task.address || t("no_address") }),
      el("span", { class: "row meta" }, el("span", { text: t("signals", { n: Math.max(task.evidence.length, task.joined + 1) }) }),
        task.attempts ? el("span", { text: t("attempts", { n: task.attempts }) }) : null,
        task.supervisor ? el("span", { text: t("supervisor_list") }) : null,
        el("span", { text: gridName(task.grid) }))));
  }

  function render() {
    if (!me) { return; }
    bars();
    // What is not on the screen is not kept in the page either: it may have to be forgotten meanwhile.
    if (!$("detail").hidden) { empty($("tasks")); renderDetail(); return; }
    empty($("detail"));
    var open = Array.from(tasks.values()).sort(urgency);
    $("count").textContent = loaded ? String(open.length) : "";
    $("tab-open").setAttribute("aria-pressed", String(tab === "open"));
    $("tab-done").setAttribute("aria-pressed", String(tab === "done"));
    $("lists").hidden = me.role !== "supervisor";
    document.querySelectorAll("#lists button").forEach(function (button) { button.setAttribute("aria-pressed", String(tab === button.getAttribute("data-list"))); });
    var list = tab === "open" ? open : isList() ? Array.from(listed.values()).sort(urgency) : Array.from(doneTasks.values()).sort(function (a, b) { return String(b.screened_at || "").localeCompare(String(a.screened_at || "")); });
    var box = $("tasks"), focused = document.activeElement && box.contains(document.activeElement) ? Array.prototype.indexOf.call(box.children, document.activeElement.parentNode) : -1;
    empty(box);
    list.slice(0, 300).forEach(function (task) { box.appendChild(card(task)); });
    if (focused >= 0 && box.children[focused]) { box.children[focused].firstChild.focus(); }
    var nothing = $("empty");
    nothing.hidden = list.length > 0;
    empty(nothing);
    if (!list.length) {
      nothing.appendChild(el("strong", { text: !loaded ? t("loading") : tab === "open" ? t("empty_open") : isList() ? t("empty_list") : t("empty_done") }));
      if (loaded && tab === "open") { nothing.appendChild(el("span", { text: t("empty_open_help") })); }
    }
    $("who").textContent = me.name + " · " + t(me.role);
  }

  function fact(list, name, value) {
    if (value === null || value === undefined || value === "") { return; }
    list.appendChild(el("dt", { text: t(name) }));
    list.appendChild(el("dd", { text: value }));
  }

  function panel(title) {
    var box = el("section", { class: "panel" }, el("h3", { text: t(title) }));
    for (var i = 1; i < arguments.length; i++) { if (arguments[i]) { box.appendChild(arguments[i]); } }
    return box;
  }

  function renderDetail() {
    var box = $("detail"), task = opened || tasks.get(shown) || doneTasks.get(shown) || listed.get(shown);
    var note = $("note-text"), typed = note ? note.value : "", typing = note && document.activeElement === note;
    var more = $("more"), expanded = more ? more.open : false, chosen = $("to-grid") ? $("to-grid").value : "";
    var household = $("household") ? $("household").value : "", naming = $("household") && document.activeElement === $("household"), left = unticked();
    empty(box);
    box.appendChild(el("button", { type: "button", class: "back", text: "‹ " + t("back"), click: function () { location.hash = "#/"; } }));
    if (!task || task.gone) {
      box.appendChild(el("div", { class: "empty" }, el("strong", { id: "detail-title", tabindex: "-1", text: t(task ? task.why || "gone" : "loading") })));
      return;
    }
    var live = task.state === "OPEN" || task.state === "CLAIMED", mine = task.assignee === me.name;
    var waiting = queued(task.task_id);
    function unsent(action) { return waiting.some(function (one) { return one.entry.action === action; }); }
    var decidable = live && (task.state === "OPEN" || mine) && !unsent("outcome") && !unsent("hand_back");
    box.appendChild(el("div", { class: "panel" },
      el("div", { class: "row" }, chip(task), due(task), holder(task), live ? null : el("span", { class: "chip state", text: t(task.state) }),
        waiting.length ? el("span", { class: "chip wait", text: t(waiting[0].what) + " · " + t("waiting_to_send") }) : null),
      el("h2", { id: "detail-title", tabindex: "-1", text: task.address || t("no_address") }),
      el("p", { class: "meta", text: gridName(task.grid) })));
    if (task.contact && (task.contact.name || task.contact.phone)) {
      box.appendChild(panel("contact", el("p", { text: task.contact.name || "" }),
        task.contact.phone ? el("a", { class: "call", href: "tel:" + String(task.contact.phone).replace(/[^+\d]/g, ""), text: t("call", { phone: task.contact.phone }) }) : null));
    }
    if (decidable) {
      var grid = el("div", { class: "outcomes" });
      ["screened", "not_home", "needs_help", "refused", "moved_away", "wrong_household"].forEach(function (outcome) {
        grid.appendChild(el("button", { type: "button", class: outcome === "screened" ? "primary" : "", text: t(outcome), "data-outcome": outcome, click: function () { act(task, "outcome", { outcome: outcome }, true); } }));
      });
      box.appendChild(panel("outcomes", grid));
    }
    var buttons = el("div", { class: "more" });
    if (task.state === "OPEN" && decidable && !unsent("claim")) { buttons.appendChild(el("button", { type: "button", text: t("claim"), "data-action": "claim", click: function () { act(task, "claim", {}); } })); }
    if (task.state === "CLAIMED" && (mine || me.role === "supervisor") && !unsent("release")) { buttons.appendChild(el("button", { type: "button", text: t("release"), "data-action": "release", click: function () { act(task, "release", {}); } })); }
    if (buttons.firstChild) { box.appendChild(el("div", { class: "panel" }, buttons)); }
    if (task.evidence) {
      var items = el("ul", { class: "evidence" });
      task.evidence.forEach(function (one) {
        items.appendChild(el("li", {}, el("strong", { text: t(one.kind) }), el("span", { text: "  " + when(one.observed_at) }),
          one.origin_division ? el("span", { class: "meta", text: "  " + t("from_division", { d: one.origin_division }) }) : null));
      });
      box.appendChild(panel("evidence", items, task.joined ? el("p", { class: "meta", text: t("joined", { n: task.joined }) }) : null));
    }
    var facts = el("dl", { class: "facts" });
    fact(facts, "state", t(task.state));
    fact(facts, "outcome", task.outcome ? t(task.outcome) : null);
    fact(facts, "opened", task.opened_at ? when(task.opened_at) : null);
    fact(facts, "due", live && task.due_at ? when(task.due_at) : null);
    fact(facts, "covered", task.covered_until ? when(task.covered_until) : null);
    fact(facts, "last_note", task.note);
    box.appendChild(el("div", { class: "panel" }, facts));
    var inside = el("div", { class: "more" },
      el("label", { for: "note-text", text: t("note") }), el("textarea", { id: "note-text", maxlength: "2000", placeholder: t("note_help") }),
      el("button", { type: "button", text: t("save"), "data-action": "note", click: function () {
        var text = $("note-text").value.trim();
        if (text) { $("note-text").value = ""; act(task, "note", { note: text }); toast(t("recorded", { what: t("note") }), t("dismiss"), null, 3000); }
      } }));
    if (decidable) {
      var select = el("select", { id: "to-grid" }, el("option", { value: "", text: t("unknown_grid") }));
      gridNames.forEach(function (name, code) { if (code !== task.grid) { select.appendChild(el("option", { value: code, text: name })); } });
      inside.appendChild(el("label", { for: "to-grid", text: t("to_grid") }));
      inside.appendChild(select);
      inside.appendChild(el("button", { type: "button", text: t(me.role === "supervisor" ? "assign" : "hand_back"), "data-action": "hand_back", click: function () { act(task, "hand_back", { to_grid: $("to-grid").value || null }, true); } }));
    }
    if (task.people && task.people.length) { registering(task, inside, left); }
    if (task.supervisor && !live && me.role === "supervisor") { inside.insertBefore(el("p", { class: "meta", text: t("seen_to_help") }), inside.firstChild); }
    var details = el("details", { id: "more", class: "panel" }, el("summary", { text: t("more") }), inside);
    details.open = expanded;
    box.appendChild(details);
    $("note-text").value = typed;
    if (typing) { $("note-text").focus(); }
    if ($("to-grid")) { $("to-grid").value = chosen; }
    if ($("household")) { $("household").value = household; if (naming) { $("household").focus(); } }
  }

  function unticked() {
    return Array.prototype.map.call(document.querySelectorAll("#people input:not(:checked)"), function (box) { return box.value; });
  }

  /* Who at the door is of which household: its code, with those that this phone has tasks of offered. */
  function registering(task, inside, left) {
    var known = el("datalist", { id: "households" });
    tasks.forEach(function (one) { if (one.household) { known.appendChild(el("option", { value: one.household, label: one.address || one.household })); } });
    inside.appendChild(el("label", { for: "household", text: t("register_help") }));
    inside.appendChild(el("input", { id: "household", type: "text", list: "households", autocapitalize: "off", autocomplete: "off", spellcheck: "false" }));
    inside.appendChild(known);
    var people = el("div", { id: "people", role: "group", "aria-label": t("people") });
    if (task.people.length > 1) {
      task.people.forEach(function (one, at) {
        var box = el("input", { type: "checkbox", value: one.person });
        box.checked = left.indexOf(one.person) < 0;
        people.appendChild(el("label", { class: "tick" }, box, el("span", { text: (at + 1) + " · " + t("since", { t: one.since ? when(one.since) : "—" }) })));
      });
      inside.appendChild(people);
    }
    inside.appendChild(el("button", { type: "button", text: t("register"), "data-action": "register", click: function () {
      var household = $("household").value.trim(), out = unticked();
      var chosen = task.people.map(function (one) { return one.person; }).filter(function (person) { return out.indexOf(person) < 0; });
      if (!household || !chosen.length) { $("household").focus(); return; }
      $("household").value = "";
      act(task, "register", { household: household, people: chosen });
      toast(t("recorded", { what: t("register") }), t("dismiss"), null, 3000);
    } }));
  }

  // --- the first strokes --------------------------------------------------------------------------------------------

  $("size").addEventListener("click", function () { size = (size + 1) % SIZES; store("size", String(size)); dress(); });
  $("language").addEventListener("click", function () { language = language === "en" ? "zh-CN" : "en"; store("language", language); dress(); });
  $("tab-open").addEventListener("click", function () { tab = "open"; render(); });
  $("tab-done").addEventListener("click", function () { tab = "done"; render(); loadDone(); });
  document.querySelectorAll("#lists button").forEach(function (button) {
    button.addEventListener("click", function () { tab = button.getAttribute("data-list"); listed = new Map(); render(); loadList(); });
  });
  $("sign-in-form").addEventListener("submit", function (event) {
    event.preventDefault();
    ask("POST", "/sign-in", { token: $("token").value.trim() }).then(function (answer) {
      if (answer.status === 204) { $("token").value = ""; start(); }
      else { askToSignIn(answer.status === 401 || answer.status === 400 ? "sign_in_failed" : answer.status === 403 ? "sign_in_role" : "sign_in_later"); }
    }).catch(function () { askToSignIn("sign_in_later"); });
  });
  $("sign-out").addEventListener("click", function () {
    if (queue.length) { toast(t("sign_out_unsent"), t("dismiss")); send(); return; }
    ask("POST", "/sign-out").then(function () { stop(); tasks.clear(); doneTasks.clear(); listed.clear(); opened = null; loaded = false; tab = "open"; location.hash = "#/"; askToSignIn(null); }).catch(function () { toast(t("at_most"), t("dismiss")); });
  });
  window.addEventListener("hashchange", route);
  window.addEventListener("online", function () { bars(); send(); if (me) { listen(); } });
  window.addEventListener("offline", bars);
  document.addEventListener("visibilitychange", function () { if (!document.hidden && me) { send(); if (!source || source.readyState === 2) { listen(); } } });
  setInterval(loadNotices, 60000);
  setInterval(function () { if (me && $("detail").hidden && !document.hidden) { render(); } }, 30000);
  dress();
  start();
})();
