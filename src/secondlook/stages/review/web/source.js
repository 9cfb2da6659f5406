// Where objects come from: files beside the page, or the server. Both give cards, thumbnails and looks.
const Parts = (() => { // files of many objects, loaded as scripts, because a page on disk may not fetch
  const MOST = { thumbnails: 40, looks: 5 };
  const parts = { thumbnails: new Map(), looks: new Map() }; // number -> promise of {id: what is shown}
  let folder = "", arrived = null;

  const take = (kind, entries) => { arrived = entries; };

  const request = (kind, number) => new Promise((resolve) => {
    const name = `${folder}/${kind}-${String(number).padStart(3, "0")}.js`;
    const script = Dom.element("script", { src: name.split("/").map(encodeURIComponent).join("/") });
    const end = () => { resolve(arrived || {}); arrived = null; script.remove(); };
    script.addEventListener("load", end);
    script.addEventListener("error", () => { arrived = null; end(); });
    document.head.append(script);
  });

  const load = (kind, number) => { // those used last stay
    const known = parts[kind];
    const wanted = known.get(number) || request(kind, number);
    known.delete(number);
    known.set(number, wanted);
    for (const old of [...known.keys()].slice(0, Math.max(0, known.size - MOST[kind]))) known.delete(old);
    return wanted;
  };

  return { take, load, open: (name) => { folder = name; } };
})();

const Disk = (() => {
  let data = null, places = new Map();
  const isDrawn = (card) => card.sample !== "queue";
  const isOpen = (card) => !Decisions.said(card.id);
  const byDoubt = (a, b) => b.doubt - a.doubt || places.get(a.id) - places.get(b.id);
  const onWall = (card, name) => !isDrawn(card) && card.proposal !== null && (name === null || card.proposal === name);

  const open = (page) => {
    data = page;
    places = new Map(data.cards.map((card, index) => [card.id, index]));
    Parts.open(data.name);
  };

  const claim = async ({ part, name, count, holding }) => {
    const held = new Set(holding);
    const all = part === "random" ? data.cards.filter(isDrawn) : data.cards.filter((card) => onWall(card, name)).sort(byDoubt);
    const free = all.filter((card) => isOpen(card) && !held.has(card.id));
    return { cards: free.slice(0, count), left: Math.max(0, free.length - count) };
  };

  const classes = async () => { // those with most open objects first
    const counts = new Map();
    for (const card of data.cards) if (onWall(card, null) && isOpen(card)) counts.set(card.proposal, (counts.get(card.proposal) || 0) + 1);
    return data.classes.filter((name) => counts.has(name)).map((name) => ({ name, open: counts.get(name), front: counts.get(name) }))
      .sort((a, b) => b.open - a.open);
  };

  const part = (kind, id) => Parts.load(kind, Math.floor(places.get(id) / data.parts[kind]));

  const thumbnails = async (ids) => {
    const found = new Map();
    await Promise.all(ids.map(async (id) => found.set(id, places.has(id) ? (await part("thumbnails", id))[id] || null : null)));
    return found;
  };

  const look = async (id) => (await part("looks", id))[id] || null;
  const random = async () => data.cards.filter((card) => isDrawn(card) && isOpen(card)).length;

  return { open, claim, classes, thumbnails, look, random, release: () => {}, image: (shown) => shown.image };
})();

const Tab = (() => { // a random name of this tab: claims belong to a person in a tab
  const KEY = "secondlook:tab";
  let name = "";

  const kept = () => { // taken while the page is there, because a browser hands a copy to a duplicate of the tab
    try {
      const found = sessionStorage.getItem(KEY);
      sessionStorage.removeItem(KEY);
      return found;
    } catch { return null; }
  };

  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  const open = () => {
    name = kept() || random();
    addEventListener("pagehide", () => { try { sessionStorage.setItem(KEY, name); } catch { /* the next page is another tab */ } });
    addEventListener("pageshow", (event) => { if (event.persisted) kept(); });
  };

  return { open, name: () => name };
})();

const Server = (() => {
  const AT_ONCE = 300, RELEASE_MS = 5000, MOST = 3000, MOST_LOOKS = 30;
  let token = "", reviewer = () => "";
  let last = Promise.resolve(), owed = []; // owed: what the server does not know yet to be given back, by name
  const holders = new Map(); // id -> the name that it was claimed under
  const known = new Map(), looks = new Map(); // id -> thumbnail; id -> promise of a look

  const open = (secret, name) => { token = secret; reviewer = name; Tab.open(); };

  const ask = async (address, options = {}) => {
    const answer = await fetch(address, { ...options, signal: AbortSignal.timeout(30000) });
    if (!answer.ok) throw new Error(Words.failed(answer.status));
    return answer.json();
  };

  const body = (content) => ({ method: "POST", body: JSON.stringify({ reviewer: reviewer(), tab: Tab.name(), ...content }),
    headers: { "Content-Type": "application/json", "X-Token": token } });

  const unsent = () => Outbox.unsent().map((row) => row.instance_id); // decided, but the server does not know it yet

  // What is claimed and what is given back goes to the server one by one: else a claim could miss what was given back
  // before it, or be given back with what an earlier one had brought.
  const inTurn = (action) => {
    const done = last.then(action);
    last = done.catch(() => {});
    return done;
  };

  const giveBack = async () => { // what did not arrive goes with the next claim; claims end by themselves, too
    for (; owed.length; owed.shift()) await fetch("release", { ...body(owed[0]), signal: AbortSignal.timeout(RELEASE_MS) });
  };

  const holder = (id) => holders.get(id) || reviewer();

  const release = (ids) => {
    const names = [...new Set(ids.map(holder))].filter(Boolean);
    owed.push(...names.map((name) => ({ reviewer: name, ids: ids.filter((id) => holder(id) === name) })));
    if (names.length) inTurn(giveBack).catch(() => {});
  };

  const hold = (ids, name) => {
    for (const id of ids) holders.set(id, name);
    owed = owed.map((one) => ({ ...one, ids: one.ids.filter((id) => !ids.includes(id)) })).filter((one) => one.ids.length);
  };

  const claim = ({ part, name = null, only = null, below = null, front = false, count, holding }, isWanted) => inTurn(async () => {
    await giveBack().catch(() => {});
    if (!isWanted()) return { cards: [], left: 0 };
    const person = reviewer(), decided = unsent();
    const got = await ask("claim", body({ part, class: name, only, below, front, count, holding: [...new Set([...holding, ...decided])] }));
    hold(got.cards.map((card) => card.id), person);
    if (!isWanted()) { release(got.cards.map((card) => card.id)); return { cards: [], left: 0 }; }
    const cards = got.cards.filter((card) => !decided.includes(card.id));
    Decisions.know(cards);
    Decisions.reopen(cards.map((card) => card.id)); // where people differ, who decided last is asked once more
    return { cards, left: got.left };
  });

  const state = () => ask(`state?reviewer=${encodeURIComponent(reviewer())}&tab=${Tab.name()}`);
  const classes = async () => (await state()).classes; // most open ones first; `front` of them are among the most doubtful
  const random = async () => (await state()).open.random;

  const thumbnails = async (ids) => {
    const missing = ids.filter((id) => !known.has(id));
    for (let start = 0; start < missing.length; start += AT_ONCE) {
      const some = missing.slice(start, start + AT_ONCE);
      const got = await ask(`thumbnails?ids=${some.map(encodeURIComponent).join(",")}`);
      for (const id of some) known.set(id, got[id] || null);
    }
    const found = new Map(ids.map((id) => [id, known.get(id)]));
    for (const old of [...known.keys()].slice(0, Math.max(0, known.size - MOST))) known.delete(old);
    return found;
  };

  const look = (id) => { // asked for once, by what is shown or by what comes next
    if (!looks.has(id)) {
      looks.set(id, ask(`look?id=${encodeURIComponent(id)}`).catch((error) => { looks.delete(id); throw error; }));
      if (looks.size > MOST_LOOKS) looks.delete(looks.keys().next().value);
    }
    return looks.get(id);
  };

  const leave = () => { // the server knows of more than the page: what it was sent ahead
    if (reviewer()) fetch("leave", { ...body({ unsent: unsent() }), keepalive: true }).catch(() => {});
  };

  return { open, claim, classes, thumbnails, look, random, release, leave, state, image: (shown, id) => (shown.image ? `image?id=${encodeURIComponent(id)}` : null) };
})();
