// The decisions of a person in this browser: a map `said` of object -> decision (its stored name), and their order.
"use strict";
const Store = {
  open(key) {
    let saved = null;
    try { saved = JSON.parse(localStorage.getItem("secondlook:" + key)); } catch { /* unreadable: start over */ }
    return saved && saved.said ? saved : { said: {}, order: [] };
  },
  save(key, state) {
    try { localStorage.setItem("secondlook:" + key, JSON.stringify(state)); return true; } catch { return false; }
  },
  name() { try { return localStorage.getItem("secondlook:reviewer") || ""; } catch { return ""; } },
  rename(name) { try { localStorage.setItem("secondlook:reviewer", name); } catch { /* the page asks again */ } },
};
