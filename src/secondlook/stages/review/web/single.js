// The single view: one object in the whole window, one decision at a time.
const Single = (() => {
  const { find } = Dom;
  const AHEAD = 10, LOOKS_AHEAD = 3, RETRY_MS = 2000;
  let data = null, source = null, isDesk = false;
  // mode: mixed, random, or visit (a few objects that a wall could not decide; then `back`)
  const open = { list: [], at: 0, mode: "mixed", back: null, fetching: null, waits: false, turn: 0, left: 0 };
  const clock = makeClock(), stacks = new Map(); // id -> whether a decision decides the stack, where a person has said so

  const current = () => open.list[open.at];
  const isOpen = (card) => !Decisions.said(card.id);
  const decides = (card) => card.also.length > 0 && (stacks.get(card.id) ?? card.copies);

  // --- which objects

  const filters = () => Object.fromEntries(["class", "conflict", "confidence", "decided"]
    .map((name) => [name, (find(`filter-${name}`) || { value: "" }).value]));

  const matches = (card, wanted) => {
    const contradicted = card.given !== null && card.proposal !== null && card.given !== card.proposal;
    const name = wanted.class === "" ? null : data.classes[wanted.class];
    if (open.mode === "random" && card.sample === "queue") return false;
    if (name !== null && card.proposal !== name && card.given !== name) return false;
    if (wanted.conflict && contradicted !== (wanted.conflict === "yes")) return false;
    if (wanted.decided && isOpen(card) !== (wanted.decided === "no")) return false;
    if (!wanted.confidence) return true;
    const [low, high] = wanted.confidence.split(",").map(Number);
    return card.confidence >= low && card.confidence < high;
  };

  const refilter = () => {
    const before = current(), wanted = filters();
    open.list = data.cards.filter((card) => matches(card, wanted));
    open.at = Math.max(0, open.list.indexOf(before));
    Dom.write("matching", open.list.length === data.cards.length ? "" : Words.matching(open.list.length));
  };

  const request = () => { // a filter never touches the random sample: then only the queue is asked
    const wanted = filters(), name = wanted.class === "" ? null : data.classes[wanted.class];
    const only = { yes: "contradicted", no: "confirmed" }[wanted.conflict] ?? null;
    const below = wanted.confidence ? Math.min(1, Number(wanted.confidence.split(",")[1])) : null;
    const part = open.mode === "random" ? "random" : name !== null || only || below ? "queue" : "mixed";
    return part === "random" ? { part } : { part, name, only, below };
  };

  const claim = async () => {
    const turn = open.turn, holding = open.list.filter(isOpen).map((card) => card.id);
    const got = await source.claim({ ...request(), count: AHEAD, holding }, () => turn === open.turn);
    if (turn !== open.turn) return;
    const now = current(), fresh = new Set(got.cards.map((card) => card.id)); // what is asked once more stands last
    open.list = [...open.list.filter((card) => card === now || !fresh.has(card.id)), ...got.cards.filter((card) => !now || card.id !== now.id)];
    open.at = Math.max(0, open.list.indexOf(now));
    open.left = got.left;
  };

  const refill = async () => { // the next objects come while people look
    if (!isDesk || open.mode === "visit" || open.fetching) return;
    if (open.list.slice(open.at).filter(isOpen).length > AHEAD / 2) return;
    const turn = open.turn;
    open.waits ||= !current() || !isOpen(current());
    open.fetching = claim().catch((error) => App.fail(error)).finally(() => { if (turn === open.turn) open.fetching = null; });
    await open.fetching;
    if (turn !== open.turn) return; // another list has begun
    if (open.waits && open.list.some(isOpen)) { Object.assign(open, { at: open.list.findIndex(isOpen), waits: false }); show(); }
    else if (current()) drawRest();
    else show();
    if (open.waits) App.say(Words.nothingLeft);
  };

  const released = () => { // claims end where nobody looks any more
    if (isDesk && open.mode !== "visit") source.release(open.list.filter(isOpen).map((card) => card.id));
    Object.assign(open, { list: [], turn: open.turn + 1, fetching: null });
  };

  // --- drawing

  const picker = (card) => ({ place: find("classes"), likely: likely(card), proposal: card.proposal, chosen: (Decisions.said(card.id) || {}).label, choose: decide });

  const likely = (card) => {
    const look = open.look && open.look.id === card.id ? open.look.look : null;
    const voted = look ? look.votes.flatMap((vote) => vote.p).sort((a, b) => (b[1] ?? 1) - (a[1] ?? 1)).map(([index]) => data.classes[index]) : [];
    return [...new Set([card.proposal, card.given, ...voted].filter((name) => name !== null))];
  };

  const drawRest = () => { App.progress(); Panel.strip(open.list, open.at, source, move); };

  const drawLook = (card, look) => {
    Panel.votes(card, look, data.classes);
    Panel.stack(card, look, decides(card), toggleStack);
    Panel.alike(look);
    Panel.track(look);
  };

  const drawMarked = (card) => {
    const isWrong = Boolean(card) && isMarked(card);
    if (isWrong) find("accept").disabled = true;
    Dom.write("marked-wrong", isWrong ? Words.markedWrong : "");
  };

  const show = () => {
    const card = current();
    find("main").hidden = !card;
    find("main").dataset.id = card ? card.id : "";
    find("empty").hidden = Boolean(card) || Boolean(open.fetching);
    drawRest();
    if (!card) return;
    const isNew = open.shown !== card.id;
    Panel.facts(card, open.at + 1);
    drawMarked(card);
    if (isNew || !open.look) { open.look = null; clock.begin(); Pace.came(); Crop.show(card); drawLook(card, null); }
    else drawLook(card, open.look.look);
    Classes.draw(picker(card));
    open.shown = card.id;
    if (isNew) fetchLook(card);
    refill();
  };

  const fetchLook = async (card) => {
    source.thumbnails([card.id]).then((found) => Crop.add(card, { thumbnail: found.get(card.id) })).catch(() => {});
    const look = await source.look(card.id).catch((error) => error);
    if (current() !== card) return;
    if (look instanceof Error) { App.fail(look); setTimeout(() => { if (current() === card && !open.look) fetchLook(card); }, RETRY_MS); return; }
    open.look = { id: card.id, look };
    drawLook(card, look);
    if (data.classes.length > Classes.KEYS.length && !find("classes").contains(document.activeElement)) Classes.draw(picker(card));
    await Crop.add(card, { look: look || { boxes: [] }, address: look && source.image(look, card.id) });
    prefetch();
  };

  const prefetch = () => {
    for (const card of open.list.slice(open.at + 1).filter(isOpen).slice(0, LOOKS_AHEAD)) {
      source.look(card.id).then((look) => { if (look) { Crop.load(look.context && look.context.src); Crop.load(source.image(look, card.id)); } }).catch(() => {});
    }
  };

  // --- deciding and moving

  const decide = (label) => {
    const card = current(), reviewer = card && App.person();
    if (!reviewer) return;
    if (Pace.isTooSoon()) { App.say(Words.tooSoon); return; }
    App.kept(Decisions.take([{ card, label, also: decides(card) }], { view: "single", seconds: clock.seconds(), reviewer }));
    Classes.used(label);
    Classes.close();
    open.shown = null;
    step();
  };

  const isMarked = (card) => open.mode === "visit" && Marks.has(card); // wrong, as somebody has said on the wall

  const accept = () => {
    const card = current();
    if (!card || card.proposal === null) return;
    if (isMarked(card)) App.say(Words.markedWrong);
    else decide(card.proposal);
  };

  const step = () => { // to the next open object; a visit that is over goes back to its wall
    const after = open.list.findIndex((card, place) => place > open.at && isOpen(card));
    const anywhere = open.list.findIndex(isOpen);
    if (anywhere < 0 && open.mode === "visit") return leave();
    if (after >= 0) open.at = after;
    else if (anywhere >= 0) open.at = anywhere;
    open.waits = anywhere < 0; // for what is being fetched
    show();
  };

  const leave = () => {
    if (open.back) open.back(open.list.filter(isOpen));
  };

  const move = (steps) => {
    Object.assign(open, { at: Math.max(0, Math.min(open.list.length - 1, open.at + steps)), waits: false });
    Classes.close();
    show();
    Pace.wanted();
  };

  const undo = () => {
    if (Decisions.last().screen !== null) { App.undoScreen(); return; }
    const [gone] = Decisions.undo();
    if (!gone) { App.progress(); App.say(Words.nothingToUndo); return; }
    if (!open.list.includes(gone.card)) open.list.splice(open.at, 0, gone.card);
    Object.assign(open, { at: open.list.indexOf(gone.card), shown: null, waits: false });
    App.say(Words.undone(1));
    show();
    Pace.wanted();
  };

  const toggleStack = () => {
    const card = current();
    if (!card || !card.also.length) return;
    stacks.set(card.id, !decides(card));
    Panel.stack(card, open.look && open.look.look, decides(card), toggleStack);
  };

  // --- keys

  const key = (event) => {
    const card = current();
    const keys = {
      Enter: accept, ArrowLeft: () => move(-1), ArrowRight: () => move(1),
      "/": () => card && Classes.search(picker(card)), "[": () => Crop.widen(-1), "]": () => Crop.widen(1),
      u: undo, x: () => card && decide(""), t: toggleStack, Escape: leave,
    };
    const action = keys[event.key] || keys[event.key.toLowerCase()];
    const name = action || !card ? undefined : Classes.byKey(event.key, likely(card));
    if (action) action();
    else if (name !== undefined) decide(name);
    return Boolean(action) || name !== undefined;
  };

  const start = async (mode, cards = null, back = null) => {
    released();
    Object.assign(open, { mode, back, list: cards || [], at: 0, shown: null, look: null, waits: false });
    find("visit").hidden = mode !== "visit";
    find("filters").hidden = mode !== "mixed";
    if (mode === "visit") return show();
    if (!isDesk) refilter();
    const first = open.list.findIndex(isOpen);
    open.at = Math.max(0, first);
    show();
    refill();
  };

  const refreshed = () => { if (isDesk) start(open.mode); else { refilter(); show(); } };

  const begin = (page, from) => {
    data = page;
    source = from;
    isDesk = page.name === "desk";
    const choose = find("filter-class");
    choose.append(...data.classes.map((name, index) => Dom.element("option", { value: index }, name)));
    if (isDesk) document.querySelectorAll("[data-disk-only]").forEach((part) => part.remove());
    for (const filter of find("filters").querySelectorAll("select")) filter.addEventListener("change", () => { filter.blur(); refreshed(); });
    const clicks = { accept, unsure: () => current() && decide(""), undo, leave };
    for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", (event) => { event.currentTarget.blur(); action(); });
    Crop.begin();
  };

  const waiting = () => { if (isDesk && !open.list.some(isOpen)) refill(); }; // others may have given objects back

  const refresh = () => { // another tab of this page has decided
    const card = current();
    if (card) Panel.facts(card, open.at + 1);
    drawMarked(card);
    drawRest();
  };

  return { begin, start, refresh, key, visited: () => (open.mode === "visit" ? open.list.filter(isOpen) : []), released, waiting };
})();
