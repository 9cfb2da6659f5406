// The page as a whole: which view is open, keys, and what is said about saving.
const App = (() => {
  const { find, write } = Dom;
  const data = JSON.parse(find("data").textContent);
  const token = document.querySelector("meta[name=secondlook-token]").content;
  const isDesk = data.name === "desk";
  const source = isDesk ? Server : Disk;
  let view = "", before = 0; // before: decisions on this page under another name
  const views = { single: Single, wall: Wall };

  const hush = Dom.later(() => write("message", ""), 6000);
  const say = (text) => { write("message", text); hush(); };
  const fail = (error) => say(error instanceof TypeError || error.name === "TimeoutError" ? Words.silent : error.message);
  const person = () => Person.require();

  const drawSaved = () => {
    write("saved", Outbox.say());
    find("saved").title = Outbox.say(); // the header may cut it
    find("saved").classList.toggle("problem", Boolean(Outbox.state.problem || Outbox.state.refused.length));
  };

  const kept = (isKept) => {
    if (isKept && Outbox.state.stored) { if (!token) write("saved", ""); return; }
    write("saved", Words.cannotStore);
    find("saved").classList.add("problem");
  };

  const progress = () => {
    const done = Decisions.count(), all = data.cards.length;
    find("undo").disabled = find("wall-undo").disabled = !Decisions.mayUndo();
    if (isDesk) return write("count", Words.today(Math.max(done - before, (Desk.state() || {}).mine || 0)));
    Object.assign(find("progress"), { max: Math.max(1, all), value: done });
    write("count", Words.done(done, all));
    return write("left", Decisions.timeLeft(all - done));
  };

  // --- which view: #single, #single-random, #wall, #wall=CLASS, #random

  const at = (hash) => {
    const [name, ...rest] = hash.split("=");
    history.replaceState(null, "", `#${name}${rest.length ? `=${encodeURIComponent(rest.join("="))}` : ""}`);
    for (const tab of document.querySelectorAll("nav.tabs a")) {
      if (tab.hash === `#${name}`) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
  };

  const go = (hash) => { at(hash); route(); };

  const settle = () => { // keys act on the view again
    if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
    if (view === "wall") find("grid").focus({ preventScroll: true });
  };

  const open = (name) => { // a part whose id equals the hash would take the focus
    view = name;
    document.body.dataset.view = name;
    for (const one of Object.keys(views)) find(`view-${one}`).hidden = one !== name;
    settle();
  };

  const visit = (cards, back) => {
    open("single");
    Single.start("visit", cards, (left) => { Single.released(); open("wall"); Pace.came(); back(left); });
  };

  const undoScreen = () => { // a screen comes back on its wall
    const visited = Single.visited();
    Single.released();
    open("wall");
    Wall.undo(visited);
  };

  const parse = () => {
    const [name, label] = location.hash.slice(1).split("=");
    try { return { name: name || "single", label: label === undefined ? null : decodeURIComponent(label) }; }
    catch { return { name: name || "single", label: null }; }
  };

  const route = () => {
    const { name, label } = parse(), wall = name === "wall" || name === "random";
    at(label === null ? name : `${name}=${label}`);
    open(wall ? "wall" : "single");
    Wall.clear();
    Single.released();
    if (isDesk && !Person.name()) return Person.ask(); // what is claimed needs a name
    if (wall) return Wall.start(name === "random" ? "random" : "queue", label);
    return Single.start(name === "single-random" ? "random" : "mixed");
  };

  // --- keys and buttons

  const isNative = (event) => { // what a focused control does by itself
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape" || (event.key === "Enter" && event.target.id !== "search")) event.target.blur();
      return true;
    }
    return Boolean(event.target.closest("button, a, summary")) && (event.key === "Enter" || event.key === " ");
  };

  const MAY_BE_HELD = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "[", "]"]); // they only move and zoom

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || find("help").open || isNative(event)) return;
    if (event.repeat && !MAY_BE_HELD.has(event.key)) { event.preventDefault(); return; }
    if (event.key === "?") find("help").showModal();
    else if (!views[view].key(event)) return;
    event.preventDefault();
  };

  const freed = () => { Wall.clear(); Single.released(); };

  const rejoin = () => { // somebody else sits here now
    before = Decisions.count();
    Desk.forget();
    route();
  };

  const leave = () => { // the objects of this page are free for others
    if (isDesk) Server.leave();
  };

  const begin = () => {
    Person.show();
    if (token) Server.open(token, Person.name);
    if (token) Outbox.open(`${data.task}:${data.key}`, token, drawSaved);
    Decisions.open(data, token, (isKept) => { kept(isKept); progress(); views[view].refresh(); });
    Classes.begin(data);
    Disk.open(data);
    Single.begin(data, source);
    Wall.begin(data, source);
    Person.begin(() => { if (isDesk) rejoin(); }, { redraw: () => Crop.draw(), leaving: isDesk ? freed : null });
    const clicks = { download: () => Decisions.download(Person.name()), "help-open": () => find("help").showModal() };
    for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", () => { settle(); action(); });
    const last = Classes.KEYS[Math.min(Classes.KEYS.length, data.classes.length) - 1] || "";
    for (const place of document.querySelectorAll(".class-keys")) place.textContent = data.classes.length > 1 ? `1 to ${last.toUpperCase()}` : "1";
    document.addEventListener("keydown", onKey);
    addEventListener("hashchange", route);
    addEventListener("pagehide", leave);
    addEventListener("pageshow", (event) => { if (event.persisted && isDesk) location.reload(); });
    if (token) Desk.begin(() => { progress(); if (view === "single") Single.waiting(); });
    route();
  };

  return { begin, say, fail, person, kept, progress, at, go, visit, undoScreen };
})();
Store.ready.then(App.begin);
