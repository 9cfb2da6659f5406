// Two canvases of the single view: the object enlarged, with as much around it as wanted, and the whole image with all boxes.
const Crop = (() => {
  const MOST_CONTEXT = 8, STEP = 1.3;
  const view = { card: null, x: 0, y: 0, scale: 1, layers: [], whole: null, look: null, hover: null }; // scale: css px per image px
  const images = new Map(); // address -> promise of an image

  const load = (address) => {
    if (!address) return Promise.resolve(null);
    if (!images.has(address)) {
      images.set(address, new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve(image);
        image.onerror = () => resolve(null);
        image.src = address;
      }));
      if (images.size > 24) images.delete(images.keys().next().value);
    }
    return images.get(address);
  };

  const sized = (canvas) => { // in device pixels, drawn in css pixels
    const density = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const pen = canvas.getContext("2d");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    return { pen, width, height };
  };

  const context = () => Store.setting("context", 0.6);

  const fit = () => { // the box in the middle, with the wanted part of its sides around it
    const canvas = Dom.find("crop"), [x, y, w, h] = view.card.box, around = 1 + 2 * context();
    view.scale = Math.min(canvas.clientWidth / Math.max(1, w * around), canvas.clientHeight / Math.max(1, h * around));
    view.x = x + w / 2;
    view.y = y + h / 2;
  };

  const wanted = (width, height) => [view.x - width / view.scale / 2, view.y - height / view.scale / 2, width / view.scale, height / view.scale];

  const covers = ([x, y, w, h], [left, top, width, height]) => { // within the image; half a pixel is rounding
    const [most_x, most_y] = view.card.size;
    return x <= Math.max(0, left) + 0.5 && y <= Math.max(0, top) + 0.5
      && x + w >= Math.min(most_x, left + width) - 0.5 && y + h >= Math.min(most_y, top + height) - 0.5;
  };

  const chosen = (region) => { // the smallest layer that covers all and is sharp enough, else all of them, the sharpest on top
    const sharp = (layer) => layer.density >= Math.min(0.95, view.scale * (window.devicePixelRatio || 1));
    const one = view.layers.find((layer) => covers(layer.region, region) && sharp(layer));
    return one ? [one] : [...view.layers].sort((a, b) => a.density - b.density);
  };

  const corners = (pen, x, y, w, h) => { // marks beside the box hide nothing of it
    const out = 4, long = Math.max(8, Math.min(w, h) / 5);
    pen.beginPath();
    for (const [cx, sx] of [[x - out, 1], [x + w + out, -1]]) for (const [cy, sy] of [[y - out, 1], [y + h + out, -1]]) {
      pen.moveTo(cx + sx * long, cy); pen.lineTo(cx, cy); pen.lineTo(cx, cy + sy * long);
    }
    for (const [colour, width] of [["#ffffffb0", 5], ["#ff3b1f", 2.5]]) { pen.strokeStyle = colour; pen.lineWidth = width; pen.stroke(); }
  };

  const drawCrop = () => {
    if (!view.card) return;
    const { pen, width, height } = sized(Dom.find("crop"));
    const region = wanted(width, height);
    const at = ([x, y, w, h]) => [(x - region[0]) * view.scale, (y - region[1]) * view.scale, w * view.scale, h * view.scale];
    for (const layer of chosen(region)) pen.drawImage(layer.image, ...at(layer.region));
    corners(pen, ...at(view.card.box));
    if (!view.layers.length) note(pen, width, height, view.look ? Words.noCrop : Words.loading);
  };

  const note = (pen, width, height, text) => {
    Object.assign(pen, { fillStyle: getComputedStyle(pen.canvas).color, textAlign: "center", font: "15px system-ui, sans-serif" });
    pen.fillText(text, width / 2, height / 2);
  };

  const place = (width, height) => { // where the whole image lies in its canvas
    const [w, h] = view.card.size, scale = Math.min(width / w, height / h);
    return { scale, left: (width - w * scale) / 2, top: (height - h * scale) / 2 };
  };

  const drawWhole = () => {
    if (!view.card || !Dom.find("whole").clientWidth) return;
    const { pen, width, height } = sized(Dom.find("whole"));
    const { scale, left, top } = place(width, height), [w, h] = view.card.size;
    const at = (box) => [left + box[0] * scale, top + box[1] * scale, Math.max(2, box[2] * scale), Math.max(2, box[3] * scale)];
    if (view.whole) pen.drawImage(view.whole, left, top, w * scale, h * scale);
    else note(pen, width, height, view.look ? Words.noImage : Words.loading);
    for (const one of view.look ? view.look.boxes : []) if (one.id !== view.card.id) thin(pen, at(one.box), one === view.hover);
    if (view.whole) corners(pen, ...at(view.card.box));
    if (view.hover) label(pen, at(view.hover.box), view.hover.label ?? Words.none, width);
  };

  const thin = (pen, [x, y, w, h], isHovered) => {
    for (const [colour, width] of [["#00000090", 2.5], [isHovered ? "#ffd23f" : "#ffffffd0", 1.25]]) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: width });
      pen.strokeRect(x, y, w, h);
    }
  };

  const label = (pen, [x, y], text, width) => {
    Object.assign(pen, { font: "600 13px system-ui, sans-serif", textAlign: "left" });
    const long = pen.measureText(text).width + 12, left = Math.max(0, Math.min(x, width - long)), top = Math.max(2, y - 24);
    pen.fillStyle = "#1d2733ee"; pen.fillRect(left, top, long, 21);
    pen.fillStyle = "#ffffff"; pen.fillText(text, left + 6, top + 15);
  };

  const draw = () => { drawCrop(); drawWhole(); };

  const layer = async (part, card) => {
    const image = part && (await load(part.src));
    if (!image || view.card !== card) return;
    view.layers.push({ image, region: part.region, density: image.naturalWidth / Math.max(1, part.region[2]) });
    view.layers.sort((a, b) => a.region[2] * a.region[3] - b.region[2] * b.region[3]);
    drawCrop();
  };

  const show = (card) => { // what is known of it comes bit by bit
    Object.assign(view, { card, layers: [], whole: null, look: null, hover: null });
    Dom.find("whole").style.aspectRatio = `${card.size[0]} / ${card.size[1]}`;
    fit();
    draw();
  };

  const add = async (card, { thumbnail = null, look = null, address = null }) => {
    if (view.card !== card) return;
    if (look) view.look = look;
    await Promise.all([layer(thumbnail, card), look ? layer(look.context, card) : null]);
    const whole = await load(address);
    if (view.card === card && whole) {
      view.whole = whole;
      await layer({ src: address, region: [0, 0, ...card.size] }, card);
    }
    if (view.card === card) draw();
  };

  const widen = (steps) => {
    Store.set("context", Math.min(MOST_CONTEXT, Math.max(0, (context() + 0.25) * STEP ** steps - 0.25)));
    Dom.find("context").value = context();
    if (view.card) { fit(); drawCrop(); }
  };

  const zoom = (event) => { // about the place of the pointer
    event.preventDefault();
    const factor = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), canvas = Dom.find("crop");
    const dx = event.offsetX - canvas.clientWidth / 2, dy = event.offsetY - canvas.clientHeight / 2;
    const scale = Math.min(80, Math.max(0.05, view.scale * factor));
    view.x += dx / view.scale - dx / scale;
    view.y += dy / view.scale - dy / scale;
    view.scale = scale;
    drawCrop();
  };

  const drag = (event) => {
    if (!(event.buttons & 1) || !view.card) return;
    view.x -= event.movementX / view.scale;
    view.y -= event.movementY / view.scale;
    drawCrop();
  };

  const hover = (event) => { // the smallest box under the pointer
    if (!view.look) return;
    const { scale, left, top } = place(event.target.clientWidth, event.target.clientHeight);
    const x = (event.offsetX - left) / scale, y = (event.offsetY - top) / scale, near = 3 / scale;
    const inside = view.look.boxes.filter(({ box }) => x >= box[0] - near && y >= box[1] - near && x <= box[0] + box[2] + near && y <= box[1] + box[3] + near);
    const found = inside.sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3])[0] || null;
    if (found !== view.hover) { view.hover = found; drawWhole(); }
  };

  const begin = () => {
    const crop = Dom.find("crop"), whole = Dom.find("whole"), slider = Dom.find("context");
    crop.addEventListener("wheel", zoom, { passive: false });
    crop.addEventListener("pointermove", drag);
    crop.addEventListener("pointerdown", (event) => crop.setPointerCapture(event.pointerId));
    crop.addEventListener("dblclick", () => { fit(); drawCrop(); });
    whole.addEventListener("pointermove", hover);
    whole.addEventListener("pointerleave", () => { view.hover = null; drawWhole(); });
    slider.max = MOST_CONTEXT;
    slider.value = context();
    slider.addEventListener("input", () => { Store.set("context", Number(slider.value)); if (view.card) { fit(); drawCrop(); } });
    const resized = () => { if (view.card && crop.clientWidth) { fit(); draw(); } };
    new ResizeObserver(resized).observe(crop);
    new ResizeObserver(drawWhole).observe(whole);
  };

  return { begin, show, add, widen, draw, load };
})();
