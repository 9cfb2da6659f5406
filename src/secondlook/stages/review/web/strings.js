// What scripts say to people; the texts of a template stand in that template.
const Words = (() => {
  const number = (count) => Number(count).toLocaleString("en-US");
  const many = (count, one, more) => `${number(count)} ${count === 1 ? one : more}`;
  const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

  return {
    number, many, percent,
    // what is shown of an object
    none: "none", noCrop: "There is no crop.", noImage: "The image cannot be read.", loading: "loading…",
    confidence: (p) => (p > 0.999 ? "> 0.999" : p.toFixed(3)),
    size: (card) => `${card.path} · ${Math.round(card.box[2])} × ${Math.round(card.box[3])} px`,
    vote: "vote", answer: (status, text) => (text ? `${status}: ${text}` : status),
    alike: { proposal: "proposed", given: "given" },
    frames: (shown, all) => (shown < all ? `${number(shown)} of ${number(all)} frames` : many(all, "frame", "frames")),
    frame: (place, label, differs) => `frame ${place + 1}: ${label}${differs ? ", labelers differ" : ""}`,
    alsoDecides: (count) => `also decides ${many(count, "near-duplicate or object", "near-duplicates or objects")} of its track`,
    alone: (count) => `${many(count, "near-duplicate or object", "near-duplicates or objects")} of its track: not decided by this`,
    onlyThis: "Only this one", wholeStack: "The whole stack", more: (count) => `+ ${number(count)}`,
    stack: (card, decides) => (decides ? `×${number(card.also.length + 1)}` : `1 of ${number(card.stack + 1)}`),
    // classes
    findClass: "find a class", back: "back", inside: (count) => `${number(count)} ›`, noClass: "No class has this name.",
    // decisions
    chose: (label) => (label === "" ? "You could not tell." : `You chose ${label}.`),
    done: (done, all) => `${done} of ${all}`, today: (count) => `${number(count)} today`,
    allDone: "all done", underAMinute: "under a minute left", minutes: (count) => `about ${Math.round(count)} min left`,
    matching: (count) => `${number(count)} match`,
    undone: (count) => `Undone: ${many(count, "decision", "decisions")}.`, nothingToUndo: "There is nothing to undo.",
    tooSoon: "Too soon: this has only just come up. Look, then decide.",
    markedWrong: "You marked this proposal as wrong: choose a class, or X.",
    needName: "Type your name first: each decision bears it.",
    saved: "saved", saving: (count) => `saving ${number(count)}…`,
    unsent: (count, why) => `not saved (${number(count)}): ${why}`,
    refused: (count) => `${many(count, "decision was", "decisions were")} refused by the server: download them`,
    silent: "the server does not answer; it is tried again", full: "the disk is full or cannot be written",
    moved: "the address is no longer valid; open the one that the server prints", failed: (status) => `the server answers ${status}`,
    cannotStore: "This browser cannot store decisions: download them before you close the page.",
    // the wall
    asked: (name) => `Are these all: ${name}?`, askedRandom: "Are these proposals right?",
    wallOption: (name, open) => (open === null ? name : `${name} (${number(open)})`),
    left: (count) => `${number(count)} open`,
    leftFront: (count) => `${number(count)} open among the most doubtful`,
    screen: (shown, marked) => `${number(shown)} shown${marked ? `, ${number(marked)} marked` : ""}`,
    accept: (count, marked) => (marked ? `Accept the other ${number(count)}` : `Accept all ${number(count)}`),
    unsureMark: "cannot tell", openMark: "?", about: (card) => [
      card.given === null ? "no given label" : `given ${card.given}`, `proposal ${card.proposal ?? "none"} ${Words.confidence(card.confidence)}`,
      card.reason, Words.size(card)].join(" · "),
    cell: (card, mark) => [card.proposal ?? "no proposal", mark, card.stack ? `stack of ${card.stack + 1}` : ""].filter(Boolean).join(", "),
    marked: (label) => (label === null ? "wrong, no class yet" : label === "" ? "cannot tell" : `wrong: ${label}`),
    labelled: (count, name) => `${many(count, "object", "objects")}: ${name === "" ? "cannot tell" : name}.`,
    markFirst: "Mark what is wrong first, then choose its class.",
    accepted: (count) => `${many(count, "object", "objects")} decided. U takes the screen back.`,
    visits: (count) => `${many(count, "marked object has", "marked objects have")} no class yet: choose one for each.`,
    noWall: "No object is left for a wall of this kind.", others: "Other walls",
    waiting: "Fetching the next screen…", nothingLeft: "Nothing is open here.",
    // the desk
    looks: (count, alpha) => `about ${number(count)} more random looks for ${percent(alpha)}`,
    held: (alpha) => `guarantee held at ${percent(alpha)}`, unknown: "no forecast yet: a few decisions are needed first",
    toPeople: (count) => `${many(count, "object goes", "objects go")} to people as it stands`,
    decided: (count, all) => `${number(count)} of ${number(all)} decided`,
    merging: (pending) => (pending ? `merging ${many(pending, "decision", "decisions")}…` : "merging…"),
    person: (one) => `${one.name} ${number(one.decided)}`, active: "working now", away: "not here now",
    offline: "The server does not answer. Decisions wait in this browser and are sent later.",
    doneHere: (count) => (count ? `${number(count)} done` : ""), open: (count) => `${number(count)} open`, needed: (count) => `about ${number(count)} needed`,
    openTo: (count, people) => `${number(count)} open, ${number(people)} go to people`,
  };
})();
