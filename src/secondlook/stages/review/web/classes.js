// Choosing a class: a key for each as long as there are keys, search as you type, a tree where names have levels.
const Classes = (() => {
  const KEYS = [..."123456789abcdefghijklmnopqrvwyz"]; // without s (single view), t (stack), u (undo) and x (cannot tell)
  const MOST_SHOWN = 60, FEW = 9, LONG = 18, END = 14;
  let data = null;
  const open = { search: "", at: [] }; // at: the branch of the tree that is shown
  const last = new Map(); // place -> its picker
  const isMany = () => data.classes.length > KEYS.length;

  const recent = () => Store.read(`recent:${data.task}`) || [];
  const used = (label) => { // last used first; not worth a place in what every decision writes
    if (!label || data.classes.length <= FEW) return;
    Store.write(`recent:${data.task}`, [label, ...recent().filter((name) => name !== label)].slice(0, 12));
  };

  const ranked = (likely) => { // likely: names, the most likely first
    const order = new Map([...likely, ...recent()].reverse().map((name, index) => [name, -index - 1]));
    return data.classes.map((name, index) => ({ name, index })).sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0) || a.index - b.index);
  };

  const byUse = (names) => {
    const last = recent();
    const place = (name) => (last.includes(name) ? last.indexOf(name) : last.length);
    return names.sort((a, b) => place(a.name) - place(b.name) || a.index - b.index);
  };

  const searched = () => { // names with all the words; those that begin with the first stand first
    const words = open.search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = data.classes.map((name, index) => ({ name, index })).filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
    const begins = ({ name }) => name.toLowerCase().startsWith(words[0] ?? "");
    return [...byUse(found.filter(begins)), ...byUse(found.filter((one) => !begins(one)))];
  };

  const keyed = (likely) => { // the same key for a class on every object, as long as there are keys; else for the nine most likely
    const shown = isMany() ? ranked(likely).slice(0, FEW) : data.classes.map((name, index) => ({ name, index }));
    return shown.map((one, place) => ({ ...one, key: KEYS[place] }));
  };

  const byKey = (key, likely) => (keyed(likely).find((one) => one.key === key.toLowerCase()) || {}).name;

  const branches = () => { // the names below the open branch: leaves and further branches
    const separator = data.tree_separator, found = new Map();
    for (const [index, name] of data.classes.entries()) {
      const levels = name.split(separator);
      if (!open.at.every((level, place) => levels[place] === level) || levels.length <= open.at.length) continue;
      const level = levels[open.at.length], entry = found.get(level) || { level, leaf: null, count: 0 };
      if (levels.length === open.at.length + 1) entry.leaf = { name, index };
      else entry.count += 1;
      found.set(level, entry);
    }
    return [...found.values()];
  };

  const shortened = (text) => (text.length <= LONG ? [Dom.element("span", {}, text)] // a long name is cut in the middle
    : [Dom.element("span", { class: "head" }, text.slice(0, -END)), Dom.element("span", { class: "end" }, text.slice(-END))]);

  const leaf = (one, picker, text = one.name) => {
    const chosen = picker.chosen === one.name;
    return Dom.element("button", { type: "button", class: [one.name === picker.proposal && "proposal", chosen && "chosen"].filter(Boolean).join(" "),
      "aria-pressed": String(chosen), "data-class": one.index, title: one.name, "aria-label": text.length > LONG ? one.name : null, onclick: () => pick(one.name, picker) },
    one.key ? Dom.element("kbd", {}, one.key.toUpperCase()) : null, ...shortened(text));
  };

  const pick = (name, picker) => { close(); picker.choose(name); };

  const tree = (picker) => {
    const go = (levels) => () => { open.at = levels; draw(picker); Dom.find("search").focus(); };
    const up = open.at.length ? [Dom.button(`‹ ${open.at.join(" › ")}`, "", go(open.at.slice(0, -1)), { class: "branch", "aria-label": Words.back })] : [];
    return [...up, ...branches().flatMap((one) => [
      one.leaf ? leaf(one.leaf, picker, one.level) : null,
      one.count ? Dom.element("button", { type: "button", class: "branch", onclick: go([...open.at, one.level]) },
        Dom.element("span", {}, one.level), Dom.element("small", {}, Words.inside(one.count))) : null]).filter(Boolean)];
  };

  const buttons = (picker) => {
    if (open.search) return searched().slice(0, MOST_SHOWN).map((one) => leaf(one, picker));
    if (!isMany()) return keyed(picker.likely).map((one) => leaf(one, picker));
    const first = keyed(picker.likely), rest = ranked(picker.likely).slice(FEW, MOST_SHOWN - FEW);
    if (open.at.length) return tree(picker);
    if (data.tree_separator) return [...first.map((one) => leaf(one, picker)), ...tree(picker)];
    return [...first, ...rest].map((one) => leaf(one, picker));
  };

  const searchBox = (picker) => {
    const box = Dom.element("input", { id: "search", type: "search", placeholder: Words.findClass, "aria-label": Words.findClass, autocomplete: "off", spellcheck: "false" });
    box.value = open.search;
    box.addEventListener("input", () => { open.search = box.value; draw(picker, box); });
    box.addEventListener("keydown", (event) => keyInSearch(event, picker));
    return box;
  };

  const keyInSearch = (event, picker) => {
    const found = [...picker.place.querySelectorAll("button")];
    if (event.key === "Enter" && found.length) found[0].click();
    else if (event.key === "Escape") { close(); box_blur(); draw(picker); }
    else if (event.key === "ArrowDown" && found.length) found[0].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const box_blur = () => { if (document.activeElement) document.activeElement.blur(); };

  const roam = (event) => { // from one button to the next, and back to the search box
    const place = event.currentTarget, all = [...place.querySelectorAll("#search, button")], at = all.indexOf(event.target);
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (event.target.id === "search" || at < 0 || !steps) return;
    all[Math.max(0, Math.min(all.length - 1, at + steps))].focus();
    event.preventDefault();
    event.stopPropagation();
  };

  const lift = (place) => { // on a wall the search lies over the crops, which keep their places
    const shelf = place.closest(".shelf");
    if (!shelf || shelf.classList.contains("lifted")) return;
    shelf.style.height = `${shelf.offsetHeight}px`;
    shelf.classList.add("lifted");
  };

  const lower = (place) => setTimeout(() => { // once nobody looks for a class there any more
    const shelf = place.closest(".shelf");
    if (!shelf || place.contains(document.activeElement) || !shelf.classList.contains("lifted")) return;
    close();
    draw(last.get(place));
    shelf.classList.remove("lifted");
    shelf.style.height = "";
  });

  const watch = (place) => {
    place.addEventListener("keydown", roam);
    place.addEventListener("mousedown", (event) => { if (event.target.closest("button")) event.preventDefault(); }); // the search box stays
    place.addEventListener("focusin", (event) => { if (event.target.id === "search") lift(place); });
    place.addEventListener("focusout", () => lower(place));
  };

  const begin = (page) => {
    data = page;
    for (const id of ["classes", "wall-classes"]) watch(Dom.find(id));
  };

  // picker: {place, likely, proposal, chosen, choose}; `box` is a search box that stays, with its cursor
  const draw = (picker, box = null) => {
    last.set(picker.place, picker);
    picker.place.classList.toggle("long", data.classes.some((name) => name.length > LONG));
    picker.place.classList.toggle("all", isMany());
    const shown = buttons(picker), wantsBox = box || open.search || picker.searching || isMany();
    const none = shown.length ? null : Dom.element("p", { class: "quiet" }, Words.noClass);
    if (box && box.parentNode === picker.place) {
      while (box.nextSibling) box.nextSibling.remove();
      picker.place.append(...shown, ...(none ? [none] : []));
    } else picker.place.replaceChildren(...(wantsBox ? [box || searchBox(picker)] : []), ...shown, ...(none ? [none] : []));
  };

  const search = (picker) => {
    lift(picker.place);
    draw({ ...picker, searching: true });
    picker.place.querySelector("input").focus();
  };

  const close = () => { open.search = ""; open.at = []; };

  return { begin, draw, search, close, used, byKey, keyed, KEYS };
})();
