// What a person decided, in this browser: a map of object -> decision, and the order in which they came.
"use strict";
const Store = {
  open(key) {
    let saved = null;
    try { saved = JSON.parse(localStorage.getItem("secondlook:" + key)); } catch { /* unreadable: begin anew */ }
    return saved && saved.said ? saved : { said: {}, order: [] };
  },
  save(key, state) {
    try { localStorage.setItem("secondlook:" + key, JSON.stringify(state)); return true; } catch { return false; }
  },
  name() { try { return localStorage.getItem("secondlook:reviewer") || ""; } catch { return ""; } },
  rename(name) { try { localStorage.setItem("secondlook:reviewer", name); } catch { /* it is asked for again */ } },
};
