// The wall: objects of one proposed class (or of the random sample) side by side; people mark those that are wrong.
const Wall = (() => {
  const { find } = Dom;
  const RETRY_MS = 2000, PATIENCE_MS = 400;
  let data = null, source = null, isDesk = false;
  const screen = { part: "queue", name: null, cards: [], thumbnails: new Map(), turn: 0, busy: false, waiting: false };
  const clock = makeClock();
  const { onWall } = Supply;
  let retry = 0;
  const accepted = new Map(); // number of a screen -> how it looked

  const shown = () => ({ marks: Marks.all(), thumbnails: screen.thumbnails, decides: Marks.decides });
  const isOpen = (card) => !Decisions.said(card.id);
  const isRandom = () => screen.part === "random";
  const kept = () => screen.cards.filter(isOpen);
  const ids = (cards) => new Set(cards.map((card) => card.id));
  const capacity = () => Grid.layout(isRandom()).count;

  // --- which objects

  const busy = () => Grid.busy(screen.waiting || screen.busy);
  const wait = () => { screen.waiting = true; busy(); };

  const next = async (count = capacity()) => {
    const turn = (screen.turn += 1);
    clearTimeout(retry);
    const slow = setTimeout(() => App.say(Words.waiting), PATIENCE_MS);
    wait();
    try {
      const cards = await Supply.take(count, []);
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

  const put = async (cards) => {
    const turn = screen.turn, thumbnails = await source.thumbnails(cards.filter(onWall).map((card) => card.id));
    if (turn !== screen.turn) { source.release(cards.map((card) => card.id)); return; }
    Object.assign(screen, { cards, thumbnails, waiting: false });
    Marks.reset();
    clock.begin();
    App.say("");
    draw();
    Pace.came();
    Supply.prefetch(capacity(), cards);
    if (!cards.length) again();
  };

  const again = () => { clearTimeout(retry); if (isDesk) retry = setTimeout(next, RETRY_MS); }; // others may give objects back

  const nextClass = async () => { // the class with most of the most doubtful objects that has one for us
    const turn = screen.turn;
    wait();
    const listed = (await source.classes()).sort((a, b) => b.front - a.front);
    if (turn !== screen.turn) return undefined;
    for (const { name } of listed) {
      screen.name = name;
      Supply.aim("queue", name, true);
      const cards = await Supply.take(capacity(), []);
      if (turn !== screen.turn) return source.release(cards.map((card) => card.id));
      if (cards.length) { App.at("wall"); return put(cards); }
    }
    screen.name = null;
    return put([]);
  };

  const clear = () => {
    clearTimeout(retry);
    Supply.release(kept());
    Object.assign(screen, { cards: [], turn: screen.turn + 1 });
    Marks.reset();
  };

  const start = async (part, name = null) => {
    clear();
    Object.assign(screen, { part, name });
    Supply.aim(part, name);
    drawClasses(); // how high they are decides how many crops fit
    if (part === "queue" && name === null) return nextClass().catch(blank);
    return next();
  };

  const extend = async (count, turn) => {
    const more = await Supply.take(count, screen.cards).catch(() => []);
    const thumbnails = await source.thumbnails([...screen.cards, ...more].filter(onWall).map((card) => card.id)).catch(() => screen.thumbnails);
    if (turn !== screen.turn) return source.release(more.map((card) => card.id)); // another screen has come
    Object.assign(screen, { cards: [...screen.cards, ...more], thumbnails });
    return Supply.prefetch(capacity(), screen.cards);
  };

  const resized = async () => { // more or fewer fit now
    if (!find("grid").clientWidth || screen.busy || !screen.cards.length) return busy();
    screen.busy = true;
    busy();
    const turn = screen.turn, count = capacity(), seen = screen.cards.filter(onWall);
    if (seen.length > count) {
      const gone = new Set(seen.slice(count));
      Supply.back([...gone]);
      screen.cards = screen.cards.filter((card) => !gone.has(card));
    } else if (seen.length < count) {
      await extend(count - seen.length, turn);
    }
    screen.busy = false;
    Marks.go(Marks.at());
    return draw();
  };

  // --- drawing

  const cells = () => screen.cards.filter((card) => onWall(card) && isOpen(card));

  const draw = () => {
    Dom.write("asked", !screen.cards.length || (screen.name === null && !isRandom()) ? Words.noWall : isRandom() ? Words.askedRandom : Words.asked(screen.name));
    find("grid").classList.toggle("random", isRandom());
    find("no-wall").hidden = screen.cards.length > 0;
    Grid.draw(cells(), shown(), isRandom());
    if (!find("wall-classes").contains(document.activeElement)) drawClasses(); // nobody is typing there
    drawMarks();
    drawNames();
    busy();
  };

  const drawMarks = () => {
    const all = cells(), marked = Marks.count(), now = all[Marks.at()];
    Grid.redraw(all, shown());
    Grid.focus(Marks.at());
    Dom.write("screen", `${Words.screen(all.length, marked)} · ${(isDesk && Supply.isFront() ? Words.leftFront : Words.left)(all.length + Supply.left())}`);
    Dom.write("accept-rest", Words.accept(all.length - marked, marked));
    Dom.write("about", now ? Words.about(now) : "");
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

  const label = (name) => {
    const count = Marks.label(name);
    App.say(count ? Words.labelled(count, name) : Words.markFirst);
    if (count) Classes.used(name);
    find("grid").focus();
    drawClasses();
  };

  // --- deciding

  const accept = () => {
    const reviewer = App.person();
    if (!reviewer || !screen.cards.length || screen.busy || screen.waiting) return;
    if (Pace.isTooSoon()) { App.say(Words.tooSoon); return; }
    const choices = Marks.choices();
    if (choices.length) {
      App.kept(Decisions.take(choices, { view: "wall", seconds: clock.seconds(), reviewer }));
      accepted.set(Decisions.last().screen, { part: screen.part, name: screen.name, front: Supply.isFront(), cards: screen.cards });
    }
    const visits = kept();
    if (visits.length) visit(visits);
    else next().then(() => App.say(Words.accepted(choices.length)));
  };

  const visit = (cards) => {
    screen.cards = cards;
    App.visit(cards, (undecided) => { giveBack(undecided); next(); });
    App.say(Words.visits(cards.length));
  };

  const belongs = (card) => (card.sample === "queue") !== isRandom() && (isRandom() || screen.name === card.proposal);

  const giveBack = (cards) => { // to this wall, or to whoever wants them
    Supply.back(cards.filter(belongs));
    source.release(cards.filter((card) => !belongs(card)).map((card) => card.id));
  };

  const enlarge = (index) => { // the single view of one object; the screen waits with its marks
    const card = cells()[index];
    if (!card) return;
    Marks.go(index);
    visitOne(card);
  };

  const visitOne = (card) => {
    clock.pause();
    App.visit([card], (undecided) => {
      clock.resume();
      giveBack(undecided.filter((one) => !screen.cards.includes(one)));
      if (cells().length) draw();
      else next();
    });
  };

  // --- undoing

  const undo = (visited = []) => { // visited: open objects of a visit that ends with it
    const { ids, screen: number } = Decisions.last(), gone = Decisions.undo();
    if (ids.length) App.progress();
    if (!gone.length) { App.say(Words.nothingToUndo); return; }
    if (number !== null) restore(looked(number, gone), gone, visited);
    else showAgain(gone[0].card);
  };

  const showAgain = (card) => { // what was decided one by one comes back to its place, or is shown one by one
    const place = cells().findIndex((one) => one.id === card.id);
    if (place < 0) visitOne(card);
    else { Marks.go(place); draw(); }
    Pace.wanted();
    App.say(Words.undone(1));
  };

  const looked = (number, gone) => { // as far as is known of a screen of another tab, or from before the page was loaded
    const seen = accepted.get(number), cards = gone.map(({ card }) => card), isQueue = cards[0].sample === "queue";
    if (seen && cards.every((card) => ids(seen.cards).has(card.id))) return seen;
    return { part: isQueue ? "queue" : "random", name: isQueue ? cards[0].proposal : null, front: false, cards };
  };

  const restore = async ({ part, name, front, cards }, gone, visited) => { // the screen as it was, with its marks
    const here = [...new Set([...kept(), ...visited])];
    const ours = ids([...gone.map(({ card }) => card), ...here, ...Supply.waiting()]); // at the desk others may have the rest by now
    const back = cards.filter((card) => isOpen(card) && (!isDesk || ours.has(card.id)));
    for (const { card, decision } of gone) Marks.restore(card, decision.label);
    const others = here.filter((card) => !ids(back).has(card.id));
    Supply.without([...back, ...others]);
    if (part !== screen.part || name !== screen.name) aimAt(part, name, front);
    giveBack(others);
    Supply.back(back);
    App.at(part === "random" ? "random" : `wall=${name}`);
    await next(Math.min(capacity(), back.length));
    Pace.wanted();
    App.say(Words.undone(gone.length));
  };

  const aimAt = (part, name, front) => {
    Supply.aim(part, name, front);
    Object.assign(screen, { part, name });
    drawClasses();
  };

  // --- keys

  const key = (event) => {
    const columns = Grid.columns(), steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (steps !== undefined) { Marks.move(steps, event.shiftKey); return true; }
    const keys = { Enter: accept, " ": () => Marks.toggle(Marks.at()), x: () => label(""), u: () => undo(), s: () => enlarge(Marks.at()), t: Marks.toggleStack,
      "/": () => Classes.search(picker()), Escape: Marks.clear,
      Home: () => Marks.move(-cells().length, event.shiftKey), End: () => Marks.move(cells().length, event.shiftKey) };
    const action = keys[event.key] || keys[event.key.toLowerCase()];
    const name = action ? undefined : Classes.byKey(event.key, likely());
    if (action) action();
    else if (name !== undefined) label(name);
    return Boolean(action) || name !== undefined;
  };

  const click = (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    if (event.shiftKey) Marks.range(Number(cell.dataset.index));
    else Marks.toggle(Number(cell.dataset.index));
  };

  const begin = (page, from) => {
    data = page;
    source = from;
    isDesk = data.name === "desk";
    Supply.begin(source);
    Marks.begin(cells, drawMarks);
    Grid.begin(resized);
    find("grid").addEventListener("click", click);
    find("grid").addEventListener("dblclick", (event) => { const cell = event.target.closest(".cell"); if (cell) enlarge(Number(cell.dataset.index)); });
    find("wall-class").addEventListener("change", (event) => { event.target.blur(); if (event.target.value) App.go(`wall=${event.target.value}`); });
    const clicks = { "accept-rest-button": accept, "wall-unsure": () => label(""), "wall-single": () => enlarge(Marks.at()), "wall-undo": () => undo() };
    for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", () => { find("grid").focus(); action(); });
  };

  const refresh = () => { // another tab of this page has decided
    if (screen.busy || screen.waiting) return;
    if (!kept().length) next();
    else if (find("grid").children.length !== cells().length) draw();
    else drawMarks();
  };

  return { begin, start, refresh, key, clear, undo };
})();
