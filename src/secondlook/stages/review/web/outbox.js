// Rows that the server has not confirmed yet. They outlive the tab: each list stands in this browser until it is saved.
const Outbox = (() => {
  const MOST_ROWS = 200, MOST_BYTES = 400000, LONGEST_WAIT_MS = 10000;
  let prefix = "", token = "", lists = [], busy = false, wait_ms = 500, timer = 0, counter = 0, changed = () => {};
  const state = { problem: "", isSilent: false, refused: [], stored: true };

  const size = (rows) => rows.reduce((sum, row) => sum + JSON.stringify(row).length, 0);
  const count = () => lists.reduce((sum, list) => sum + list.rows.length, 0);

  const fits = (rows, more) => rows.length + more.length <= MOST_ROWS && size(rows) + size(more) <= MOST_BYTES;

  const inLists = (rows) => rows.reduce((made, row) => {
    const last = made[made.length - 1];
    if (last && fits(last, [row])) last.push(row);
    else made.push([row]);
    return made;
  }, []);

  const add = (rows) => { // names sort by time; two tabs never make the same one
    const stamp = String(Date.now()).padStart(15, "0") + String((counter += 1)).padStart(6, "0");
    const list = { name: `${prefix}${stamp}${Math.random().toString(36).slice(2, 8)}`, rows };
    if (!Store.write(list.name, rows)) state.stored = false;
    lists.push(list);
  };

  const put = (rows) => { inLists(rows).forEach(add); changed(); send(); };

  const first = () => { // as many lists as one request takes
    const chosen = [lists[0]];
    for (const list of lists.slice(1)) {
      if (!fits(chosen.flatMap((one) => one.rows), list.rows)) break;
      chosen.push(list);
    }
    return chosen;
  };

  const forget = (chosen) => {
    lists = lists.filter((list) => !chosen.includes(list));
    chosen.forEach((list) => Store.drop(list.name));
  };

  const post = async (rows) => { // the status of the answer, 0 without one
    const headers = { "Content-Type": "application/json", "X-Token": token };
    try {
      return (await fetch("decisions", { method: "POST", body: JSON.stringify(rows), headers, signal: AbortSignal.timeout(20000) })).status;
    } catch { return 0; }
  };

  const why = (status) => (status === 0 ? Words.silent : status === 507 ? Words.full
    : status === 403 || status === 404 ? Words.moved : Words.failed(status));

  const refuse = async (chosen) => { // one bad row must not hold up the others
    const rows = chosen.flatMap((list) => list.rows);
    if (rows.length === 1) state.refused.push(rows[0]);
    else for (const row of rows) {
      const status = await post([row]);
      if (status === 400) state.refused.push(row);
      else if (status !== 200) return status;
    }
    forget(chosen);
    return 200;
  };

  const sendOnce = async () => {
    const chosen = first(), status = await post(chosen.flatMap((list) => list.rows));
    if (status === 200) forget(chosen);
    return status === 400 || status === 413 ? refuse(chosen) : status;
  };

  const send = async () => {
    if (busy || !token || !lists.length) return;
    busy = true;
    clearTimeout(timer);
    let status = 200;
    while (lists.length && status === 200) { status = await sendOnce(); changed(); }
    busy = false;
    Object.assign(state, { problem: status === 200 ? "" : why(status), isSilent: status === 0 });
    wait_ms = status === 200 ? 500 : Math.min(LONGEST_WAIT_MS, 2 * wait_ms);
    if (status !== 200) timer = setTimeout(send, wait_ms);
    changed();
  };

  const soon = () => { wait_ms = 500; send(); };
  const heard = () => { if (state.isSilent) soon(); }; // the server is back: nothing waits any longer

  const open = (key, secret, onChange) => {
    prefix = `outbox:${key}:`;
    token = secret;
    changed = onChange;
    lists = Store.keys(prefix).map((name) => ({ name, rows: Store.read(name) })).filter((list) => Array.isArray(list.rows));
    addEventListener("online", soon);
    addEventListener("secondlook:answer", heard);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
    addEventListener("beforeunload", (event) => { if (count()) event.preventDefault(); });
    send();
  };

  const say = () => {
    const left = count();
    if (state.refused.length) return Words.refused(state.refused.length);
    if (left) return state.problem ? Words.unsent(left, state.problem) : Words.saving(left);
    return Words.saved;
  };

  return { open, put, count, say, soon, state, unsent: () => lists.flatMap((list) => list.rows) };
})();
