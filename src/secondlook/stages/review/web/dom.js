// Small helpers for the document; text always becomes text, never markup.
const Dom = (() => {
  const find = (id) => document.getElementById(id);

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick") made.addEventListener("click", value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return made;
  };

  const write = (id, text) => { // an unchanged text is not read out again
    const place = find(id);
    if (place && place.textContent !== text) place.textContent = text;
  };

  const button = (text, key, onclick, attributes = {}) => element("button", { type: "button", ...attributes, onclick },
    text, key ? " " : null, key ? element("kbd", {}, key) : null);

  const later = (action, delay_ms) => { // runs once things are quiet
    let waiting = 0;
    return () => { clearTimeout(waiting); waiting = setTimeout(action, delay_ms); };
  };

  return { find, element, write, button, later };
})();

// What came up by itself needs a look first: a doubled key or click decides nothing that nobody has seen.
const Pace = (() => {
  let came_ms = -Infinity;
  const pace = {
    least_ms: 250,
    came() { came_ms = performance.now(); },
    wanted() { came_ms = -Infinity; }, // a person has gone there
    isTooSoon() { return performance.now() - came_ms < pace.least_ms; },
  };
  return pace;
})();

// How long something was looked at: time counts only while the page is visible.
const makeClock = () => {
  let seen_ms = 0, since = null, isPaused = false;
  const settle = () => {
    if (since !== null) seen_ms += performance.now() - since;
    since = document.hidden || isPaused ? null : performance.now();
  };
  document.addEventListener("visibilitychange", settle);
  return {
    begin() { isPaused = false; since = null; settle(); seen_ms = 0; },
    pause() { isPaused = true; settle(); },
    resume() { isPaused = false; settle(); },
    seconds() { settle(); return seen_ms / 1000; },
  };
};
