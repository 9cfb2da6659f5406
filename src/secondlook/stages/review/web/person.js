// Who decides, and how the page looks to them: the field for the name, and light or dark.
const Person = (() => {
  const { find } = Dom;

  const name = () => find("reviewer").value.trim();

  const ask = () => { // the field says what is missing, and takes the focus
    find("reviewer").setAttribute("aria-invalid", "true");
    find("need-name").hidden = false;
    Dom.write("need-name", Words.needName);
    find("reviewer").focus();
    return "";
  };

  const require = () => name() || ask();

  const theme = () => document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  const turn = () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("secondlook:theme", document.documentElement.dataset.theme); } catch { /* only this page turns */ }
  };

  const begin = (renamed, redraw = () => {}) => {
    const field = find("reviewer");
    field.value = Store.name();
    field.addEventListener("input", () => { if (name()) { field.removeAttribute("aria-invalid"); find("need-name").hidden = true; } });
    field.addEventListener("change", () => { Store.rename(name()); renamed(); });
    find("theme").addEventListener("click", (event) => { event.currentTarget.blur(); turn(); redraw(); });
  };

  return { name, require, ask, begin };
})();
