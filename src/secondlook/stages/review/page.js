"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const token = document.querySelector("meta[name=secondlook-token]").content;
  const find = (id) => document.getElementById(id);
  const KEYS = [..."123456789abcdefghijklmnopqrstvwyz"]; // without u (undo) and x (cannot tell)
  const MANY = KEYS.length;
  const state = Store.open(data.key);
  const open = { list: [], at: 0, search: "" };
  const unsent = []; // what the server has not saved yet, in order
  let sending = Promise.resolve();

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") made.addEventListener("click", value);
      else if (value !== null && value !== false) made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // --- which objects are shown

  const matches = (item) => {
    const chosen = find("filter-class").value, conflict = find("filter-conflict").value;
    const range = find("filter-confidence").value, decided = find("filter-decided").value;
    const contradicted = item.given !== null && item.proposal !== null && item.given !== item.proposal;
    if (chosen !== "" && item.proposal !== data.classes[chosen] && item.given !== data.classes[chosen]) return false;
    if (conflict && contradicted !== (conflict === "yes")) return false;
    if (decided && Boolean(state.said[item.id]) !== (decided === "yes")) return false;
    if (!range) return true;
    const [low, high] = range.split(",").map(Number);
    return item.confidence >= low && item.confidence < high;
  };

  const refilter = () => {
    const before = open.list[open.at];
    open.list = data.items.map((_, index) => index).filter((index) => matches(data.items[index]));
    open.at = Math.max(0, open.list.indexOf(before));
    find("matching").textContent = open.list.length === data.items.length ? "" : `${open.list.length} match`;
    show();
  };

  const current = () => data.items[open.list[open.at]];

  // --- drawing; only the current object and a few neighbours exist in the page

  const nothing = (text) => element("p", { class: "none" }, text);

  const drawWhole = (item) => {
    const address = data.images[item.image];
    if (!address) return find("whole").replaceChildren(nothing("The image cannot be read."));
    const [x, y, w, h] = item.box, [width, height] = item.size;
    const share = (part, whole) => `${(100 * part) / whole}%`;
    const mark = element("i");
    Object.assign(mark.style, { left: share(x, width), top: share(y, height), width: share(w, width), height: share(h, height) });
    find("whole").replaceChildren(element("img", { src: address, alt: "the whole image" }), mark);
  };

  const drawClasses = (item) => {
    const decision = state.said[item.id];
    const wanted = open.search.toLowerCase();
    const many = data.classes.length > MANY;
    const shown = data.classes.map((name, index) => ({ name, index }))
      .filter(({ name }) => !wanted || name.toLowerCase().includes(wanted))
      .sort((a, b) => many && !wanted ? rank(item, a.name) - rank(item, b.name) || a.index - b.index : a.index - b.index)
      .slice(0, 60);
    const buttons = shown.map(({ name, index }) => element("button", {
      class: [name === item.proposal && "proposal", decision && decision.label === name && "chosen"].filter(Boolean).join(" "),
      "aria-pressed": String(Boolean(decision && decision.label === name)), "data-class": index, onclick: () => decide(name),
    }, index < MANY ? element("kbd", {}, KEYS[index].toUpperCase()) : null, element("span", {}, name)));
    find("classes").replaceChildren(...(open.search || many ? [searchBox()] : []), ...buttons);
  };

  const rank = (item, name) => (name === item.proposal ? 0 : name === item.given ? 1
    : item.votes.some((vote) => vote.p.some(([index]) => data.classes[index] === name)) ? 2 : 3);

  const searchBox = () => {
    const box = element("input", { id: "search", placeholder: "find a class", "aria-label": "find a class" });
    box.value = open.search;
    box.addEventListener("input", () => { open.search = box.value; drawClasses(current()); find("search").focus(); });
    return box;
  };

  const drawVotes = (item) => {
    const rows = item.votes.map((vote) => {
      const chances = vote.p.map(([index, p]) => {
        const bar = element("i");
        bar.style.width = `${100 * (p ?? 1)}%`;
        const name = data.classes[index];
        return element("div", { class: name === item.proposal ? "chance proposal" : "chance" },
          element("span", { title: name }, name), bar, element("span", {}, p === null ? "vote" : p.toFixed(2)));
      });
      const answer = vote.p.length ? null : element("span", { class: "quiet" }, vote.answer ? `${vote.status}: ${vote.answer}` : vote.status);
      return element("div", { class: "vote" }, element("b", {}, vote.labeler), element("div", {}, ...chances, answer));
    });
    find("votes").replaceChildren(...rows);
  };

  const drawAlso = (item) => { // the objects that a decision on this one decides, too
    const count = item.also.length, hidden = count - item.also_crops.length;
    find("also").hidden = !count;
    if (!count) return;
    find("also").replaceChildren(
      element("p", {}, `also decides ${count} near-duplicate${count > 1 ? "s" : ""} or object${count > 1 ? "s" : ""} of its track`),
      element("div", {}, ...item.also_crops.map((crop) => element("img", { src: crop, alt: "" })),
        hidden > 0 ? element("span", { class: "quiet" }, `+ ${hidden}`) : null));
  };

  const drawStrip = () => {
    const first = Math.max(0, Math.min(open.at - 7, open.list.length - 15));
    const shown = open.list.slice(first, first + 15);
    find("strip").replaceChildren(...shown.map((index, offset) => {
      const item = data.items[index], place = first + offset;
      const classes = [place === open.at && "now", state.said[item.id] && "done"].filter(Boolean).join(" ");
      const image = item.crop ? element("img", { src: item.crop, alt: "" }) : element("span", {}, "?");
      return element("button", { class: classes, tabindex: "-1", title: item.proposal || "", onclick: () => move(place - open.at) }, image);
    }));
  };

  const drawProgress = () => {
    const done = data.items.filter((item) => state.said[item.id]).length;
    find("progress").max = Math.max(1, data.items.length);
    find("progress").value = done;
    find("count").textContent = `${done} of ${data.items.length}`;
    find("left").textContent = timeLeft(data.items.length - done);
    find("undo").disabled = !state.order.length;
  };

  const timeLeft = (count) => {
    const times = state.order.map((id) => state.said[id] && Date.parse(state.said[id].decided_at)).filter(Boolean).slice(-30);
    const gaps = times.slice(1).map((time, index) => time - times[index]).filter((gap) => gap >= 0 && gap < 120000).sort((a, b) => a - b);
    if (!count || gaps.length < 3) return count ? "" : "all done";
    const minutes = (count * gaps[gaps.length >> 1]) / 60000;
    return minutes < 1 ? "under a minute left" : `about ${Math.round(minutes)} min left`;
  };

  const show = () => {
    const item = current();
    find("main").hidden = !item;
    find("empty").hidden = Boolean(item);
    drawProgress();
    drawStrip();
    if (!item) return;
    drawWhole(item);
    find("crop").replaceChildren(item.crop ? element("img", { src: item.crop, alt: "the object" }) : nothing("There is no crop."));
    find("path").textContent = `${item.path} · ${Math.round(item.box[2])} × ${Math.round(item.box[3])} px`;
    find("given").textContent = item.given ?? "none";
    find("proposal").textContent = item.proposal ?? "none";
    find("confidence").textContent = item.proposal === null ? "" : item.confidence > 0.999 ? "> 0.999" : item.confidence.toFixed(3);
    document.querySelector(".labels").classList.toggle("conflict", item.given !== null && item.given !== item.proposal);
    find("reason").textContent = `${open.at + 1}. ${item.reason}`;
    find("accept").disabled = item.proposal === null;
    const decision = state.said[item.id];
    find("decided").textContent = decision ? (decision.label === "" ? "You could not tell." : `You chose ${decision.label}.`) : "";
    drawAlso(item);
    drawClasses(item);
    drawVotes(item);
  };

  // --- deciding

  const row = (item, decision) => ({
    instance_id: item.id, image_path: item.path, x: item.box[0], y: item.box[1], w: item.box[2], h: item.box[3],
    given: item.given ?? "", proposal: item.proposal ?? "", label: decision.label, reviewer: decision.reviewer,
    sample: item.sample, probability: item.probability ?? "", note: decision.note ?? "", decided_at: decision.decided_at,
    also: decision.label === "" ? "" : (decision.also ?? ""), // what this page showed when it was decided
  });

  const reviewer = () => {
    const typed = find("reviewer").value.trim();
    if (typed) return typed;
    const name = (window.prompt("Your name, as it will appear with your decisions:") || "").trim();
    find("reviewer").value = name;
    Store.rename(name);
    return name;
  };

  const keep = () => {
    const kept = Store.save(data.key, state);
    if (!kept) find("saved").textContent = "This browser cannot store decisions: download them before you close the page.";
    else if (!token) find("saved").textContent = "";
  };

  const post = async (body) => {
    try {
      const answer = await fetch("decisions", { method: "POST", body, headers: { "Content-Type": "application/json", "X-Token": token } });
      return answer.ok ? "" : answer.statusText;
    } catch { return "the server does not answer; download the decisions instead"; }
  };

  const sendAll = async () => { // one at a time; what fails is sent again with the next decision
    const failed = [];
    let problem = "";
    for (const body of unsent.splice(0)) {
      const why = await post(body);
      if (why) failed.push(body);
      problem = why || problem;
    }
    unsent.unshift(...failed);
    find("saved").textContent = problem ? `not saved (${failed.length}): ${problem}` : "saved";
  };

  const send = (item, decision) => {
    if (!token) return;
    unsent.push(JSON.stringify(row(item, decision)));
    sending = sending.then(sendAll);
  };

  const decide = (label) => {
    const item = current(), name = item && reviewer();
    if (!name) return;
    const decision = { label, reviewer: name, decided_at: new Date().toISOString(), also: item.also.join(" ") };
    state.said[item.id] = decision;
    state.order = state.order.filter((id) => id !== item.id).concat(item.id);
    open.search = "";
    keep();
    send(item, decision);
    next();
  };

  const next = () => {
    const after = open.list.findIndex((index, place) => place > open.at && !state.said[data.items[index].id]);
    const anywhere = open.list.findIndex((index) => !state.said[data.items[index].id]);
    if (after >= 0) open.at = after;
    else if (anywhere >= 0) open.at = anywhere;
    show();
  };

  const undo = () => {
    const id = state.order.pop();
    if (id === undefined) return;
    const item = data.items.find((one) => one.id === id), decision = state.said[id];
    delete state.said[id];
    keep();
    send(item, { ...decision, label: "", note: data.undone, decided_at: new Date().toISOString() });
    if (!open.list.includes(data.items.indexOf(item))) refilter();
    open.at = Math.max(0, open.list.indexOf(data.items.indexOf(item)));
    show();
  };

  const move = (steps) => {
    open.at = Math.max(0, Math.min(open.list.length - 1, open.at + steps));
    open.search = "";
    show();
  };

  // --- downloading

  const cell = (value) => {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csv = () => {
    const rows = data.items.filter((item) => state.said[item.id]).map((item) => row(item, state.said[item.id]));
    return [data.columns, ...rows.map((one) => data.columns.map((name) => one[name]))].map((cells) => cells.map(cell).join(",") + "\n").join("");
  };

  const download = () => {
    const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    const name = (find("reviewer").value.trim() || "nobody").replace(/[^\p{L}\p{N}_-]+/gu, "_");
    element("a", { href: address, download: `decisions-${data.name}-${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };

  // --- keys and buttons

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
    const inside = event.target.closest("input, select, textarea");
    if (inside && inside.id === "search" && event.key === "Enter") {
      const first = find("classes").querySelector("button");
      if (first) first.click();
      return event.preventDefault();
    }
    if (inside) { if (event.key === "Escape" || event.key === "Enter") { open.search = ""; inside.blur(); show(); } return; }
    const keys = {
      Enter: () => current() && current().proposal !== null && decide(current().proposal),
      ArrowLeft: () => move(-1), ArrowRight: () => move(1), "?": () => find("help").showModal(),
      "/": () => { find("classes").prepend(searchBox()); find("search").focus(); },
      u: undo, x: () => current() && decide(""),
    };
    const index = KEYS.indexOf(event.key.toLowerCase());
    const action = keys[event.key] || keys[event.key.toLowerCase()];
    if (action) action();
    else if (index >= 0 && index < data.classes.length && current()) decide(data.classes[index]);
    else return;
    event.preventDefault();
  };

  const begin = () => {
    find("filter-class").append(element("option", { value: "" }, "any"),
      ...data.classes.map((name, index) => element("option", { value: index }, name)));
    for (const filter of document.querySelectorAll(".filters select")) filter.addEventListener("change", () => { refilter(); filter.blur(); });
    find("reviewer").value = Store.name();
    find("reviewer").addEventListener("change", () => Store.rename(find("reviewer").value.trim()));
    const clicks = { accept: () => decide(current().proposal), unsure: () => decide(""), undo, download, "help-open": () => find("help").showModal() };
    for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", (event) => { event.currentTarget.blur(); action(); });
    const last = KEYS[Math.min(MANY, data.classes.length) - 1] || "";
    find("help-keys").textContent = data.classes.length > 1 ? `1 to ${last.toUpperCase()}` : "1";
    document.addEventListener("keydown", onKey);
    refilter();
    const first = open.list.findIndex((index) => !state.said[data.items[index].id]);
    if (first > 0) { open.at = first; show(); }
  };

  begin();
})();
