// What a wall shows next: cards that came back to it first, then those claimed while people looked, then what is asked for now.
const Supply = (() => {
  let source = null, returned = [], ahead = null, left = 0, turn = 0; // ahead: promise of a claim; turn: goes up when all of it is given back
  const kind = { part: "queue", name: null, front: false }; // front: only the most doubtful objects
  const isOpen = (card) => !Decisions.said(card.id);
  const ids = (cards) => cards.map((card) => card.id);
  const onWall = (card) => card.proposal !== null; // others are decided one by one

  const claim = async (count, holding) => { // the thumbnails come with it
    const mine = turn, got = await source.claim({ ...kind, count, holding }, () => mine === turn);
    await source.thumbnails(ids(got.cards.filter(onWall)));
    return got;
  };

  const prefetch = (count, cards) => {
    if (!ahead) ahead = claim(count, ids([...cards, ...returned])).catch(() => null);
  };

  const arrived = async () => { // what was claimed ahead
    const mine = turn, got = ahead ? await ahead : null;
    if (mine !== turn) return null;
    ahead = null;
    if (got) left = got.left;
    return got;
  };

  const take = async (count, holding) => {
    const mine = turn, cards = returned.splice(0, count);
    try {
      const fetched = await arrived();
      if (mine !== turn) return cards; // nobody waits for more
      const have = new Set([...ids(cards), ...ids(holding)]);
      const more = (fetched ? fetched.cards : []).filter((card) => isOpen(card) && !have.has(card.id)), room = count - cards.length;
      cards.push(...more.slice(0, room));
      returned.push(...more.slice(room));
      if (cards.length < count && !(fetched && fetched.left === 0)) {
        const got = await claim(count - cards.length, [...have, ...ids(cards)]);
        left = got.left;
        cards.push(...got.cards.filter((card) => !have.has(card.id)));
      }
    } catch (error) { // the next try begins with what was there
      returned = [...cards, ...returned];
      throw error;
    }
    return cards;
  };

  const back = (cards) => { returned = [...cards, ...returned]; };

  const without = (cards) => { // they are shown now
    const shown = new Set(ids(cards));
    returned = returned.filter((card) => !shown.has(card.id));
  };

  const aim = (part, name, front = false) => { // at another kind; what was there for the last one is free for others
    release([]);
    Object.assign(kind, { part, name, front });
  };

  const release = (shown) => {
    source.release(ids([...shown, ...returned]));
    if (ahead) ahead.then((got) => { if (got) source.release(ids(got.cards)); });
    returned = [];
    ahead = null;
    left = 0;
    turn += 1;
  };

  return { begin: (from) => { source = from; }, take, prefetch, back, without, aim, release, onWall, left: () => returned.length + left, isFront: () => kind.front, waiting: () => returned };
})();
