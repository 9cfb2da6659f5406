// The crops of a wall: how many fit, how each is cut, and drawing them; one element per crop, plus its badges.
const Thumb = (() => {
  // what of the image is wanted: the box with `margin` of its sides around, inside what the thumbnail shows
  const wanted = ({ box: [x, y, w, h] }, [left, top, width, height], margin) => {
    const from_x = Math.max(left, x - margin * w), from_y = Math.max(top, y - margin * h);
    const to_x = Math.min(left + width, x + w + margin * w), to_y = Math.min(top + height, y + h + margin * h);
    return [from_x, from_y, Math.max(0.5, to_x - from_x), Math.max(0.5, to_y - from_y)];
  };

  const paint = (place, card, thumbnail, { margin, width, height }) => { // px; cut by the background of one element
    if (!thumbnail) { place.classList.add("without"); return; }
    const [left, top, whole_w, whole_h] = thumbnail.region, [x, y, w, h] = wanted(card, thumbnail.region, margin);
    const scale = Math.min(width / w, height / h), side = (width - w * scale) / 2, above = (height - h * scale) / 2;
    Object.assign(place.style, {
      backgroundImage: `url("${thumbnail.src}")`, padding: `${above}px ${side}px`,
      backgroundSize: `${whole_w * scale}px ${whole_h * scale}px`, backgroundPosition: `${(left - x) * scale}px ${(top - y) * scale}px`,
    });
  };

  return { paint };
})();

const Grid = (() => {
  const GAP = 6, CAPTION = 20, MOST = 400, SMALLEST = 56, LARGEST = 320, GROWS = 4, NEAR = 0.15;
  let drawn = 1, due = false; // columns; whether the size has changed
  const place = () => Dom.find("grid");
  const size = () => Store.setting("size", 104);
  const margin = () => Store.setting("margin", 0.15);

  const planned = (columns, captions) => { // px; cells are widened until a row fills the window
    const width = place().clientWidth, height = place().clientHeight, below = captions ? CAPTION : 0;
    const cell = Math.max(24, Math.floor((width - GAP * (columns - 1)) / columns));
    const rows = Math.max(1, Math.floor((height + GAP) / (cell + below + GAP)));
    return { columns, cell, below, count: Math.min(MOST, columns * rows), unused: height - rows * (cell + below + GAP) };
  };

  const layout = (captions) => { // of the grids whose crops have about the wanted size, the one that fills the window best
    const columns = Math.max(1, Math.floor((place().clientWidth + GAP) / (size() + GAP)));
    const near = ({ cell }) => cell >= size() * (1 - NEAR) && cell <= size() * (1 + NEAR);
    const others = [columns + 1, columns - 1].filter((count) => count > 0).map((count) => planned(count, captions)).filter(near);
    return [planned(columns, captions), ...others].reduce((best, plan) => (plan.unused < best.unused - GAP ? plan : best));
  };

  const roomy = (captions, count) => { // few crops are drawn larger, up to four times the wanted size, as long as all are seen
    let plan = layout(captions);
    while (plan.columns > 1) {
      const larger = planned(plan.columns - 1, captions);
      if (larger.count < count || larger.unused < -GAP || larger.cell > GROWS * size()) break;
      plan = larger;
    }
    return plan;
  };

  const badge = (name, text) => Dom.element("b", { class: name, "aria-hidden": "true" }, text);

  const option = (card, index, shown, { cell, below }) => {
    const made = Dom.element("div", { role: "option", id: `cell-${index}`, class: "cell", "data-index": index, "data-id": card.id, "data-proposal": card.proposal });
    made.style.height = `${cell + below}px`;
    const crop = Dom.element("i");
    crop.style.height = `${cell - 4}px`;
    Thumb.paint(crop, card, shown.thumbnails.get(card.id), { margin: margin(), width: cell - 4, height: cell - 4 });
    made.append(crop);
    if (below) made.append(Dom.element("span", { class: "caption" }, card.proposal));
    update(made, card, shown);
    return made;
  };

  const update = (made, card, { marks, decides }) => { // what changes when people mark: symbol, border and words
    const isMarked = marks.has(card.id), label = marks.get(card.id);
    made.classList.toggle("marked", isMarked);
    made.setAttribute("aria-selected", String(isMarked));
    made.setAttribute("aria-label", Words.cell(card, isMarked ? Words.marked(label) : ""));
    made.querySelectorAll("b").forEach((old) => old.remove());
    if (card.stack) made.append(badge(decides(card) ? "stack" : "stack alone", Words.stack(card, decides(card))));
    if (isMarked) made.append(badge("mark", label === null ? `✗ ${Words.openMark}` : label === "" ? `? ${Words.unsureMark}` : `✗ ${label}`));
  };

  const draw = (cards, shown, captions) => {
    const plan = roomy(captions, cards.length);
    drawn = plan.columns;
    place().style.gridTemplateColumns = `repeat(${plan.columns}, ${plan.cell}px)`;
    place().replaceChildren(...cards.map((card, index) => option(card, index, shown, plan)));
  };

  const redraw = (cards, shown) => { for (const [index, made] of [...place().children].entries()) update(made, cards[index], shown); };

  const focus = (index) => { // the cursor of the keyboard; the grid itself keeps the focus
    const before = place().querySelector(".now"), now = place().children[index];
    if (before) before.classList.remove("now");
    if (!now) return place().removeAttribute("aria-activedescendant");
    now.classList.add("now");
    place().setAttribute("aria-activedescendant", now.id);
  };

  const busy = (more) => place().setAttribute("aria-busy", more || due); // more crops may come

  const begin = (changed) => {
    const later = Dom.later(() => { due = false; changed(); }, 60), soon = () => { due = true; busy(true); later(); };
    for (const [id, least, most, step, value] of [["size", SMALLEST, LARGEST, 4, size()], ["margin", 0, 0.5, 0.05, margin()]]) {
      const slider = Object.assign(Dom.find(id), { min: least, max: most, step });
      slider.value = value;
      slider.addEventListener("input", () => { Store.set(id, Number(slider.value)); soon(); });
    }
    new ResizeObserver(soon).observe(place());
  };

  return { layout, draw, redraw, focus, busy, begin, columns: () => drawn };
})();
