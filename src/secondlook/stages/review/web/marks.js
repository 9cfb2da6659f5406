// What people have marked on a screen of the wall: id -> class, "" for cannot tell, null for wrong without a class yet.
const Marks = (() => {
  let cells = () => [], changed = () => {}; // the cards on the screen; what to do when marks change
  let marks = new Map(), at = 0, anchor = 0; // the cursor, and where a range begins
  const stacks = new Map(); // id -> whether a decision decides the stack, where a person has said so

  const decides = (card) => card.also.length > 0 && (stacks.get(card.id) ?? card.copies);
  const isWaiting = (card) => marks.get(card.id) === null;

  const place = (to) => Math.max(0, Math.min(cells().length - 1, to));

  const toggle = (index) => {
    const card = cells()[index];
    if (!card) return;
    if (marks.has(card.id)) marks.delete(card.id);
    else marks.set(card.id, null);
    anchor = at = index;
    changed();
  };

  const range = (to) => { // from where the range began; what is marked keeps its class
    const [first, last] = [Math.min(anchor, to), Math.max(anchor, to)];
    for (const card of cells().slice(first, last + 1)) if (!marks.has(card.id)) marks.set(card.id, null);
    at = to;
    changed();
  };

  const move = (steps, isRange) => {
    if (isRange) return range(place(at + steps));
    at = anchor = place(at + steps);
    return changed();
  };

  const label = (name) => { // for all marked ones without a class, else for the one under the cursor
    const all = cells(), waiting = all.filter(isWaiting);
    for (const card of waiting.length ? waiting : all.slice(at, at + 1)) marks.set(card.id, name);
    changed();
  };

  const toggleStack = () => {
    const card = cells()[at];
    if (card && card.also.length) { stacks.set(card.id, !decides(card)); changed(); }
  };

  const choices = () => cells().filter((card) => !isWaiting(card)) // what a screen decides when the rest is accepted
    .map((card) => ({ card, label: marks.has(card.id) ? marks.get(card.id) : card.proposal, also: decides(card) }));

  const reset = (now = new Map()) => { marks = now; at = anchor = 0; };
  const clear = () => { marks.clear(); changed(); };
  const forget = (cards) => { for (const card of cards) marks.delete(card.id); };

  return {
    begin: (all, onChange) => { cells = all; changed = onChange; }, toggle, range, move, label, toggleStack, choices, reset, clear, forget, decides,
    at: () => at, go: (index) => { at = place(index); }, all: () => marks, count: () => cells().filter((card) => marks.has(card.id)).length,
  };
})();
