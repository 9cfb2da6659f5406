// The index: what this browser has decided on each page, and, with the server, the desk.
Store.ready.then(() => {
  Person.show();
  const token = document.querySelector("meta[name=secondlook-token]").content;
  for (const bar of document.querySelectorAll("progress[data-key]")) {
    const done = Object.keys((Store.read(bar.dataset.key) || {}).said || {}).length;
    bar.value = done;
    bar.nextElementSibling.textContent = Words.doneHere(done);
  }
  Person.begin(() => {});
  document.body.classList.toggle("served", Boolean(token));
  if (!token) return;
  Server.open(token, Person.name);
  Desk.begin();
});
