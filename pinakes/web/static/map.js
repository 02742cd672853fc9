// The map: all points at once, and small pictures where there is room for them. Everything it leads to is an address.

const frame = document.getElementById("map");
const canvas = frame.querySelector("canvas");
const context = canvas.getContext("2d");
const base = document.documentElement.dataset.base;
const tile = Number(frame.dataset.tile);
const across = Number(frame.dataset.across);
const perSheet = Number(frame.dataset.perSheet);
const STEPS = 65535;
const LEAST_SHOWN = 40, MOST_SHOWN = 72;   // CSS pixels of a small picture
const MOST_CORNERS = 40;
const HUES = 12;
const colours = Uint32Array.from({ length: HUES }, (_, hue) => {
  const channel = (shift) => Math.round(127 + 60 * Math.cos((2 * Math.PI * hue) / HUES - shift));
  return ((220 << 24) | (channel(4.19) << 16) | (channel(2.09) << 8) | channel(0)) >>> 0;   // alpha, blue, green, red
});

let x, y, cluster;         // of each point
const sheets = [];         // images, by number; missing until they are loaded
let view = { x: 0.5, y: 0.5, scale: 1 };   // the middle, and the width of the whole map in CSS pixels
let fit = 1, shown = LEAST_SHOWN;
let drawing = false, line = null, due = false;

const names = [...document.querySelectorAll(".clusters > li")].map((item) => ({
  x: Number(item.dataset.x), y: Number(item.dataset.y), text: item.querySelector("a").textContent,
}));

/** The address of a page of this collection, with the shortlist that this page's address carries. */
function address(path, parameters) {
  const kept = new URLSearchParams(location.search).getAll("keep").map((id) => `keep=${encodeURIComponent(id)}`);
  return `${base}${path}?${[...parameters, ...kept].join("&")}`;
}

function onScreen(px, py) {
  return [(px - view.x) * view.scale + canvas.clientWidth / 2, (py - view.y) * view.scale + canvas.clientHeight / 2];
}

function onMap(sx, sy) {
  return [(sx - canvas.clientWidth / 2) / view.scale + view.x, (sy - canvas.clientHeight / 2) / view.scale + view.y];
}

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    const began = performance.now();
    draw();
    frame.dataset.milliseconds = (performance.now() - began).toFixed(1);
  });
}

function draw() {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const style = getComputedStyle(document.documentElement);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  // Each cell of a grid on the map shows one picture; the grid follows the zoom in whole steps, so that the same pictures
  // stay while the map is moved. The other points are dots, set pixel by pixel: a call for each would be far too slow.
  const cell = shown / (fit * 2 ** Math.floor(Math.log2(view.scale / fit)));
  const [left, top] = onMap(-shown, -shown), [right, bottom] = onMap(width + shown, height + shown);
  const firstColumn = Math.floor(left / cell), firstRow = Math.floor(top / cell);
  const columns = Math.floor(right / cell) - firstColumn + 1;
  const taken = new Uint8Array(columns * (Math.floor(bottom / cell) - firstRow + 1));
  const dots = context.createImageData(canvas.width, canvas.height), pixels = new Uint32Array(dots.data.buffer);
  const size = Math.max(1, Math.round(2 * ratio)), pictures = [];
  for (let i = 0; i < x.length; i++) {
    const px = x[i], py = y[i];
    if (px < left || px > right || py < top || py > bottom) continue;
    const place = (Math.floor(py / cell) - firstRow) * columns + Math.floor(px / cell) - firstColumn;
    if (!taken[place]) {
      taken[place] = 1;
      pictures.push(i);
      continue;
    }
    const sx = Math.round(((px - view.x) * view.scale + width / 2) * ratio), sy = Math.round(((py - view.y) * view.scale + height / 2) * ratio);
    if (sx < 0 || sy < 0 || sx + size > canvas.width || sy + size > canvas.height) continue;
    const colour = colours[cluster[i] % HUES];
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) pixels[(sy + row) * canvas.width + sx + column] = colour;
    }
  }
  context.putImageData(dots, 0, 0);
  const side = cell * view.scale * 0.72;
  for (const i of pictures) {
    const [sx, sy] = onScreen(x[i], y[i]);
    const sheet = sheets[Math.floor(i / perSheet)], place = i % perSheet;
    if (sheet) {
      context.drawImage(sheet, (place % across) * tile, Math.floor(place / across) * tile, tile, tile, sx - side / 2, sy - side / 2, side, side);
    } else {
      context.fillStyle = style.getPropertyValue("--line");
      context.fillRect(sx - side / 2, sy - side / 2, side, side);
    }
  }
  label(style, width, height);
  if (line?.length > 1) {
    context.beginPath();
    line.forEach(([px, py], i) => { const at = onScreen(px, py); i ? context.lineTo(...at) : context.moveTo(...at); });
    context.closePath();
    context.fillStyle = "rgb(43 86 71 / 20%)";
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.stroke();
  }
  frame.dataset.drawn = pictures.length;
}

/** The names of the clusters, largest first; one that would cover another is left out. */
function label(style, width, height) {
  context.font = `600 15px ${style.getPropertyValue("--sans")}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const placed = [];
  for (const name of names) {
    const [sx, sy] = onScreen(name.x, name.y), half = context.measureText(name.text).width / 2 + 8;
    if (sx < half || sy < 16 || sx > width - half || sy > height - 16) continue;
    if (placed.some((other) => Math.abs(other.sx - sx) < other.half + half && Math.abs(other.sy - sy) < 26)) continue;
    placed.push({ sx, sy, half });
    context.fillStyle = style.getPropertyValue("--sheet");
    context.globalAlpha = 0.88;
    context.beginPath();
    context.roundRect(sx - half, sy - 12, 2 * half, 24, 12);
    context.fill();
    context.globalAlpha = 1;
    context.fillStyle = style.getPropertyValue("--ink");
    context.fillText(name.text, sx, sy);
  }
}

function zoom(factor, sx = canvas.clientWidth / 2, sy = canvas.clientHeight / 2) {
  const [px, py] = onMap(sx, sy);
  view.scale = Math.min(Math.max(view.scale * factor, fit * 0.5), fit * 512);
  view.x = px - (sx - canvas.clientWidth / 2) / view.scale;
  view.y = py - (sy - canvas.clientHeight / 2) / view.scale;
  redraw();
}

function move(dx, dy) {
  view.x = Math.min(1, Math.max(0, view.x - dx / view.scale));
  view.y = Math.min(1, Math.max(0, view.y - dy / view.scale));
  redraw();
}

function whole() {
  fit = Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94;
  shown = Math.min(MOST_SHOWN, Math.max(LEAST_SHOWN, (1.1 * fit) / Math.sqrt(x.length)));
  view = { x: 0.5, y: 0.5, scale: fit };
  redraw();
}

function setDrawing(on) {
  drawing = on;
  frame.querySelector('[data-do="draw"]').setAttribute("aria-pressed", String(on));
  canvas.classList.toggle("drawing", on);
}

/** Search among the pictures inside a line that was drawn. */
function search() {
  const step = Math.max(1, Math.ceil(line.length / MOST_CORNERS));
  const corners = line.filter((_, i) => i % step === 0).map((at) => at.map((v) => Math.min(1, Math.max(0, v)).toFixed(3)).join(","));
  if (corners.length < 3) return;
  location.assign(address("/", [`where=map=${corners.join(";")}`]));
}

let pressed = null;
const isOther = (event) => event.pointerId !== pressed?.pointer;

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  pressed = { pointer: event.pointerId, x: event.offsetX, y: event.offsetY, moved: false };
  if (drawing || event.shiftKey) line = [onMap(event.offsetX, event.offsetY)];
});

canvas.addEventListener("pointermove", (event) => {
  if (isOther(event)) return;
  if (line) line.push(onMap(event.offsetX, event.offsetY));
  else move(event.offsetX - pressed.x, event.offsetY - pressed.y);
  pressed.moved ||= Math.hypot(event.offsetX - pressed.x, event.offsetY - pressed.y) > 3;
  if (!line) Object.assign(pressed, { x: event.offsetX, y: event.offsetY });
  redraw();
});

canvas.addEventListener("pointerup", (event) => {
  if (isOther(event)) return;
  if (line) search();
  else if (!pressed.moved) {
    const [px, py] = onMap(event.offsetX, event.offsetY);
    if (px >= 0 && px <= 1 && py >= 0 && py <= 1) location.assign(address("/map/at", [`x=${px.toFixed(5)}`, `y=${py.toFixed(5)}`]));
  }
  line = pressed = null;
  redraw();
});

canvas.addEventListener("pointercancel", (event) => {
  if (isOther(event)) return;
  line = pressed = null;
  redraw();
});

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(1.0015 ** -event.deltaY, event.offsetX, event.offsetY);
}, { passive: false });

canvas.addEventListener("keydown", (event) => {
  const step = 60;
  const does = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: whole, Escape: () => setDrawing(false),
  }[event.key];
  if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  does();
});

frame.querySelector(".tools").addEventListener("click", (event) => {
  ({ in: () => zoom(1.5), out: () => zoom(1 / 1.5), all: whole, draw: () => setDrawing(!drawing) })[event.target.dataset.do]?.();
});

async function begin() {
  const answer = await fetch(`${base}/map/points`);
  if (!answer.ok) return;
  const sent = new Uint16Array(await answer.arrayBuffer());
  const count = sent.length / 3;
  x = new Float32Array(count);
  y = new Float32Array(count);
  cluster = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    x[i] = sent[3 * i] / STEPS;
    y[i] = sent[3 * i + 1] / STEPS;
    cluster[i] = sent[3 * i + 2];
  }
  frame.hidden = false;
  whole();
  new ResizeObserver(redraw).observe(canvas);
  for (let number = 0; number * perSheet < count; number++) {
    const sheet = new Image();
    sheet.src = `${base}/map/sheet/${number}`;
    await sheet.decode().then(() => { sheets[number] = sheet; redraw(); }, () => {});
  }
  frame.dataset.ready = "";
}

begin();
