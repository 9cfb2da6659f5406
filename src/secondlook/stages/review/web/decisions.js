// The decisions on the objects that this page has shown: taking, undoing, sending and downloading them.
const Decisions = (() => {
  const MOST_LATELY = 400;
  let data = null, token = "", state = { said: {}, order: [] }, screens = 0;
  const cards = new Map(); // id -> card

  const isDesk = () => data.name === "desk";
  const said = (id) => state.said[id];
  const ids = () => [...state.order];
  const count = () => state.order.length;

  const open = (page, secret) => {
    data = page;
    token = secret;
    if (!isDesk()) state = Store.open(data.key);
    know(data.cards);
    screens = state.order.reduce((most, id) => Math.max(most, (state.said[id] || {}).screen || 0), 0);
  };

  const know = (more) => { for (const card of more) cards.set(card.id, card); };

  const row = (card, decision) => ({
    instance_id: card.id, image_path: card.path, x: card.box[0], y: card.box[1], w: card.box[2], h: card.box[3],
    given: card.given ?? "", proposal: card.proposal ?? "", label: decision.label, reviewer: decision.reviewer,
    sample: card.sample, probability: card.probability ?? "", note: decision.note ?? "", decided_at: decision.decided_at,
    also: decision.label === "" ? "" : (decision.also ?? ""), // what this page showed when it was decided
    view: decision.view ?? "", seconds: decision.seconds ?? "",
  });

  const keep = (rows) => { // at the desk the outbox keeps what is not saved yet
    const kept = isDesk() || Store.save(data.key, state);
    if (token) Outbox.put(rows);
    return kept;
  };

  const take = (choices, how) => { // choices: {card, label, also: whether it decides its stack}
    const decided_at = new Date().toISOString(), seconds = (how.seconds / choices.length).toFixed(3);
    if (how.view === "wall") screens += 1;
    const rows = choices.map(({ card, label, also }) => {
      const decision = { label, reviewer: how.reviewer, decided_at, also: also ? card.also.join(" ") : "", view: how.view, seconds };
      if (how.view === "wall") decision.screen = screens;
      state.said[card.id] = decision;
      return row(card, decision);
    });
    const now = new Set(choices.map(({ card }) => card.id));
    state.order = state.order.filter((id) => !now.has(id)).concat([...now]);
    return keep(rows);
  };

  const last = () => { // the ids of the last act: one object, or a whole screen
    const id = state.order[state.order.length - 1];
    if (id === undefined) return [];
    const screen = state.said[id].screen;
    return screen ? state.order.filter((one) => state.said[one].screen === screen) : [id];
  };

  const undo = () => {
    const ids = last(), decided_at = new Date().toISOString();
    const gone = ids.map((id) => ({ card: cards.get(id), decision: state.said[id] })).filter(({ card }) => card);
    for (const id of ids) delete state.said[id];
    state.order = state.order.filter((id) => !ids.includes(id));
    if (gone.length) keep(gone.map(({ card, decision }) => row(card, { ...decision, label: "", note: data.undone, decided_at })));
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

  return { open, know, said, ids, count, take, undo, timeLeft, download };
})();
