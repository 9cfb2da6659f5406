// What the single view shows beside the object: votes, the stack, what it looks like, its track, its neighbours.
const Panel = (() => {
  const { find, element } = Dom;
  const image = (src, alt = "") => (src ? element("img", { src, alt, loading: "lazy" }) : element("span", { class: "without", "aria-hidden": "true" }, "?"));

  const chance = (card, name, p) => {
    const bar = element("i");
    bar.style.width = `${100 * (p ?? 1)}%`;
    return element("div", { class: name === card.proposal ? "chance proposal" : "chance" }, element("span", { title: name }, name),
      element("div", {}, bar), element("span", {}, p === null ? Words.vote : p.toFixed(2)));
  };

  const votes = (card, look, classes) => {
    const rows = (look ? look.votes : []).map((vote) => element("div", { class: "vote" }, element("b", { title: vote.labeler }, vote.labeler),
      element("div", {}, ...vote.p.map(([index, p]) => chance(card, classes[index], p)),
        vote.p.length ? null : element("span", { class: "quiet" }, Words.answer(vote.status, vote.answer)))));
    find("votes").replaceChildren(...rows);
  };

  const stack = (card, look, decides, change) => { // the objects that a decision on this one may decide, too
    const count = decides ? card.also.length : card.stack, crops = look ? look.stack : [], hidden = count - crops.length;
    find("also").hidden = !count;
    if (!count) return;
    const label = card.also.length === 0 ? null : Dom.button(decides ? Words.onlyThis : Words.wholeStack, "T", change, { id: "stack", "aria-pressed": String(decides) });
    find("also").replaceChildren(element("p", {}, decides ? Words.alsoDecides(count) : Words.alone(count)), label ?? "",
      element("div", {}, ...crops.map((src) => image(src)), hidden > 0 ? element("span", { class: "quiet" }, Words.more(hidden)) : null));
    find("also").classList.toggle("decides", decides);
  };

  const alike = (look) => {
    const rows = (look ? look.alike : []).filter((row) => row.crops.length);
    find("alike").hidden = !rows.length;
    find("alike-rows").replaceChildren(...rows.map((row) => element("div", { class: `alike ${row.role === "proposal" ? "proposal" : "given"}` },
      element("p", {}, element("small", {}, Words.alike[row.role] ?? row.role), " ", element("b", { title: row.label }, row.label)),
      element("div", {}, ...row.crops.map((src) => image(src, row.label))))));
  };

  const frame = (one) => { // place: among all frames of the track
    const label = one.proposal ?? one.given ?? Words.none, said = Words.frame(one.place, label, one.differs);
    return element("li", { class: [one.here && "here", one.differs && "differs"].filter(Boolean).join(" "), title: said,
      ...(one.here ? { "aria-current": "true" } : {}) }, image(one.src, said),
    element("small", {}, one.place + 1), element("span", {}, one.differs ? element("b", {}, "≠ ") : null, label));
  };

  const track = (look) => {
    const frames = look ? look.track : [];
    find("track").hidden = !frames.length;
    Dom.write("track-of", look && frames.length ? Words.frames(frames.length, look.track_of) : "");
    find("frames").replaceChildren(...frames.map(frame));
    find("differs").hidden = !frames.some((one) => one.differs);
    const here = find("frames").querySelector(".here");
    if (here) find("frames").scrollLeft = here.offsetLeft - find("frames").clientWidth / 2;
  };

  const strip = async (list, at, source, go) => { // 15 neighbours
    const first = Math.max(0, Math.min(at - 7, list.length - 15)), shown = list.slice(first, first + 15);
    const made = shown.map((card, offset) => {
      const classes = [first + offset === at && "now", Decisions.said(card.id) && "done"].filter(Boolean).join(" ");
      return element("button", { type: "button", class: classes, tabindex: "-1", title: card.proposal ?? Words.none, onclick: () => go(first + offset - at) },
        element("i", { class: "thumb" }));
    });
    find("strip").replaceChildren(...made);
    const thumbnails = await source.thumbnails(shown.map((card) => card.id)).catch(() => new Map());
    for (const [index, card] of shown.entries()) Thumb.paint(made[index].firstChild, card, thumbnails.get(card.id), { margin: 0.15, width: 46, height: 46 });
  };

  const facts = (card, place) => {
    const write = Dom.write;
    write("path", Words.size(card));
    write("given", card.given ?? Words.none);
    write("proposal", card.proposal ?? Words.none);
    write("confidence", card.proposal === null ? "" : Words.confidence(card.confidence));
    write("reason", `${place}. ${card.reason}`);
    document.querySelector(".labels").classList.toggle("conflict", card.given !== null && card.given !== card.proposal);
    find("accept").disabled = card.proposal === null;
    const decision = Decisions.said(card.id);
    write("decided", decision ? Words.chose(decision.label) : "");
  };

  return { votes, stack, alike, track, strip, facts };
})();
