// The desk: what the server says of the work of all people, every two seconds.
const Desk = (() => {
  const EVERY_MS = 2000, ASLEEP_MS = 9 * 60000; // claims last ten minutes
  const { element, find, write } = Dom;
  let last = null, heard_ms = 0, changed = () => {};

  const countdown = (state) => {
    const { guarantee } = state;
    if (guarantee.held) return Words.held(guarantee.alpha);
    return guarantee.needs && guarantee.needs.random !== null ? Words.looks(guarantee.needs.random, guarantee.alpha) : Words.unknown;
  };

  const people = (state) => state.people.map((one) => element("li", { class: one.active ? "active" : "", title: one.active ? Words.active : Words.away },
    element("span", { "aria-hidden": "true" }, one.active ? "● " : "○ "), Words.person(one),
    element("span", { class: "unseen" }, ` ${one.active ? Words.active : Words.away}`)));

  const bar = (state) => {
    find("desk").hidden = false;
    find("desk").classList.toggle("held", Boolean(state.guarantee.held));
    write("countdown", countdown(state));
    write("to-people", Words.toPeople(state.to_people));
    write("decided-all", Words.decided(state.decided, state.objects));
    write("merging", state.merging || state.pending ? Words.merging(state.pending) : "");
    Object.assign(find("decided-bar"), { max: Math.max(1, state.objects), value: state.decided });
    const shown = JSON.stringify(state.people);
    if (find("people").dataset.shown !== shown) { find("people").dataset.shown = shown; find("people").replaceChildren(...people(state)); }
  };

  const wallLink = ({ name, open, to_people }) => element("a", { class: "tile", href: `review.html#wall=${encodeURIComponent(name)}` },
    element("b", {}, name), element("span", {}, to_people ? Words.openTo(open, to_people) : Words.open(open)));

  const page = (state) => { // on the index only
    if (!find("live")) return;
    find("live").hidden = false;
    write("sentence", state.guarantee.sentence);
    find("sentence").classList.toggle("held", Boolean(state.guarantee.held));
    const { needs } = state.guarantee, random = needs ? needs.random : null;
    write("open-random", random ? Words.needed(random) : Words.open(state.open.random));
    write("open-queue", Words.open(state.open.queue + state.open.conflicts));
    const shown = JSON.stringify(state.classes);
    if (find("walls").dataset.shown === shown) return;
    find("walls").dataset.shown = shown;
    find("walls").replaceChildren(...state.classes.filter((one) => one.open).map(wallLink));
  };

  const poll = async () => {
    try {
      const state = await Server.state();
      const slept = heard_ms && Date.now() - heard_ms > ASLEEP_MS;
      heard_ms = Date.now();
      if (slept && !find("live")) return location.reload(); // the claims have ended: others may have these objects
      last = state;
      write("offline", "");
      bar(state);
      page(state);
      changed(state);
      dispatchEvent(new Event("secondlook:answer")); // what waits for the server goes on
    } catch { write("offline", Words.offline); }
    setTimeout(poll, EVERY_MS);
  };

  const begin = (onChange = () => {}) => { changed = onChange; poll(); };

  return { begin, state: () => last, forget: () => { last = null; } };
})();
