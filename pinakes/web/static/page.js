// Conveniences of a page that works without a script: pictures by drop, paste and drag; a frame drawn on the picture; more
// pictures in place. Every search remains an address, so that Back, reload and links are the browser's own.

const form = document.getElementById("search");
const base = document.documentElement.dataset.base;
const mostKept = Number(document.documentElement.dataset.mostKept);
const wide = matchMedia("(min-width: 60rem)");

/** Announce a text to screen readers. */
function say(text) {
  const said = document.getElementById("said");
  said.textContent = "";   // the same text again is only announced if it has changed in between
  setTimeout(() => { said.textContent = text; }, 50);
}

/** The address of a search, encoded as the server encodes it: the browser then knows both as one. */
function address(pairs) {
  const written = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%(3D|2C|3A|2F)/g, decodeURIComponent)}`);
  return carrying(`${base}/${written.length ? `?${written.join("&")}` : ""}`, kept());
}

// --- The shortlist, which every address carries ----------------------------------------------------------------------

/** The image_ids of the shortlist in this page's address. */
function kept() {
  return new URLSearchParams(location.search).getAll("keep");
}

/** The same address with another shortlist. */
function carrying(address, ids) {
  const [path, query, hash] = /^([^?#]*)\??([^#]*)(.*)$/.exec(address).slice(1);
  const pairs = query.split("&").filter((pair) => pair && !pair.startsWith("keep="));
  pairs.push(...ids.map((id) => `keep=${encodeURIComponent(id).replace(/%(3D|2C|3A|2F)/g, decodeURIComponent)}`));
  return path + (pairs.length ? `?${pairs.join("&")}` : "") + hash;
}

/** Change the shortlist in this page's address, in its form and in all its links. */
function keep(ids) {
  history.replaceState(history.state, "", carrying(location.pathname + location.search + location.hash, ids));
  sessionStorage.setItem("kept", JSON.stringify(ids));
  if (form) {
    sessionStorage.setItem("search", location.pathname + location.search);
    form.setAttribute("action", carrying(form.getAttribute("action"), ids));
  }
  mark(ids);
  const list = document.getElementById("shortlist");
  list.hidden = !ids.length;
  list.querySelector(".count").textContent = ids.length;
}

/** Put the shortlist into all links to pages, and mark the pictures that it holds. */
function mark(ids) {
  for (const link of document.querySelectorAll('a[href^="/"]:not(#zoom):not(.chooser a)')) {
    if (link.getAttribute("href").startsWith(`${base}/iiif/`)) continue;   // documents for programs, which refuse it
    const { keep: id, title } = link.dataset;
    if (!id) {
      link.setAttribute("href", carrying(link.getAttribute("href"), ids));
      continue;
    }
    const has = ids.includes(id);
    const full = !has && ids.length >= mostKept;
    const toggled = has ? ids.filter((other) => other !== id) : [...ids, id];
    link.setAttribute("href", full ? carrying(`${base}/shortlist`, ids) : carrying(location.pathname + location.search, toggled));
    link.classList.toggle("kept", has);
    link.ariaLabel = has ? `Take ${title} off the shortlist` : `Keep ${title} in the shortlist`;
    link.title = has ? "Take it off the shortlist" : "Keep it in the shortlist";
    const name = link.querySelector("span");
    if (name) name.textContent = has ? "Kept" : "Keep";
  }
}

function prepareKeeping() {
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("a[data-keep]")?.dataset.keep;
    if (!id || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const ids = kept();
    const had = ids.includes(id);
    if (!had && ids.length >= mostKept) return;   // the link leads to the list, which says that it is full
    event.preventDefault();
    keep(had ? ids.filter((other) => other !== id) : [...ids, id]);
    say(had ? "Taken off the shortlist" : "Kept in the shortlist");
  });
  // The address that Back returns to has the list of that time; the last list replaces it.
  addEventListener("pageshow", (event) => {
    const last = JSON.parse(sessionStorage.getItem("kept") ?? "null");
    const [came] = performance.getEntriesByType("navigation");
    if (last && (event.persisted || came?.type === "back_forward")) keep(last);
    else sessionStorage.setItem("kept", JSON.stringify(kept()));
  });
}

// --- Searching -------------------------------------------------------------------------------------------------------

/** Send the form: as an address, or with the picture that was chosen. */
function submit() {
  const data = new FormData(form);
  if (data.get("picture")?.size) {
    form.requestSubmit();
    return;
  }
  data.delete("picture");
  const sent = [...data].filter(([name, value]) => value !== "" && !(name === "column" && !data.get("has")));
  location.assign(address(sent));
}

/** Search with a file. */
function searchWith(file) {
  const chosen = new DataTransfer();
  chosen.items.add(file);
  document.getElementById("picture").files = chosen.files;
  say("The picture is being sent");
  form.requestSubmit();
}

function prepareForm() {
  form.addEventListener("submit", (event) => {
    if (document.getElementById("picture").files.length) return;
    event.preventDefault();
    submit();
  });
  document.getElementById("picture").addEventListener("change", (event) => {
    if (event.target.files.length) {
      say("The picture is being sent");
      form.requestSubmit();
    }
  });
  form.elements.exclude_query?.addEventListener("change", () => submit());
  // Next to the pictures a filter acts at once; on a phone, where the filters hide the pictures, only the button acts.
  document.getElementById("filters").addEventListener("change", (event) => {
    if (event.target.type !== "checkbox" || !wide.matches) return;
    sessionStorage.setItem("focus", JSON.stringify({ value: event.target.value, y: scrollY }));
    submit();
  });
}

/** After a filter has reloaded the page: put the keyboard's focus back, and announce the result. */
function resumeFilters() {
  const kept = JSON.parse(sessionStorage.getItem("focus") ?? "null");
  sessionStorage.removeItem("focus");
  if (!kept) return;
  const choice = [...document.querySelectorAll('#filters input[type="checkbox"]')].find((box) => box.value === kept.value);
  if (choice) {
    choice.closest("details.group").open = true;
    scrollTo({ top: kept.y, behavior: "instant" });
    choice.focus({ preventScroll: true });
  }
  say(document.querySelector(".tally, .notice h2")?.textContent ?? "");
}

// --- A picture from anywhere -----------------------------------------------------------------------------------------

const isPicture = (file) => file.type.startsWith("image/");

/** The image_id of the picture that is being dragged, if it is one of this page. */
function draggedImage(transfer) {
  const dragged = transfer.getData("text/uri-list").split("\n")[0];
  if (!dragged || !URL.canParse(dragged)) return null;
  const { origin, pathname } = new URL(dragged);
  const found = origin === location.origin && pathname.startsWith(base) && /^\/(?:images|thumbnails\/\d+)\/(.+)$/.exec(pathname.slice(base.length));
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return null;   // it is not in UTF-8, and so no address that this page writes
  }
}

function prepareDropping() {
  const curtain = document.getElementById("drop");
  let depth = 0;   // each element that the pointer passes over enters and leaves for itself
  const wanted = (event) => ["Files", "text/uri-list"].some((kind) => event.dataTransfer.types.includes(kind));
  const show = (shown) => { curtain.hidden = !shown; };
  document.addEventListener("dragenter", (event) => {
    if (wanted(event)) {
      depth += 1;
      show(true);
    }
  });
  document.addEventListener("dragleave", (event) => {
    if (wanted(event)) {
      depth = Math.max(0, depth - 1);
      show(depth > 0);
    }
  });
  document.addEventListener("dragover", (event) => {
    if (wanted(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!wanted(event)) return;
    event.preventDefault();
    depth = 0;
    show(false);
    const image = draggedImage(event.dataTransfer);
    const file = [...event.dataTransfer.files].find(isPicture);
    if (image) location.assign(address([["like", image]]));
    else if (file) searchWith(file);
    else say("That is not a picture");
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(isPicture);
    if (file) {
      event.preventDefault();
      searchWith(file);
    }
  });
}

// --- The frame -------------------------------------------------------------------------------------------------------

const STEP = 2; // percent of the picture for one press of a key
const LEAST = 3; // percent: a smaller frame was not intended
const CORNERS = [[0, 0], [1, 0], [0, 1], [1, 1]];

const within = (value, low, high) => Math.min(Math.max(value, low), high);

function prepareCrop(area) {
  const fields = ["left", "top", "width", "height"].map((name) => document.getElementById(name));
  const frame = area.querySelector("svg");
  const boxes = area.querySelectorAll(".box");
  const grips = CORNERS.map(([right, bottom]) => {
    const grip = document.createElement("span");
    grip.className = "grip";
    grip.dataset.corner = `${right}${bottom}`;
    grip.style.cursor = right === bottom ? "nwse-resize" : "nesw-resize";
    area.append(grip);
    return grip;
  });

  const read = () => {
    if (fields.every((field) => field.value === "")) return null;
    const [x, y] = [Number(fields[0].value), Number(fields[1].value)];
    return { x, y, w: fields[2].value === "" ? 100 - x : Number(fields[2].value), h: fields[3].value === "" ? 100 - y : Number(fields[3].value) };
  };
  const show = (box) => {
    frame.setAttribute("visibility", box ? "visible" : "hidden");
    for (const grip of grips) grip.hidden = !box;
    if (!box) return;
    for (const rect of boxes) {
      for (const [name, value] of [["x", box.x], ["y", box.y], ["width", box.w], ["height", box.h]]) rect.setAttribute(name, `${value}%`);
    }
    grips.forEach((grip, number) => {
      grip.style.left = `${box.x + CORNERS[number][0] * box.w}%`;
      grip.style.top = `${box.y + CORNERS[number][1] * box.h}%`;
    });
  };
  const write = (box) => {
    const values = box ? [box.x, box.y, box.w, box.h] : ["", "", "", ""];
    fields.forEach((field, number) => { field.value = box ? String(Math.round(values[number] * 10) / 10) : ""; });
    show(box);
  };
  const tell = () => {
    const box = read();
    say(box ? `Frame: ${fields[0].value} percent from the left, ${fields[1].value} from the top, ${fields[2].value} wide, ${fields[3].value} high` : "The whole picture");
  };

  area.classList.add("ready");
  area.tabIndex = 0;
  area.setAttribute("role", "group");
  area.setAttribute("aria-label", "Frame on the picture");
  area.setAttribute("aria-describedby", "crop-help");
  show(read());
  for (const field of fields) field.addEventListener("input", () => show(read()));

  const point = (event) => {
    const { left, top, width, height } = area.getBoundingClientRect();
    return { x: within(((event.clientX - left) / width) * 100, 0, 100), y: within(((event.clientY - top) / height) * 100, 0, 100) };
  };
  /** The frame between two points. */
  const between = (a, b) => ({ x: Math.min(a.x, b.x), y: Math.min(a.y, b.y), w: Math.abs(a.x - b.x), h: Math.abs(a.y - b.y) });
  let drag = null;

  // Otherwise the browser scrolls at a quick stroke, and takes the next tap for the end of the scrolling.
  area.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [at, before] = [point(event), read()];
    const corner = event.target.dataset?.corner;
    if (corner) {
      const [right, bottom] = [...corner].map(Number);
      const fixed = { x: before.x + (1 - right) * before.w, y: before.y + (1 - bottom) * before.h };
      drag = { before, move: (to) => between(fixed, to) };
    } else if (before && at.x > before.x && at.x < before.x + before.w && at.y > before.y && at.y < before.y + before.h) {
      drag = { before, move: (to) => ({ ...before, x: within(before.x + to.x - at.x, 0, 100 - before.w), y: within(before.y + to.y - at.y, 0, 100 - before.h) }) };
    } else {
      drag = { before, move: (to) => between(at, to) };
    }
    area.setPointerCapture(event.pointerId);
    area.focus({ preventScroll: true });
    event.preventDefault();
  });
  area.addEventListener("pointermove", (event) => {
    if (drag) write(drag.move(point(event)));
  });
  area.addEventListener("pointerup", () => {
    if (!drag) return;
    const box = read();
    if (box && (box.w < LEAST || box.h < LEAST)) write(drag.before);
    drag = null;
    tell();
  });
  area.addEventListener("pointercancel", () => {
    if (drag) write(drag.before);
    drag = null;
  });

  area.addEventListener("keydown", (event) => {
    const along = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (event.key === "Enter") submit();
    else if (event.key === "Escape") write(null);
    else if (along && !event.altKey && !event.ctrlKey && !event.metaKey) {
      const box = read() ?? { x: 25, y: 25, w: 50, h: 50 };
      if (event.shiftKey) {
        box.w = within(box.w + along[0], LEAST, 100 - box.x);
        box.h = within(box.h + along[1], LEAST, 100 - box.y);
      } else {
        box.x = within(box.x + along[0], 0, 100 - box.w);
        box.y = within(box.y + along[1], 0, 100 - box.h);
      }
      write(box);
    } else return;
    event.preventDefault();
    tell();
  });
}

// --- More pictures, in place -----------------------------------------------------------------------------------------

/** Append the next page to this one; returns the new cards. */
async function append(next) {
  const answer = await fetch(carrying(next, kept()), { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const cards = [...page.querySelectorAll("#grid > li")].map((card) => document.adoptNode(card));
  document.getElementById("grid").append(...cards);
  const shown = document.getElementById("shown");
  if (shown) shown.textContent = document.querySelectorAll("#grid > li").length.toLocaleString("en");
  const link = document.querySelector("#more a");
  const following = page.querySelector("#more a")?.getAttribute("href");
  if (following) link.setAttribute("href", following);
  else link.parentElement.remove();
  mark(kept());   // the list may have changed while the page was fetched
  return cards;
}

async function prepareMore(more) {
  const link = more.querySelector("a");
  const pages = history.state?.pages ?? [];   // their addresses have the shortlist of the time when they were appended
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.getAttribute("aria-busy") === "true") return;
    event.preventDefault();
    const next = link.getAttribute("href");
    link.setAttribute("aria-busy", "true");
    try {
      const cards = await append(next);
      pages.push(next);
      history.replaceState({ ...history.state, pages }, "");
      // detail is 0 if a key was pressed: only then does the focus move to the first new picture.
      if (event.detail === 0) cards[0]?.querySelector("a").focus({ preventScroll: false });
      say(`${cards.length} more pictures, ${document.querySelectorAll("#grid > li").length} shown`);
    } catch {
      location.assign(next);
    } finally {
      link.removeAttribute("aria-busy");
    }
  });
  // After Back from a picture: load the same pages, and scroll to the same height.
  const y = history.state?.y;
  if (pages.length) {
    history.scrollRestoration = "manual";
    try {
      for (const next of pages) await append(next);
    } catch {
      return; // the first page is shown, with its link to the next
    }
    if (y !== undefined) scrollTo({ top: y, behavior: "instant" });
  }
}

function rememberPlace() {
  addEventListener("pagehide", () => {
    if (history.state?.pages) history.replaceState({ ...history.state, y: scrollY }, "");
  });
}

// --- Small things ----------------------------------------------------------------------------------------------------

async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Browsers allow the clipboard only on secure pages; this older way works on any.
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("not copied");
}

function prepareCopy(link) {
  const name = link.querySelector("span");
  name.textContent = "Copy link";
  link.setAttribute("role", "button");
  const act = async (event) => {
    event.preventDefault();
    try {
      await copy(link.href);
      name.textContent = "Copied";
      say("The link is copied");
      setTimeout(() => { name.textContent = "Copy link"; }, 2500);
    } catch {
      location.assign(link.href);
    }
  };
  link.addEventListener("click", act);
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") act(event);
  });
}

/** On a picture's page: make the link lead back to the last search. */
function prepareBack(link) {
  const search = sessionStorage.getItem("search");
  if (!search?.startsWith(`${base}/`) || (!base && search.startsWith("/in/"))) return;
  const bare = carrying(search, []);
  link.setAttribute("href", carrying(search, kept()));
  link.querySelector("span").textContent = bare === `${base}/` ? "The collection" : "Back to the search";
  link.addEventListener("click", (event) => {
    const came = document.referrer && new URL(document.referrer);
    if (came && came.origin === location.origin && carrying(came.pathname + came.search, []) === bare && history.length > 1) {
      event.preventDefault();
      history.back();
    }
  });
}

/** Show the picture as large as the window and, after a click on a place in it, that place enlarged. */
function prepareZoom(link) {
  const dialog = document.createElement("dialog");
  dialog.className = "zoom whole";
  dialog.ariaLabel = "The picture, closely";
  const picture = new Image();
  picture.alt = link.querySelector("img").alt;
  const bar = document.createElement("div");
  const [closer, close] = ["Closer", "Close"].map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    bar.append(button);
    return button;
  });
  dialog.append(picture, bar);
  document.body.append(dialog);
  const whole = () => {
    dialog.className = "zoom whole";
    picture.style.width = "";
    closer.textContent = "Closer";
  };
  /** Enlarge the picture, with a place on it, in fractions, in the middle of the window. */
  const near = (x, y) => {
    if (!picture.naturalWidth) {   // it is still loading, and its size is unknown
      picture.addEventListener("load", () => near(x, y), { once: true });
      return;
    }
    const fitted = Math.min(dialog.clientWidth / picture.naturalWidth, dialog.clientHeight / picture.naturalHeight);
    const width = picture.naturalWidth * Math.max(1 / devicePixelRatio, 2 * fitted);
    dialog.className = "zoom near";
    picture.style.width = `${width}px`;
    closer.textContent = "Whole picture";
    dialog.scrollTo({ left: x * width - dialog.clientWidth / 2, top: (y * width * picture.naturalHeight) / picture.naturalWidth - dialog.clientHeight / 2, behavior: "instant" });
    dialog.focus();
  };
  const change = (x, y) => (dialog.classList.contains("near") ? whole() : near(x, y));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    picture.src ||= link.href;
    whole();
    dialog.showModal();
  });
  picture.addEventListener("click", (event) => {
    // object-fit leaves bands at two sides of the box, which are not part of the picture.
    const box = picture.getBoundingClientRect();
    const scale = Math.min(box.width / picture.naturalWidth, box.height / picture.naturalHeight);
    const part = (at, side, natural) => within((at - side / 2) / (natural * scale) + 0.5, 0, 1);
    change(part(event.clientX - box.left, box.width, picture.naturalWidth), part(event.clientY - box.top, box.height, picture.naturalHeight));
  });
  closer.addEventListener("click", () => change(0.5, 0.5));
  close.addEventListener("click", () => dialog.close());
}

if (form) {
  sessionStorage.setItem("search", location.pathname + location.search);
  prepareForm();
  prepareDropping();
  resumeFilters();
  rememberPlace();
  const area = document.getElementById("crop");
  const more = document.getElementById("more");
  if (area) prepareCrop(area);
  if (more) prepareMore(more);
  const filters = document.getElementById("filters");
  const unfold = () => { if (wide.matches) filters.open = true; };
  unfold();
  wide.addEventListener("change", unfold);
}
const [back, zoom, link] = ["back", "zoom", "copy"].map((id) => document.getElementById(id));
if (back) prepareBack(back);
if (zoom) prepareZoom(zoom);
if (link) prepareCopy(link);
if (document.getElementById("content") && !document.querySelector(".saves")) prepareKeeping();
