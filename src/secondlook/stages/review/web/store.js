// What this browser keeps: the decisions on a page (a map `said` of object -> decision, and their order), the name, settings.
const Store = {
  // Resolves when the store may be asked. On a busy machine Chromium gives a page from disk that asks too early an empty store
  // that forgets what is put there. The browser answers a query about locks only after it has taken notice of the new page.
  ready: (async () => {
    if (location.protocol !== "file:") return; // it happens to no page of a server
    try { await navigator.locks.query(); } catch { /* a browser without locks, or one that keeps nothing */ }
  })(),
  name() { return Store.text("reviewer"); },
  rename(name) { try { localStorage.setItem("secondlook:reviewer", name); } catch { /* the page asks again */ } },

  read(key) { return Store.parsed(Store.text(key)); },
  write(key, value) {
    return Store.put(key, JSON.stringify(value));
  },
  put(key, text) {
    try { localStorage.setItem("secondlook:" + key, text); return true; } catch { return false; }
  },
  drop(key) { try { localStorage.removeItem("secondlook:" + key); } catch { /* nothing was kept */ } },
  text(key) { try { return localStorage.getItem("secondlook:" + key) || ""; } catch { return ""; } },
  parsed(text) { try { return JSON.parse(text); } catch { return null; } }, // unreadable: start over
  follow(key, action) { // what other tabs write
    addEventListener("storage", (event) => { if (event.key === "secondlook:" + key) action(event.newValue || ""); });
  },
  keys(prefix) {
    try { return Object.keys(localStorage).filter((key) => key.startsWith("secondlook:" + prefix)).map((key) => key.slice(11)).sort(); }
    catch { return []; }
  },
  // what this tab keeps over a reload; less of it where the browser has no room
  tab: {
    read(key) { try { return JSON.parse(sessionStorage.getItem("secondlook:" + key)); } catch { return null; } },
    write(key, value) { return Store.tab.put(key, JSON.stringify(value)); },
    put(key, text) { try { sessionStorage.setItem("secondlook:" + key, text); return true; } catch { return false; } },
  },
  setting(name, otherwise) { const kept = (Store.read("settings") || {})[name]; return kept === undefined ? otherwise : kept; },
  set(name, value) { Store.write("settings", { ...(Store.read("settings") || {}), [name]: value }); },
};
