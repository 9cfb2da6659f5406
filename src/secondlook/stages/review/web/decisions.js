// The decisions on the objects that this page has shown: taking, undoing, sending and downloading them.
const Decisions = (() => {
  const MOST_LATELY = 400;
  let data = null, token = "", state = { said: {}, order: [], gone: {} }; // gone: id -> when it was undone last, for other tabs
  let stored = "", isKept = true; // what stood in the browser when it was read or written last, and whether the last act is there
  let earlier = { said: {}, order: [] }; // at the desk: what was decided in this tab before it was loaded again, for undo
  const cards = new Map(); // id -> card

  const isDesk = () => data.name === "desk";
  const said = (id) => state.said[id];
  const ids = () => [...state.order];
  const count = () => state.order.length;

  const open = (page, secret, changed) => { // changed: for when another tab of this page has decided
    data = page;
    token = secret;
    know(data.cards);
    if (isDesk()) { recall(); return; }
    hear(Store.text(data.key));
    Store.follow(data.key, (text) => {
      const news = [text, Store.text(data.key)].filter(hear); // by now the browser may know more
      if (news.length) changed(!isAhead() || keep()); // written over by a tab that had not heard of it
    });
    addEventListener("beforeunload", (event) => { if (!isKept) event.preventDefault(); });
  };

  const apply = ({ undone, decided, at }) => { // undone: ids, at this moment; decided: [id, decision]
    const now = new Set([...undone, ...decided.map(([id]) => id)]);
    drop(state, now);
    drop(earlier, now);
    for (const id of undone) state.gone[id] = at;
    for (const [id, decision] of decided) { state.said[id] = decision; state.order.push(id); }
  };

  const moment = () => { // of an act: later than all that is known, also where the clock was set back
    const said = [...Object.values(earlier.said), ...Object.values(state.said)].map(({ decided_at }) => decided_at);
    const known = [...said, ...Object.values(state.gone)].map((at) => Date.parse(at) + 1 || 0);
    return new Date(known.reduce((last, at) => Math.max(last, at), Date.now())).toISOString();
  };

  // --- on disk: several tabs of a page, which hear of each other late; of each object, what was said or undone last stands

  const merge = (one, other) => {
    const gone = { ...one.gone }, said = {};
    for (const [id, at] of Object.entries(other.gone)) if (!(gone[id] >= at)) gone[id] = at;
    for (const [id, decision] of [...Object.entries(one.said), ...Object.entries(other.said)]) {
      const at = decision.decided_at, isPast = gone[id] >= at || (said[id] && said[id].decided_at >= at);
      if (!isPast) said[id] = decision;
    }
    const at = (id) => Date.parse(said[id].decided_at) || 0;
    const order = [...new Set([...one.order, ...other.order, ...Object.keys(said)])].filter((id) => said[id]).sort((a, b) => at(a) - at(b));
    return { said, order, gone };
  };

  const whole = ({ said, order, gone }) => ({ // what earlier versions did not keep, or what somebody has edited
    said: Object.fromEntries(Object.entries(said).filter(([, decision]) => decision && typeof decision === "object")),
    order: Array.isArray(order) ? order : [],
    gone: gone || {},
  });

  const hear = (text) => { // what a tab has stored; says whether it is news
    const read = text && text !== stored ? Store.parsed(text) : null;
    if (!read || !read.said) return false;
    stored = text;
    state = merge(state, whole(read));
    return true;
  };

  const lastOf = ({ said, gone }, id) => [gone[id], (said[id] || {}).decided_at].reduce((last, at) => (at > last ? at : last), "");

  const isAhead = () => { // knows of something later than what is stored
    const other = whole(Store.parsed(stored));
    return Object.keys({ ...state.said, ...state.gone }).some((id) => lastOf(state, id) > lastOf(other, id));
  };

  const keep = () => { // what finds no room stays in this tab, and is stored with the next decision
    const text = JSON.stringify(state);
    isKept = Store.put(data.key, text);
    if (isKept) stored = text;
    return isKept;
  };

  const catchUp = () => { if (!isDesk()) hear(Store.text(data.key)); };

  // --- at the desk: the last acts of this tab, with their cards, so that undo works after a reload

  const tabKey = () => `lately:${data.task}:${data.key}`;

  const recall = () => {
    const kept = Store.tab.read(tabKey());
    if (!kept || !Array.isArray(kept.cards)) return;
    earlier = { said: kept.said, order: kept.order };
    know(kept.cards);
  };

  const remember = () => {
    const order = [...earlier.order, ...state.order], all = { ...earlier.said, ...state.said };
    for (let most = MOST_LATELY; most >= 1; most >>= 2) {
      const cut = (all[order[order.length - most - 1]] || {}).screen, ids = order.slice(-most).filter((id) => !cut || all[id].screen !== cut); // whole acts
      if (Store.tab.write(tabKey(), { order: ids, said: Object.fromEntries(ids.map((id) => [id, all[id]])), cards: ids.map((id) => cards.get(id)) })) return;
    }
  };

  const drop = (from, ids) => {
    for (const id of ids) delete from.said[id];
    from.order = from.order.filter((id) => !ids.has(id));
  };

  const change = (one) => {
    apply(one);
    if (!isDesk()) return keep();
    remember(); // the outbox keeps what is not saved yet
    return true;
  };

  const newest = () => [earlier, state].flatMap(({ order, said: all }) => order.map((id) => all[id].screen || 0)).reduce((most, one) => Math.max(most, one), 0);

  const know = (more) => { for (const card of more) cards.set(card.id, card); };

  const reopen = (ids) => drop(state, new Set(ids)); // at the desk; what was said stays said until it is said anew

  const row = (card, decision) => ({
    instance_id: card.id, image_path: card.path, x: card.box[0], y: card.box[1], w: card.box[2], h: card.box[3],
    given: card.given ?? "", proposal: card.proposal ?? "", label: decision.label, reviewer: decision.reviewer,
    sample: card.sample, probability: card.probability ?? "", note: decision.note ?? "", decided_at: decision.decided_at,
    also: decision.label === "" ? "" : (decision.also ?? ""), // what this page showed when it was decided
    view: decision.view ?? "", seconds: decision.seconds ?? "",
  });

  const send = (rows) => { if (token) Outbox.put(rows); };

  const take = (choices, how) => { // choices: {card, label, also: whether it decides its stack}
    catchUp();
    const decided_at = moment(), seconds = (how.seconds / choices.length).toFixed(3);
    const screen = how.view === "wall" ? { screen: newest() + 1 } : {};
    const made = choices.map(({ card, label, also }) => ({ card,
      decision: { label, reviewer: how.reviewer, decided_at, also: also ? card.also.join(" ") : "", view: how.view, seconds, ...screen } }));
    const kept = change({ undone: [], decided: made.map(({ card, decision }) => [card.id, decision]) });
    send(made.map(({ card, decision }) => row(card, decision)));
    return kept;
  };

  const last = () => { // the last act: one object, or a whole screen with its number
    const { order, said: all } = state.order.length ? state : earlier, id = order[order.length - 1];
    if (id === undefined) return { ids: [], screen: null };
    const { screen = null, decided_at } = all[id]; // two tabs may number their screens alike
    return { ids: screen ? order.filter((one) => all[one].screen === screen && all[one].decided_at === decided_at) : [id], screen };
  };

  const undo = () => {
    catchUp();
    const { ids } = last(), decided_at = moment();
    const gone = ids.map((id) => ({ card: cards.get(id), decision: state.said[id] ?? earlier.said[id] })).filter(({ card }) => card);
    change({ undone: ids, at: decided_at, decided: [] });
    if (gone.length) send(gone.map(({ card, decision }) => row(card, { ...decision, label: "", note: data.undone, decided_at })));
    return gone;
  };

  const left_ms = (open) => { // by the middle of the last gaps between decisions
    const lately = state.order.slice(-MOST_LATELY);
    const moments = [...new Set(lately.map((id) => state.said[id].decided_at))], times = moments.slice(-30).map(Date.parse);
    const gaps = times.slice(1).map((time, index) => time - times[index]).filter((gap) => gap >= 0 && gap < 120000).sort((a, b) => a - b);
    const together = lately.length / Math.max(1, moments.length); // on a wall many come at once
    return gaps.length < 3 ? null : (open * gaps[gaps.length >> 1]) / Math.max(1, together);
  };

  const timeLeft = (open) => {
    const left = open ? left_ms(open) : null;
    if (!open) return Words.allDone;
    return left === null ? "" : left < 60000 ? Words.underAMinute : Words.minutes(left / 60000);
  };

  const cell = (value) => {
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csv = () => {
    const own = [...cards.values()].filter((card) => state.said[card.id]).map((card) => row(card, state.said[card.id]));
    const rows = isDesk() ? Outbox.unsent().concat(Outbox.state.refused) : own;
    return [data.columns, ...rows.map((one) => data.columns.map((name) => one[name] ?? ""))]
      .map((cells) => cells.map(cell).join(",") + "\n").join("");
  };

  const download = (reviewer) => {
    const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    const name = (reviewer || "nobody").replace(/[^\p{L}\p{N}_-]+/gu, "_");
    Dom.element("a", { href: address, download: `decisions-${data.name}-${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };

  const mayUndo = () => state.order.length + earlier.order.length > 0;

  return { open, know, reopen, said, mayUndo, ids, count, last, take, undo, timeLeft, download };
})();
