// What people have marked on a screen of the wall: id -> class, "" for cannot tell, null for wrong without a class yet.
const Marks = (() => {
  let cells = () => [], changed = () => {}; // the cards on the screen; what to do when marks change
  const marks = new Map(); // they outlive the screen: what comes back later is still marked
  let at = 0, anchor = 0, isPointed = false; // the cursor, where a range begins, and whether a person has pointed at a cell
  let ranged = new Set(), lately = new Set(); // ids that the range has marked, and those that the last class was chosen for
  const stacks = new Map(); // id -> whether a decision decides the stack, where a person has said so

  const decides = (card) => card.also.length > 0 && (stacks.get(card.id) ?? card.copies);
  const isWaiting = (card) => marks.get(card.id) === null;

  const place = (to) => Math.max(0, Math.min(cells().length - 1, to));

  const point = (index) => {
    at = anchor = index;
    isPointed = true;
    ranged = new Set();
    lately = new Set();
  };

  const toggle = (index) => {
    const card = cells()[index];
    if (!card) return;
    point(index);
    if (marks.has(card.id)) marks.delete(card.id);
    else marks.set(card.id, null);
    changed();
  };

  const range = (to) => { // from where the range began; what was marked before keeps its mark
    for (const id of ranged) marks.delete(id);
    ranged = new Set(cells().slice(Math.min(anchor, to), Math.max(anchor, to) + 1).map((card) => card.id).filter((id) => !marks.has(id)));
    for (const id of ranged) marks.set(id, null);
    lately = new Set();
    at = to;
    changed();
  };

  const move = (steps, isRange) => {
    if (isRange) return range(place(at + steps));
    point(place(at + steps));
    return changed();
  };

  const aimed = () => { // all marked ones without a class, else those of the last choice, else the one that was pointed at
    const all = cells(), waiting = all.filter(isWaiting), again = all.filter((card) => lately.has(card.id));
    return waiting.length ? waiting : again.length ? again : isPointed ? all.slice(at, at + 1) : [];
  };

  const label = (name) => { // the proposed class takes a mark away; says for how many the class was chosen
    const chosen = aimed();
    for (const card of chosen) {
      if (name === card.proposal) marks.delete(card.id);
      else marks.set(card.id, name);
    }
    ranged = new Set();
    lately = new Set(chosen.map((card) => card.id));
    changed();
    return chosen.length;
  };

  const toggleStack = () => {
    const card = cells()[at];
    if (card && card.also.length) { stacks.set(card.id, !decides(card)); changed(); }
  };

  const choices = () => cells().filter((card) => !isWaiting(card)) // what a screen decides when the rest is accepted
    .map((card) => ({ card, label: marks.has(card.id) ? marks.get(card.id) : card.proposal, also: decides(card) }));

  const reset = () => { point(0); isPointed = false; };

  const restore = (card, label) => {
    if (label === card.proposal) marks.delete(card.id);
    else marks.set(card.id, label);
  };

  const clear = () => {
    for (const card of cells()) marks.delete(card.id);
    point(at);
    changed();
  };

  return {
    begin: (all, onChange) => { cells = all; changed = onChange; }, toggle, range, move, label, toggleStack, choices, reset, clear, restore, decides,
    at: () => at, go: (index) => { at = place(index); }, all: () => marks, has: (card) => marks.has(card.id), count: () => cells().filter((card) => marks.has(card.id)).length,
  };
})();
