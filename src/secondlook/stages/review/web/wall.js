// The wall: objects of one proposed class (or of the random sample) side by side; people mark those that are wrong.
const Wall = (() => {
  const { find } = Dom;
  const RETRY_MS = 2000, PATIENCE_MS = 400;
  let data = null, source = null, isDesk = false;
  const screen = { part: "queue", name: null, cards: [], marks: new Map(), thumbnails: new Map(), at: 0, anchor: 0, left: 0, turn: 0, busy: false };
  const clock = makeClock(), stacks = new Map();
  let returned = [], ahead = null, retry = 0; // cards to show first; the next screen, claimed while people look

  const decides = (card) => card.also.length > 0 && (stacks.get(card.id) ?? card.copies);
  const shown = () => ({ marks: screen.marks, thumbnails: screen.thumbnails, decides });
  const isOpen = (card) => !Decisions.said(card.id);
  const isRandom = () => screen.part === "random";
  const onWall = (card) => card.proposal !== null; // others are decided one by one
  const kept = () => screen.cards.filter(isOpen);
  const capacity = () => Grid.layout(isRandom()).count;

  // --- which objects

  const claim = async (count, holding) => {
    const got = await source.claim({ part: screen.part, name: screen.name, count, holding });
    return { ...got, thumbnails: await source.thumbnails(got.cards.filter(onWall).map((card) => card.id)) };
  };

  const prefetch = () => {
    const holding = [...screen.cards, ...returned].map((card) => card.id);
    ahead = claim(capacity(), holding).catch(() => null);
  };

  const take = async (count, holding) => { // what came back first, then what was fetched ahead, then what is asked for now
    const cards = returned.splice(0, count), fetched = ahead ? await ahead : null;
    ahead = null;
    const have = new Set([...cards.map((card) => card.id), ...holding]);
    const more = (fetched ? fetched.cards : []).filter((card) => isOpen(card) && !have.has(card.id));
    if (fetched) screen.left = fetched.left;
    const room = count - cards.length;
    cards.push(...more.slice(0, room));
    returned.push(...more.slice(room));
    if (cards.length < count && !(fetched && fetched.left === 0)) {
      const got = await claim(count - cards.length, [...have, ...cards.map((card) => card.id)]);
      screen.left = got.left;
      cards.push(...got.cards.filter((card) => !have.has(card.id)));
    }
    return cards;
  };

  const next = async () => {
    const turn = (screen.turn += 1);
    clearTimeout(retry);
    const slow = setTimeout(() => App.say(Words.waiting), PATIENCE_MS);
    screen.waiting = true;
    try {
      const cards = await take(capacity(), []);
      if (turn !== screen.turn) return source.release(cards.map((card) => card.id));
      await (!cards.length && !isRandom() ? nextClass() : put(cards));
    } catch (error) { blank(error); }
    return clearTimeout(slow);
  };

  const blank = (error) => { // the server does not answer: try again, and show nothing that is decided already
    App.fail(error);
    Grid.draw(cells(), shown(), isRandom());
    again();
  };

  const put = async (cards, marks = new Map()) => {
    screen.thumbnails = await source.thumbnails(cards.filter(onWall).map((card) => card.id));
    Object.assign(screen, { cards, marks, at: 0, anchor: 0, waiting: false });
    clock.begin();
    App.say("");
    draw();
    if (!ahead) prefetch();
    if (!cards.length) again();
  };

  const again = () => { clearTimeout(retry); if (isDesk) retry = setTimeout(next, RETRY_MS); }; // others may give objects back

  const nextClass = async () => { // the class with most open objects that has one for us
    const turn = screen.turn, listed = await source.classes();
    for (const { name } of listed.filter((one) => one.open > 0)) {
      if (turn !== screen.turn) return undefined;
      Object.assign(screen, { name });
      returned = [];
      ahead = null;
      const cards = await take(capacity(), []);
      if (cards.length) { App.at(`wall=${name}`); return put(cards); }
    }
    screen.name = null;
    return put([]);
  };

  const released = () => {
    clearTimeout(retry);
    if (!isDesk) return;
    source.release([...kept(), ...returned].map((card) => card.id));
    if (ahead) ahead.then((got) => got && source.release(got.cards.map((card) => card.id)));
  };

  const clear = () => { released(); returned = []; ahead = null; Object.assign(screen, { cards: [], marks: new Map() }); };

  const start = async (part, name = null) => {
    clear();
    Object.assign(screen, { part, name, left: 0 });
    if (part === "queue" && name === null) return nextClass().catch(blank);
    return next();
  };

  const resized = async () => { // more or fewer fit now
    if (!find("grid").clientWidth || screen.busy || !screen.cards.length) return;
    screen.busy = true;
    const count = capacity(), seen = screen.cards.filter(onWall);
    if (seen.length > count) {
      const gone = new Set(seen.slice(count));
      returned = [...gone, ...returned];
      screen.cards = screen.cards.filter((card) => !gone.has(card));
      for (const card of gone) screen.marks.delete(card.id);
    } else if (seen.length < count) {
      const more = await take(count - seen.length, screen.cards.map((card) => card.id)).catch(() => []);
      screen.cards = [...screen.cards, ...more];
      screen.thumbnails = await source.thumbnails(screen.cards.filter(onWall).map((card) => card.id));
      prefetch();
    }
    screen.busy = false;
    screen.at = Math.min(screen.at, Math.max(0, cells().length - 1));
    draw();
  };

  // --- drawing

  const cells = () => screen.cards.filter((card) => onWall(card) && isOpen(card));

  const draw = () => {
    Dom.write("asked", !screen.cards.length || (screen.name === null && !isRandom()) ? Words.noWall : isRandom() ? Words.askedRandom : Words.asked(screen.name));
    find("grid").classList.toggle("random", isRandom());
    find("no-wall").hidden = screen.cards.length > 0;
    Grid.draw(cells(), shown(), isRandom());
    drawClasses();
    drawMarks();
    drawNames();
  };

  const drawMarks = () => {
    const all = cells(), marked = all.filter((card) => screen.marks.has(card.id)).length;
    Grid.redraw(all, shown());
    Grid.focus(screen.at);
    Dom.write("screen", `${Words.screen(all.length, marked)} · ${Words.left(all.length + returned.length + screen.left)}`);
    Dom.write("accept-rest", Words.accept(all.length - marked, marked));
    Dom.write("about", all[screen.at] ? Words.about(all[screen.at]) : "");
    App.progress();
  };

  const drawNames = async () => {
    const choose = find("wall-class"), listed = await source.classes().catch(() => []);
    const options = listed.map(({ name, open }) => Dom.element("option", { value: name }, Words.wallOption(name, open)));
    choose.replaceChildren(...(isRandom() || screen.name === null ? [Dom.element("option", { value: "" }, Words.others)] : []), ...options);
    choose.value = isRandom() ? "" : screen.name ?? "";
    choose.hidden = !listed.length;
  };

  const likely = () => { // given labels of this screen, the most frequent first
    const counts = new Map();
    for (const { given } of screen.cards) if (given !== null && given !== screen.name) counts.set(given, (counts.get(given) || 0) + 1);
    return [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  };

  const picker = () => ({ place: find("wall-classes"), likely: likely(), proposal: screen.name, chosen: null, choose: label });
  const drawClasses = () => Classes.draw(picker());

  // --- marking

  const toggle = (index) => {
    const card = cells()[index];
    if (!card) return;
    if (screen.marks.has(card.id)) screen.marks.delete(card.id);
    else screen.marks.set(card.id, null);
    screen.anchor = screen.at = index;
    drawMarks();
  };

  const range = (to) => { // from where the range began; what is marked keeps its class
    const all = cells(), [first, last] = [Math.min(screen.anchor, to), Math.max(screen.anchor, to)];
    for (const card of all.slice(first, last + 1)) if (!screen.marks.has(card.id)) screen.marks.set(card.id, null);
    screen.at = to;
    drawMarks();
  };

  const move = (steps, isRange) => {
    const to = Math.max(0, Math.min(cells().length - 1, screen.at + steps));
    if (isRange) return range(to);
    screen.at = screen.anchor = to;
    return drawMarks();
  };

  const label = (name) => { // for all marked ones without a class, else for the one under the cursor
    const all = cells(), waiting = all.filter((card) => screen.marks.get(card.id) === null);
    const chosen = waiting.length ? waiting : all.slice(screen.at, screen.at + 1);
    for (const card of chosen) screen.marks.set(card.id, name);
    Classes.used(name);
    find("grid").focus();
    drawClasses();
    drawMarks();
  };

  const toggleStack = () => {
    const card = cells()[screen.at];
    if (card && card.also.length) { stacks.set(card.id, !decides(card)); drawMarks(); }
  };

  // --- deciding

  const accept = () => {
    const reviewer = App.person(), all = cells();
    if (!reviewer || !screen.cards.length || screen.busy || screen.waiting) return;
    const choices = all.filter((card) => screen.marks.get(card.id) !== null)
      .map((card) => ({ card, label: screen.marks.has(card.id) ? screen.marks.get(card.id) : card.proposal, also: decides(card) }));
    if (choices.length) App.kept(Decisions.take(choices, { view: "wall", seconds: clock.seconds(), reviewer }));
    const visits = kept();
    if (visits.length) visit(visits);
    else next().then(() => App.say(Words.accepted(choices.length)));
  };

  const visit = (cards) => {
    screen.cards = cards;
    App.visit(cards, (undecided) => { returned = [...undecided, ...returned]; next(); });
    App.say(Words.visits(cards.length));
  };

  const enlarge = (index) => { // the single view of one object; the screen waits with its marks
    const card = cells()[index];
    if (!card) return;
    screen.at = index;
    clock.pause();
    App.visit([card], () => {
      clock.resume();
      if (cells().length) draw();
      else next();
    });
  };

  const undo = () => {
    const gone = Decisions.undo();
    if (!gone.length) return App.say(Words.nothingToUndo);
    const first = gone[0], part = first.card.sample === "queue" ? "queue" : "random";
    const same = part === screen.part && (part === "random" || first.card.proposal === screen.name);
    if (same) returned = [...kept(), ...returned];
    else { clear(); Object.assign(screen, { part, name: part === "random" ? null : first.card.proposal }); App.at(part === "random" ? "random" : `wall=${screen.name}`); }
    screen.turn += 1;
    App.say(Words.undone(gone.length));
    const marks = new Map(gone.filter(({ card, decision }) => decision.label !== card.proposal)
      .map(({ card, decision }) => [card.id, decision.view === "wall" ? decision.label : null]));
    return put(gone.map(({ card }) => card), marks).then(() => App.say(Words.undone(gone.length)));
  };

  // --- keys

  const key = (event) => {
    const columns = Grid.columns(), steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (steps !== undefined) { move(steps, event.shiftKey); return true; }
    const keys = { Enter: accept, " ": () => toggle(screen.at), x: () => label(""), u: undo, s: () => enlarge(screen.at), t: toggleStack,
      "/": () => Classes.search(picker()), Escape: () => { screen.marks.clear(); drawMarks(); },
      Home: () => move(-cells().length, event.shiftKey), End: () => move(cells().length, event.shiftKey) };
    const action = keys[event.key] || keys[event.key.toLowerCase()];
    const name = action ? undefined : Classes.byKey(event.key, likely());
    if (action) action();
    else if (name !== undefined) label(name);
    return Boolean(action) || name !== undefined;
  };

  const click = (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    if (event.shiftKey) range(Number(cell.dataset.index));
    else toggle(Number(cell.dataset.index));
  };

  const begin = (page, from) => {
    data = page;
    source = from;
    isDesk = data.name === "desk";
    Grid.begin(resized);
    find("grid").addEventListener("click", click);
    find("grid").addEventListener("dblclick", (event) => { const cell = event.target.closest(".cell"); if (cell) enlarge(Number(cell.dataset.index)); });
    find("wall-class").addEventListener("change", (event) => { event.target.blur(); if (event.target.value) App.go(`wall=${event.target.value}`); });
    const clicks = { "accept-rest-button": accept, "wall-unsure": () => label(""), "wall-single": () => enlarge(screen.at), "wall-undo": undo };
    for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", () => { find("grid").focus(); action(); });
  };

  return { begin, start, key, clear, held: () => [...kept(), ...returned].map((card) => card.id) };
})();
