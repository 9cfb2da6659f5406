// Who decides, and how the page looks to them: the field for the name, and light or dark.
const Person = (() => {
  const { find } = Dom;
  let known = ""; // the name that decisions and claims bear

  const name = () => known;
  const typed = () => find("reviewer").value.trim();

  const ask = () => { // the field says what is missing, and takes the focus
    find("reviewer").setAttribute("aria-invalid", "true");
    find("need-name").hidden = false;
    Dom.write("need-name", Words.needName);
    find("reviewer").focus();
    return "";
  };

  const require = () => name() || ask();

  const theme = () => document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  // The theme stands twice: in the store of the browser, and in that of the tab, which the next page reads before it is drawn.
  const paint = (theme) => {
    document.documentElement.dataset.theme = theme;
    Store.tab.put("theme", theme);
  };

  const show = () => { // as it was turned last; else the system decides
    const turned = Store.text("theme");
    if (turned) paint(turned);
    document.body.removeAttribute("aria-busy");
  };

  const turn = () => {
    paint(theme() === "dark" ? "light" : "dark");
    Store.put("theme", theme()); // without room only this page turns
  };

  const rename = (renamed) => {
    known = typed();
    Store.rename(known);
    renamed();
  };

  // `leaving` ends, still under the old name, what that name holds
  const begin = (renamed, { redraw = () => {}, leaving = null } = {}) => {
    const field = find("reviewer");
    known = field.value = Store.name();
    const answered = () => { field.removeAttribute("aria-invalid"); find("need-name").hidden = true; };
    field.addEventListener("input", () => { if (typed()) answered(); });
    field.addEventListener("change", () => {
      if (!leaving || !known) return rename(renamed);
      leaving();
      return setTimeout(() => rename(renamed)); // what was claimed ahead is given back before
    });
    Store.follow("reviewer", (text) => { // named in another tab; who sits here already keeps their name
      if (!text || known || typed()) return;
      field.value = text;
      answered();
      field.blur(); // keys act on the view again
      rename(renamed);
    });
    find("theme").addEventListener("click", (event) => { event.currentTarget.blur(); turn(); redraw(); });
  };

  return { name, require, ask, show, begin };
})();
