// The gallery: what became of each photo of a run or of a task. Plain DOM in a shadow root, in a tab of Airflow's or on a page of its own.
//
//   const unmount = mount(element, { dagId, runId, taskId, mapIndex });   // without a task: all of the run
//
// The element gets an event `photoselection` with the selected photos in its detail. File names are anybody's, so all text is set as text.

export const BASE = new URL("./", import.meta.url);

const KINDS = {
  landed: ["Landed", "Its files are at the destination."],
  skipped: ["Skipped", "It was up to date before this run."],
  pending: ["Under way", "Autoenhance works on it still."],
  failed: ["Failed", "It could not be enhanced or stored; the reason is beside it."],
  held: ["Held", "It is over a limit of this run, or waits for its original."],
  postponed: ["Postponed", "Autoenhance's daily limit is reached; the next run goes on."],
  omitted: ["Left out", "Another file shows the same shot."],
  orphaned: ["Orphaned", "An exposure that no photo came of."],
};
const ORDERS = {
  listed: ["As listed", () => 0],
  name: ["Name", (one, other) => compareText(one.name, other.name)],
  state: ["State", (one, other) => compareText(kind(one.state)[0], kind(other.state)[0])],
  credits: ["Credits, most first", (one, other) => other.credits - one.credits],
  seconds: ["Time, longest first", (one, other) => (other.seconds ?? 0) - (one.seconds ?? 0)],
};
const SHOWN_BY_BROWSERS = /\.(jpe?g|png|webp|avif)$/i;
const AT_ONCE = 4; // lists that are asked for at a time
const AGAIN_AFTER = 15_000; // milliseconds until a task that works is looked at again
const SETTLED_AFTER = 90; // milliseconds without scrolling, after which pictures load that were scrolled to in one go
const MARGIN = 500; // pixels above and below the window for which cards are made

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const compareText = (one, other) => collator.compare(one, other);
const kind = (state) => KINDS[state] ?? [state.charAt(0).toUpperCase() + state.slice(1), ""];

export const words = {
  count: (number, thing) => `${number.toLocaleString()} ${thing}${number === 1 ? "" : "s"}`,
  bytes: (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`),
  time: (text) => {
    const at = new Date(text ?? "");
    return Number.isNaN(at.getTime()) ? "" : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  },
};

/** Make an element; text children become text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((each) => each !== null && each !== undefined));
  return made;
}

/** The address of one of our routes. Ids go into the path, encoded; a run id may hold + and /. */
function route(what, ids, ...more) {
  const task = ids.taskId === undefined ? [] : [ids.taskId, String(ids.mapIndex ?? -1)];
  return new URL([what, ids.dagId, ...task, ...more, ids.runId].map(encodeURIComponent).join("/"), BASE);
}

/** The address of the page for a run or a task. */
export const pageOf = (ids) => route(ids.taskId === undefined ? "run" : "task", ids).href;

/** A shadow root in the colours of its surroundings. */
export function frame(place) {
  const root = place.shadowRoot ?? place.attachShadow({ mode: "open" });
  const ended = new AbortController();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const documents = [document];
  try {
    if (parent !== window) documents.push(parent.document); // Airflow shows the page over recent runs in a frame
  } catch {
    // another site's frame
  }
  const paint = () => {
    const named = documents.map((each) => ["dark", "light"].find((name) => each.documentElement.classList.contains(name))).find(Boolean);
    place.dataset.theme = named ?? (dark.matches ? "dark" : "light");
    if (place.id === "autoenhance-photos") document.documentElement.style.colorScheme = place.dataset.theme;
    else place.style.setProperty("--back", behind(place));
  };
  const watcher = new MutationObserver(paint);
  for (const each of documents) watcher.observe(each.documentElement, { attributeFilter: ["class"] });
  dark.addEventListener("change", paint, { signal: ended.signal });
  paint();
  root.replaceChildren(element("style", {}, STYLE));
  const unmount = () => {
    ended.abort();
    watcher.disconnect();
    root.replaceChildren();
  };
  return { root, signal: ended.signal, unmount };
}

/** The colour that an element lies on, so that what sticks to the top of a tab looks like the rest of it. */
function behind(place) {
  for (let above = place.parentElement; above; above = above.parentElement) {
    const colour = getComputedStyle(above).backgroundColor;
    if (!/^(transparent|rgba\(.*, 0\))$/.test(colour)) return colour;
  }
  return "Canvas";
}

/** Show the photos of a run or of a task; returns what ends it. */
export function mount(place, { dagId, runId, taskId: task, mapIndex }) {
  const taskId = task || undefined;
  const { root, signal, unmount } = frame(place);
  if (dagId === undefined || runId === undefined) {
    root.append(element("p", { className: "quiet" }, "Open a run to see its photos."));
    return unmount;
  }
  const gallery = new Gallery(place, root, signal, { dagId, runId, taskId, mapIndex });
  gallery.load();
  return unmount;
}

class Gallery {
  constructor(place, root, signal, ids) {
    Object.assign(this, { place, root, signal, ids });
    this.tasks = []; // each with its ids, and the answer of its list
    this.shown = [];
    this.selected = new Set();
    this.filter = { state: "", listing: "", text: "", order: "listed", grouped: false };
    this.grid = new Grid(this);
    this.viewer = new Viewer(this);
    this.build();
  }

  build() {
    const { filter } = this;
    const refilter = () => this.refresh();
    this.title = this.heading();
    this.notices = element("div", { className: "notices", role: "status" });
    this.chips = element("div", { className: "chips", role: "group", ariaLabel: "Filter by state" });
    this.search = field("Search", element("input", { type: "search", placeholder: "Search names, ids, reasons" }), (value) => (filter.text = value), refilter);
    this.order = field("Sort", choice(Object.entries(ORDERS).map(([name, [label]]) => [name, label])), (value) => (filter.order = value), refilter);
    this.listing = field("Listing", choice([["", "All listings"]]), (value) => (filter.listing = value), refilter);
    this.grouped = element("label", { className: "check" }, element("input", { type: "checkbox" }), " Group by listing");
    this.grouped.firstChild.addEventListener("change", (event) => {
      filter.grouped = event.target.checked;
      this.refresh();
    });
    this.count = element("p", { className: "count", role: "status" });
    this.tools = element("div", { className: "tools", hidden: true }, this.chips, element("div", { className: "row" }, this.search, this.listing, this.order, this.grouped));
    this.bar = this.selectionBar();
    this.whole = element("div", { className: "gallery" }, this.title, this.notices, this.tools, this.count, this.grid.element, this.bar);
    this.root.append(this.whole, this.viewer.element);
    this.whole.addEventListener("keydown", (event) => this.onKey(event));
    window.addEventListener("hashchange", () => this.followLink(), { signal: this.signal });
    this.say([["quiet", "Looking for photos…"]]);
  }

  /** On a page of its own: what it shows, and the way back. Airflow's tabs say that themselves. */
  heading() {
    const { dagId, runId, taskId, mapIndex } = this.ids;
    const run = new URL(`../../dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`, BASE);
    if (this.place.id !== "autoenhance-photos") return element("p", { className: "way" }, element("a", { href: pageOf(this.ids) }, "Open as a page"));
    const ways = [element("a", { href: run.href }, "The run in Airflow"), element("a", { href: BASE.href }, "Recent runs")];
    if (taskId !== undefined) ways.splice(1, 0, element("a", { href: pageOf({ dagId, runId }) }, "All photos of the run"));
    const names = [dagId, taskId === undefined ? null : nameOf({ taskId, mapIndex }), runId].filter(Boolean).join(" · ");
    return element("div", {}, element("h1", {}, names), element("nav", { className: "way", ariaLabel: "Ways" }, ...ways));
  }

  // --- what there is -------------------------------------------------------------------------------------------------------------------

  async load() {
    try {
      if (this.ids.taskId === undefined) {
        const { tasks } = await this.ask(route("tasks", this.ids));
        this.tasks = tasks.map((each) => ({ ids: { ...this.ids, taskId: each.task_id, mapIndex: each.map_index }, label: each.label, answer: null }));
      } else {
        this.tasks = [{ ids: this.ids, label: null, answer: null }];
      }
      await this.read(this.tasks);
    } catch (error) {
      if (!this.signal.aborted) this.fail(error);
    }
  }

  async read(tasks) {
    const waiting = [...tasks];
    const work = async () => {
      for (let task = waiting.shift(); task; task = waiting.shift()) {
        task.answer = await this.ask(route("photos", task.ids)).catch((error) => {
          if (error.status !== 404 && error.status !== 503) throw error;
          return { state: error.status === 404 ? "foreign" : "away", ended: error.status === 404, photos: [] };
        });
        task.photos = task.answer.photos.map((photo, place) => ({ ...photo, task, place, key: [task.ids.taskId, task.ids.mapIndex, photo.listing, photo.name, place].join("\n") }));
        if (!waiting.length || waiting.length % 20 === 0) this.take();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.take();
    this.read_all = true;
    this.followLink();
    const working = this.tasks.filter((task) => !task.answer.ended);
    clearTimeout(this.timer);
    if (working.length && !this.signal.aborted) {
      this.timer = setTimeout(() => this.again(working), AGAIN_AFTER);
    }
  }

  again(working) {
    if (document.hidden) this.timer = setTimeout(() => this.again(working), AGAIN_AFTER);
    else this.read(working).catch((error) => this.signal.aborted || this.fail(error));
  }

  async ask(address) {
    const answer = await fetch(address, { signal: this.signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw Object.assign(new Error(`Airflow answered ${answer.status}`), { status: answer.status });
    return answer.json();
  }

  fail(error) {
    const again = element("button", { type: "button", onclick: () => this.load() }, "Try again");
    const login = element("a", { href: new URL(`../../api/v2/auth/login?next=${encodeURIComponent(location.pathname + location.hash)}`, BASE).href }, "Log in again");
    if (error.status === 401) this.say([["quiet", "Your session has ended. ", login]]);
    else if (error.status === 403) this.say([["quiet", "You may not read this DAG in Airflow. Ask whoever gives permissions there."]]);
    else if (error.status === 404) this.say([["quiet", `No Autoenhance photos in this ${this.ids.taskId === undefined ? "run" : "task"}.`]]);
    else this.say([["alert", "Airflow does not answer. ", again]]);
  }

  /** Take what has been read so far. */
  take() {
    const read = this.tasks.filter((task) => task.answer);
    const several = this.tasks.length > 1;
    this.photos = read.flatMap((task) => task.photos);
    for (const photo of this.photos) {
      photo.where = photo.listing || (several ? photo.task.label || nameOf(photo.task.ids) : "");
      photo.text = [photo.name, photo.where, photo.reason, photo.image_id, photo.order_id, ...photo.exposures].join("\n").toLowerCase();
    }
    this.tell(read);
    this.tools.hidden = this.photos.length === 0;
    this.offer();
    this.refresh();
  }

  /** Say, kindly, what there is instead of photos, or beside them. */
  tell(read) {
    const scope = this.ids.taskId === undefined ? "run" : "task";
    const of = (state) => read.filter((task) => task.answer.state === state);
    const named = (tasks) => tasks.slice(0, 5).map((task) => task.label || nameOf(task.ids)).join(", ") + (tasks.length > 5 ? ` and ${tasks.length - 5} more` : "");
    const about = (tasks) => (scope === "task" ? "This task" : words.count(tasks.length, "task") + ` (${named(tasks)})`);
    const lines = [];
    const line = (state, style, text) => of(state).length && lines.push([style, text(of(state))]);
    if (read.length === this.tasks.length && read.every((task) => task.answer.state === "foreign")) {
      lines.push(["quiet", `No Autoenhance photos in this ${scope}.`]);
    }
    line("running", "info", (tasks) => `${about(tasks)}: still at work. Photos show here when it has finished; this page looks again by itself.`);
    line("unlisted", "info", (tasks) => `${about(tasks)}: ended before it had listed any photo. Its log in Airflow says why.`);
    line("forgotten", "info", (tasks) => `${about(tasks)}: Airflow has forgotten where the photos lie, as it does with old runs. They are at their destination all the same.`);
    line("gone", "alert", (tasks) => `${about(tasks)}: the list of photos is not at the destination any more, or Airflow may not read it. The photos are another matter: nothing here touches them.`);
    line("damaged", "alert", (tasks) => `${about(tasks)}: the list of photos is damaged and cannot be read. The photos themselves are untouched; the next run writes the list anew.`);
    line("away", "alert", (tasks) => `${about(tasks)}: the store does not answer. This page tries again by itself.`);
    const damaged = read.reduce((sum, task) => sum + (task.answer.damaged ?? 0), 0);
    if (damaged) lines.push(["alert", `${words.count(damaged, "row")} of the list cannot be read and ${damaged === 1 ? "is" : "are"} left out.`]);
    const later = read.find((task) => task.answer.later_run)?.answer.later_run;
    if (later) {
      const page = element("a", { href: pageOf({ ...this.ids, taskId: undefined, runId: later }) }, later);
      lines.push(["info", "A later run has written this list since, so these photos are as it left them: ", page]);
    }
    if (!lines.length && read.length === this.tasks.length && !this.photos.length) lines.push(["quiet", `This ${scope} found no photos.`]);
    this.say(lines);
  }

  say(lines) {
    this.notices.replaceChildren(...lines.map(([style, ...text]) => element("p", { className: style }, ...text)));
  }

  /** Offer the states and listings that there are. */
  offer() {
    const states = Map.groupBy ? Map.groupBy(this.photos, (photo) => photo.state) : groups(this.photos, (photo) => photo.state);
    const chip = (state, label, number, hint) => {
      const made = element("button", { type: "button", className: `chip ${state}`, title: hint, ariaPressed: String(this.filter.state === state) }, element("i"), `${label} `, element("b", {}, number.toLocaleString()));
      made.addEventListener("click", () => {
        this.filter.state = state;
        for (const each of this.chips.children) each.ariaPressed = String(each === made);
        this.refresh();
      });
      return made;
    };
    const focused = [...this.chips.children].indexOf(this.root.activeElement);
    this.chips.replaceChildren(
      chip("", "All", this.photos.length, ""),
      ...[...states].sort(([one], [other]) => compareText(one, other)).map(([state, photos]) => chip(state, kind(state)[0], photos.length, kind(state)[1])),
    );
    this.chips.children[focused]?.focus();
    const listings = [...new Set(this.photos.map((photo) => photo.where))].sort(compareText);
    const select = this.listing.lastChild;
    select.replaceChildren(element("option", { value: "" }, "All listings"), ...listings.filter(Boolean).map((name) => element("option", { value: name }, name)));
    select.value = this.filter.listing;
    this.listing.hidden = this.grouped.hidden = listings.length < 2;
    const landed = states.get("landed")?.length ?? 0;
    const credits = this.photos.reduce((sum, photo) => sum + photo.credits, 0);
    const written = words.time(this.tasks.find((task) => task.answer?.written_at)?.answer.written_at);
    this.facts = [words.count(landed, "photo") + " landed", words.count(credits, "credit"), written && `as of ${written}`].filter(Boolean).join(" · ");
  }

  /** Filter, sort and show. */
  refresh() {
    const { state, listing, text, order, grouped } = this.filter;
    const sought = text.trim().toLowerCase();
    const wanted = (photo) => (!state || photo.state === state) && (!listing || photo.where === listing) && (!sought || photo.text.includes(sought));
    this.shown = this.photos.filter(wanted).sort(ORDERS[order][1]);
    if (grouped) this.shown = [...groups(this.shown, (photo) => photo.where)].sort(([one], [other]) => compareText(one, other)).flatMap(([, photos]) => photos);
    const all = this.shown.length === this.photos.length;
    this.count.hidden = !this.photos.length;
    this.count.textContent = all ? this.facts : this.shown.length ? `${this.shown.length.toLocaleString()} of ${words.count(this.photos.length, "photo")}` : "Not one photo is like that. Clear the search, or choose All.";
    this.grid.show(this.shown, grouped ? (photo) => photo.where || "Without a listing" : null);
    this.tellSelection();
  }

  // --- selecting, links, keys ----------------------------------------------------------------------------------------------------------

  selectionBar() {
    this.chosen = element("b", { role: "status" });
    const button = (text, action) => element("button", { type: "button", onclick: action }, text);
    this.all = button("", () => this.select(this.shown, true));
    const clear = button("Clear", () => this.select([...this.selected], false));
    const copy = button("Copy names", async () => {
      const names = [...this.selected].map((photo) => (photo.where ? `${photo.where}/${photo.name}` : photo.name));
      try {
        await navigator.clipboard.writeText(names.join("\n"));
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "The browser refuses";
      }
      setTimeout(() => (copy.textContent = "Copy names"), 2000);
    });
    return element("div", { className: "bar", hidden: true }, this.chosen, this.all, copy, clear);
  }

  select(photos, on) {
    for (const photo of photos) {
      if (on) this.selected.add(photo);
      else this.selected.delete(photo);
    }
    this.tellSelection();
  }

  tellSelection() {
    const there = new Map(this.photos.map((photo) => [photo.key, photo]));
    this.selected = new Set([...this.selected].map((photo) => there.get(photo.key)).filter(Boolean));
    this.bar.hidden = this.selected.size === 0;
    this.chosen.textContent = `${this.selected.size.toLocaleString()} selected`;
    this.all.textContent = `Select all ${this.shown.length.toLocaleString()} shown`;
    this.grid.tick();
    this.viewer.tick();
    this.place.dispatchEvent(new CustomEvent("photoselection", { detail: [...this.selected], bubbles: true, composed: true }));
  }

  linkTo(photo) {
    const about = new URLSearchParams({ photo: photo.name });
    if (photo.listing) about.set("in", photo.listing);
    if (this.tasks.length > 1) about.set("task", nameOf(photo.task.ids));
    return `#${about}`;
  }

  /** Open the photo that the address names. */
  followLink() {
    const about = new URLSearchParams(location.hash.slice(1));
    if (!about.has("photo")) return this.viewer.close();
    const found = this.photos?.find((photo) => photo.name === about.get("photo") && photo.listing === (about.get("in") ?? photo.listing) && nameOf(photo.task.ids) === (about.get("task") ?? nameOf(photo.task.ids)));
    if (found) this.viewer.open(found);
    else if (this.read_all) this.notices.append(element("p", { className: "info" }, `The list has no photo ${about.get("photo")}.`));
  }

  onKey(event) {
    const typing = event.composedPath()[0].matches?.("input:not([type=checkbox]), select");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      this.search.lastChild.focus();
    }
  }
}

/** Cards in rows. Only those near the window exist, whatever the number of photos. */
class Grid {
  constructor(gallery) {
    this.gallery = gallery;
    this.list = element("div", { className: "list", role: "list", ariaLabel: "Photos" });
    this.heads = element("div", { className: "heads" });
    this.element = element("div", { className: "grid", hidden: true }, this.heads, this.list);
    this.rows = [];
    this.live = new Map(); // row number -> its elements
    this.spare = []; // cards without a photo
    const scrolled = () => this.scrolled();
    document.addEventListener("scroll", scrolled, { capture: true, passive: true, signal: gallery.signal });
    new ResizeObserver(() => this.lay()).observe(this.element);
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(photos, headOf) {
    Object.assign(this, { photos, headOf });
    this.element.hidden = photos.length === 0;
    this.width = 0;
    this.lay();
  }

  lay() {
    const width = this.element.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    const gap = width < 520 ? 8 : 14;
    const columns = Math.max(1, Math.floor((width + gap) / ((width < 520 ? 150 : 230) + gap)));
    const card = Math.floor((width - gap * (columns - 1)) / columns);
    const picture = Math.round((card * 2) / 3);
    this.size = { gap, columns, card, picture, height: picture + 50 };
    this.rows = [];
    let top = 0;
    let head = null;
    for (let place = 0; place < this.photos.length; ) {
      if (this.headOf && this.headOf(this.photos[place]) !== head) {
        head = this.headOf(this.photos[place]);
        this.rows.push({ top, height: 44, head });
        top += 44;
      }
      let end = place;
      while (end < this.photos.length && end - place < columns && (!this.headOf || this.headOf(this.photos[end]) === head)) end += 1;
      this.rows.push({ top, height: this.size.height, from: place, to: end });
      top += this.size.height + gap;
      place = end;
    }
    this.element.style.height = `${top}px`;
    this.element.style.setProperty("--width", `${card}px`);
    this.element.style.setProperty("--picture", `${picture}px`);
    for (const row of this.live.keys()) this.drop(row);
    this.draw();
  }

  scrolled() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const top = this.element.getBoundingClientRect().top;
      this.flying = Math.abs(top - (this.top ?? top)) > 250;
      this.top = top;
      this.draw();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => {
        this.flying = false;
        for (const parts of this.live.values()) parts.forEach((part) => part.load?.());
      }, SETTLED_AFTER);
    });
  }

  draw() {
    if (this.element.hidden || !this.rows.length) return;
    const top = -this.element.getBoundingClientRect().top;
    const first = this.rowAt(top - MARGIN);
    const last = this.rowAt(top + innerHeight + MARGIN);
    const active = this.gallery.root.activeElement;
    for (const [row, parts] of this.live) {
      if ((row < first || row > last) && !parts.some((part) => part.contains(active))) this.drop(row);
    }
    for (let row = first; row <= last; row += 1) this.make(row);
  }

  rowAt(top) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.rows[middle].top <= top) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  make(number) {
    if (this.live.has(number)) return;
    const row = this.rows[number];
    const parts = [];
    if (row.head !== undefined) {
      const head = element("h3", { className: "head", title: row.head }, row.head);
      head.style.top = `${row.top}px`;
      this.heads.append(head);
      parts.push(head);
    }
    for (let place = row.from; place < row.to; place += 1) {
      const card = this.card(place);
      card.style.transform = `translate(${(place - row.from) * (this.size.card + this.size.gap)}px, ${row.top}px)`;
      this.list.append(card);
      parts.push(card);
      if (!this.flying) card.load();
    }
    this.live.set(number, parts);
  }

  drop(number) {
    for (const part of this.live.get(number)) {
      part.remove();
      if (part.photo) this.empty(part);
    }
    this.live.delete(number);
  }

  /** Keep a card for another photo. What has not come yet of its pictures is not wanted any more. */
  empty(card) {
    for (const picture of card.querySelectorAll("img")) picture.removeAttribute("src");
    card.pictures.replaceChildren();
    card.pictures.className = "pictures";
    card.before = card.photo = card.loaded = null;
    this.spare.push(card);
  }

  card(place) {
    const card = this.spare.pop() ?? this.blank();
    const { gallery } = this;
    const photo = this.photos[place];
    const [label, hint] = kind(photo.state);
    Object.assign(card, { photo, place, ariaPosInSet: String(place + 1), ariaSetSize: String(this.photos.length) });
    card.open.ariaLabel = `${photo.name}, ${label}. Open`;
    card.pick.ariaLabel = `Select ${photo.name}`;
    card.pick.checked = gallery.selected.has(photo);
    card.name.textContent = card.name.title = photo.name;
    card.state.className = `state ${photo.state}`;
    card.state.title = photo.reason ?? hint;
    card.state.lastChild.data = label;
    card.facts.textContent = [photo.exposures.length > 1 && `${photo.exposures.length} exposures`, photo.credits && words.count(photo.credits, "credit")].filter(Boolean).join(" · ");
    if (!photo.after && !photo.before) card.pictures.append(element("span", { className: "none" }, "Without a preview"));
    return card;
  }

  blank() {
    const pictures = element("span", { className: "pictures" });
    const open = element("button", { type: "button", className: "open" }, pictures);
    const pick = element("input", { type: "checkbox" });
    const name = element("span", { className: "name" });
    const state = element("span", {}, element("i"), document.createTextNode(""));
    const facts = element("span");
    const caption = element("div", { className: "caption" }, name, element("span", { className: "facts" }, state, facts));
    const card = element("div", { className: "card", role: "listitem" }, open, element("label", { className: "pick" }, pick), caption);
    card.load = () => {
      const main = card.photo?.after ?? card.photo?.before;
      if (card.loaded || !main) return;
      card.loaded = true;
      pictures.prepend(thumbnail(card.photo, main, "after"));
    };
    open.addEventListener("click", () => this.gallery.viewer.open(card.photo));
    pick.addEventListener("change", () => this.gallery.select([card.photo], pick.checked));
    open.addEventListener("pointermove", (event) => this.wipe(card, event));
    open.addEventListener("pointerleave", () => pictures.classList.remove("wiped"));
    return Object.assign(card, { pictures, open, pick, name, state, facts });
  }

  /** Show the photo as it was on the left of the mouse. */
  wipe(card, event) {
    const { photo, pictures } = card;
    if (event.pointerType === "touch" || !photo.before || !photo.after) return;
    if (!card.before) pictures.append((card.before = thumbnail(photo, photo.before, "before")));
    const box = card.open.getBoundingClientRect();
    pictures.style.setProperty("--at", `${(100 * (event.clientX - box.left)) / box.width}%`);
    pictures.classList.add("wiped");
  }

  tick() {
    for (const parts of this.live.values()) {
      for (const card of parts.filter((part) => part.pick)) card.pick.checked = this.gallery.selected.has(card.photo);
    }
  }

  /** Go from card to card with the arrow keys. */
  onKey(event) {
    const card = event.composedPath().find((each) => each.photo);
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return;
    const { place } = card;
    const number = this.rows.findIndex((row) => row.from <= place && place < row.to);
    const beside = (step) => {
      let next = number + step;
      while (this.rows[next]?.head !== undefined) next += step;
      const row = this.rows[next];
      return row ? Math.min(row.from + place - this.rows[number].from, row.to - 1) : place;
    };
    const ways = { ArrowLeft: () => place - 1, ArrowRight: () => place + 1, ArrowUp: () => beside(-1), ArrowDown: () => beside(1), Home: () => 0, End: () => this.photos.length - 1 };
    if (event.key === "x" || event.key === "X") {
      this.gallery.select([card.photo], !this.gallery.selected.has(card.photo));
    } else if (ways[event.key]) {
      event.preventDefault();
      this.focus(Math.min(this.photos.length - 1, Math.max(0, ways[event.key]())));
    }
  }

  focus(place) {
    const number = this.rows.findIndex((row) => row.from <= place && place < row.to);
    if (number < 0) return;
    this.make(number);
    const card = this.live.get(number).find((part) => part.place === place);
    card.load();
    card.open.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  focusPhoto(photo) {
    this.focus(this.photos.findIndex((each) => each.key === photo.key));
  }
}

/** One photo: before and after with a divider, and all that is known. */
class Viewer {
  constructor(gallery) {
    this.gallery = gallery;
    this.element = element("dialog", { className: "viewer", ariaLabel: "Photo" });
    this.element.addEventListener("close", () => this.closed());
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close());
  }

  open(photo) {
    this.photo = photo;
    const held = this.element.contains(this.gallery.root.activeElement) ? this.gallery.root.activeElement.title : "";
    this.fill();
    if (!this.element.open) this.element.showModal();
    const again = [...this.element.querySelectorAll("header button")].find((each) => held && each.title === held && !each.disabled);
    (again ?? this.stage.querySelector("[role=slider]") ?? this.element.querySelector("header button:last-child")).focus();
    history.replaceState(history.state, "", this.gallery.linkTo(photo));
  }

  close() {
    if (this.element.open) this.element.close();
  }

  closed() {
    history.replaceState(history.state, "", location.pathname + location.search);
    this.element.replaceChildren();
    this.gallery.grid.focusPhoto(this.photo);
  }

  step(by) {
    const { shown } = this.gallery;
    const place = shown.findIndex((each) => each.key === this.photo.key) + by;
    if (shown[place]) this.open(shown[place]);
  }

  onKey(event) {
    const on = event.composedPath()[0];
    if (on.matches?.("[role=slider]") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "x" || event.key === "X") this.gallery.select([this.photo], !this.gallery.selected.has(this.photo));
    else return;
    event.preventDefault();
  }

  tick() {
    if (this.pick) this.pick.checked = this.gallery.selected.has(this.photo);
  }

  fill() {
    const { photo, gallery } = this;
    const place = gallery.shown.findIndex((each) => each.key === photo.key);
    const button = (text, label, action, disabled = false) => element("button", { type: "button", ariaLabel: label, title: label, onclick: action, disabled }, text);
    this.pick = element("input", { type: "checkbox", checked: gallery.selected.has(photo) });
    this.pick.addEventListener("change", () => gallery.select([photo], this.pick.checked));
    const header = element(
      "header",
      {},
      element("h2", {}, photo.name),
      element("span", { className: "place" }, place < 0 ? "" : `${place + 1} of ${gallery.shown.length}`),
      button("‹", "Previous photo", () => this.step(-1), place <= 0),
      button("›", "Next photo", () => this.step(1), place < 0 || place >= gallery.shown.length - 1),
      button("✕", "Close", () => this.close()),
    );
    this.stage = element("div", { className: "stage" });
    this.element.replaceChildren(header, element("div", { className: "body" }, this.stage, this.details()));
    this.compare();
  }

  compare() {
    const { photo } = this;
    const main = photo.after ?? photo.before;
    if (!main) {
      this.stage.replaceChildren(element("p", { className: "none" }, "This photo has no preview. What is known of it is beside this."));
      return;
    }
    const picture = thumbnail(photo, main, "after", photo.after ? "After" : "Before");
    const box = element("div", { className: "compare" }, picture);
    picture.addEventListener("load", () => box.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight));
    if (photo.before && photo.after) divide(box, thumbnail(photo, photo.before, "before", "Before"));
    this.stage.replaceChildren(box);
  }

  full(output) {
    const back = element("button", { type: "button", className: "back", onclick: () => (this.compare(), this.stage.querySelector("[role=slider]")?.focus()) }, "Back to before and after");
    const picture = element("img", { className: "full", alt: `${this.photo.name}, full size`, src: addressOf(this.photo, output) });
    const pane = element("div", { className: "pane", tabIndex: 0, role: "region", ariaLabel: "Full size" }, element("p", { className: "none", role: "status" }, "Loading the full size…"), picture);
    const center = (x, y) => pane.scrollTo(x * picture.width - pane.clientWidth / 2, y * picture.height - pane.clientHeight / 2);
    picture.addEventListener("load", () => (pane.firstChild.remove(), center(0.5, 0.5)));
    picture.addEventListener("error", () => (picture.remove(), (pane.firstChild.textContent = "The file is not at the destination any more, or cannot be read.")));
    picture.addEventListener("click", (event) => {
      const at = [event.offsetX / picture.width, event.offsetY / picture.height];
      picture.classList.toggle("fitted");
      center(...at);
    });
    this.stage.replaceChildren(back, pane);
    pane.focus();
  }

  details() {
    const { photo } = this;
    const [label, hint] = kind(photo.state);
    const facts = element("dl");
    const fact = (name, ...values) => values.some((value) => value !== null && value !== "") && facts.append(element("dt", {}, name), element("dd", {}, ...values));
    fact("Listing", photo.where);
    fact("Credits", String(photo.credits));
    fact("Time", photo.seconds === null ? "" : `${photo.seconds} s`);
    if (photo.outputs.length) fact("Files", element("ul", {}, ...photo.outputs.map((output) => element("li", {}, ...this.output(output)))));
    if (photo.exposures.length) fact("Exposures", element("ul", {}, ...photo.exposures.map((name) => element("li", {}, name))));
    const settings = Object.entries(photo.settings ?? {});
    if (settings.length) fact("Settings", element("ul", {}, ...settings.map(([name, value]) => element("li", {}, `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`))));
    fact("Image", photo.image_id ?? "");
    fact("Order", photo.order_id ?? "");
    fact("Edit of", photo.parent ?? "");
    const task = photo.task.ids;
    fact("Task", element("a", { href: pageOf(task) }, nameOf(task)));
    const link = element("a", { href: pageOf(task) + this.gallery.linkTo({ ...photo, task: photo.task }) }, "Link to this photo");
    const state = element("span", { className: `state ${photo.state}` }, element("i"), element("b", {}, label));
    return element("aside", { tabIndex: 0, role: "region", ariaLabel: "What is known of the photo" }, element("p", {}, state, element("br"), photo.reason ?? hint), element("label", { className: "check" }, this.pick, " Selected"), facts, element("p", {}, link));
  }

  output(output) {
    const facts = [output.format?.toUpperCase(), output.width && output.height && `${output.width} × ${output.height}`, output.bytes && words.bytes(output.bytes)].filter(Boolean).join(", ");
    const save = element("a", { href: addressOf(this.photo, output), download: output.name.split("/").pop() }, output.name);
    const full = SHOWN_BY_BROWSERS.test(output.name) ? element("button", { type: "button", onclick: () => this.full(output) }, "Full size") : null;
    return [save, element("span", { className: "facts" }, facts), full];
  }
}

/** A divider over two pictures, for mouse, finger and keys. */
function divide(box, before) {
  const line = element("div", { className: "divider", role: "slider", tabIndex: 0, ariaLabel: "Divider between before and after", ariaValueMin: "0", ariaValueMax: "100", ariaOrientation: "horizontal" });
  let at = 50;
  const move = (to) => {
    at = Math.min(100, Math.max(0, to));
    box.style.setProperty("--at", `${at}%`);
    line.ariaValueNow = String(Math.round(at));
    line.ariaValueText = `${Math.round(at)} % before`;
  };
  const follow = (event) => {
    const edges = box.getBoundingClientRect();
    move((100 * (event.clientX - edges.left)) / edges.width);
  };
  box.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    box.setPointerCapture(event.pointerId);
    line.focus();
    follow(event);
    event.preventDefault();
  });
  box.addEventListener("pointermove", (event) => box.hasPointerCapture(event.pointerId) && follow(event));
  const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
  line.addEventListener("keydown", (event) => {
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move(at + steps[event.key]);
  });
  box.classList.add("divided");
  box.append(before, element("span", { className: "tag left", ariaHidden: "true" }, "Before"), element("span", { className: "tag right", ariaHidden: "true" }, "After"), line);
  move(50);
}

function thumbnail(photo, name, className, alt = "") {
  const picture = element("img", { className, alt, decoding: "async", draggable: false, src: route("thumbnail", photo.task.ids, name).href });
  picture.addEventListener("error", () => picture.isConnected && picture.hasAttribute("src") && picture.replaceWith(element("span", { className: "none" }, "The preview is gone")));
  return picture;
}

function addressOf(photo, output) {
  const address = route("output", photo.task.ids);
  address.searchParams.set("name", output.name);
  return address.href;
}

const nameOf = (ids) => (Number(ids.mapIndex ?? -1) < 0 ? ids.taskId : `${ids.taskId}[${ids.mapIndex}]`);

function groups(items, keyOf) {
  const found = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(item);
  }
  return found;
}

function choice(options) {
  return element("select", {}, ...options.map(([value, label]) => element("option", { value }, label)));
}

function field(label, control, take, then) {
  control.addEventListener("input", () => {
    take(control.value);
    then();
  });
  control.ariaLabel = label;
  return element("span", { className: "field" }, control);
}

const STYLE = `
:host {
  --text: #1b2430; --quiet: #55606d; --line: #d5dbe2; --card: #ffffff; --empty: #e8ecf0; --accent: #0b5cad; --back: #f6f8fa;
  --good: #1a7f46; --bad: #b3261e; --wait: #8a5a00; display: block; color: var(--text); font: 14px/1.45 system-ui, sans-serif;
}
:host([data-theme=dark]) {
  --text: #e7ecf2; --quiet: #a5b0bd; --line: #39434f; --card: #1c232c; --empty: #2a323c; --accent: #79b8ff; --back: #12171d;
  --good: #5fd38d; --bad: #ff8f85; --wait: #f0b95a; color-scheme: dark;
}
:host(#autoenhance-photos) { background: var(--back); min-height: 100vh; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.gallery, .recent { padding: 12px 16px 80px; max-width: 1800px; margin: 0 auto; }
h1 { font-size: 20px; margin: 4px 0 12px; overflow-wrap: anywhere; }
a { color: var(--accent); }
p { margin: 6px 0; }
button, select, input[type=search] { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 5px 10px; min-height: 34px; }
button { cursor: pointer; }
button:disabled { opacity: .45; cursor: default; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.way { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 8px; }
.quiet { color: var(--quiet); }
.info, .alert { border-left: 4px solid var(--accent); background: var(--card); padding: 8px 12px; border-radius: 4px; overflow-wrap: anywhere; }
.alert { border-color: var(--bad); }
.tools { position: sticky; top: 0; z-index: 2; background: var(--back); margin: 0 -16px; padding: 8px 16px; border-bottom: 1px solid var(--line); }
.row, .chips { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
.chips { margin-bottom: 8px; }
.chip { border-radius: 17px; }
.chip[aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); }
.field { flex: 0 1 auto; }
.field:first-child { flex: 1 1 200px; max-width: 380px; }
.field > * { width: 100%; }
.check { display: inline-flex; gap: 4px; align-items: center; min-height: 34px; }
.count { color: var(--quiet); }
i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px; background: var(--quiet); }
.chip i { display: none; }
.chip:not(:first-child) i { display: inline-block; }
.landed i { background: var(--good); }
.failed i { background: var(--bad); border-radius: 1px; }
.held i, .postponed i, .pending i { background: var(--wait); border-radius: 1px; transform: rotate(45deg); }
.state { white-space: nowrap; }
.state.failed { color: var(--bad); }
.grid { position: relative; contain: layout style; }
.heads, .list { position: absolute; inset: 0; }
.heads { pointer-events: none; }
.head { position: absolute; left: 0; right: 0; margin: 0; padding: 14px 0 6px; font-size: 15px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.card { position: absolute; top: 0; left: 0; width: var(--width); height: calc(var(--picture) + 50px); contain: layout style paint; border-radius: 8px; background: var(--card); }
.open { display: block; width: 100%; height: var(--picture); padding: 0; border: 0; border-radius: 6px; overflow: hidden; background: var(--empty); }
.open:focus-visible { outline-offset: -4px; }
.pictures { position: relative; display: block; width: 100%; height: 100%; }
.pictures img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
.pictures .before { opacity: 0; clip-path: inset(0 calc(100% - var(--at, 0%)) 0 0); }
.pictures.wiped .before { opacity: 1; }
.pictures.wiped::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; background: #fff; z-index: 1; }
.none { display: grid; place-items: center; height: 100%; color: var(--quiet); padding: 8px; text-align: center; }
.pick { position: absolute; top: 0; left: 0; padding: 9px; cursor: pointer; }
.pick input { display: block; width: 20px; height: 20px; margin: 0; accent-color: var(--accent); }
.caption { padding: 5px 4px 0; }
.name { display: block; font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.facts span:last-child { overflow: hidden; text-overflow: ellipsis; }
.facts { display: flex; gap: 8px; justify-content: space-between; color: var(--quiet); font-size: 12.5px; white-space: nowrap; overflow: hidden; }
.bar { position: fixed; bottom: 12px; left: 50%; transform: translateX(-50%); z-index: 3; display: flex; flex-wrap: wrap; gap: 8px; align-items: center; justify-content: center; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 8px 14px; box-shadow: 0 4px 18px #0005; max-width: calc(100vw - 24px); }
.viewer { width: min(1500px, 96vw); height: 94vh; max-width: none; max-height: none; padding: 0; border: 1px solid var(--line); border-radius: 10px; background: var(--back); color: var(--text); overflow: hidden; }
.viewer[open] { display: flex; flex-direction: column; }
.viewer::backdrop { background: #000a; }
header { display: flex; gap: 8px; align-items: center; padding: 8px 12px; border-bottom: 1px solid var(--line); }
header h2 { flex: 1; min-width: 0; font-size: 16px; margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
header button { min-width: 38px; font-size: 18px; line-height: 1; }
.place { color: var(--quiet); white-space: nowrap; }
.body { flex: 1; min-height: 0; display: flex; }
.stage { flex: 1; min-width: 0; min-height: 0; display: flex; flex-direction: column; align-items: center; justify-content: center; padding: 12px; gap: 8px; }
.compare { position: relative; width: min(100%, calc((94vh - 90px) * var(--ratio, 1.5))); aspect-ratio: var(--ratio, 1.5); overflow: hidden; border-radius: 6px; background: var(--empty); }
.compare img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; user-select: none; }
.compare .before { clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.divided { cursor: ew-resize; touch-action: pan-y pinch-zoom; }
.divider { position: absolute; top: 0; bottom: 0; left: var(--at); width: 44px; margin-left: -22px; cursor: ew-resize; }
.divider::before { content: ""; position: absolute; left: 21px; width: 2px; top: 0; bottom: 0; background: #fff; box-shadow: 0 0 3px #000; }
.divider::after { content: "‹ ›"; position: absolute; left: 4px; top: calc(50% - 18px); width: 36px; height: 36px; border-radius: 50%; background: #fff; color: #1b2430; display: grid; place-items: center; font-weight: 700; box-shadow: 0 0 4px #000a; }
.divider:focus-visible { outline: none; }
.divider:focus-visible::after { outline: 3px solid var(--accent); outline-offset: 2px; }
.tag { position: absolute; bottom: 8px; padding: 2px 8px; border-radius: 4px; background: #000b; color: #fff; font-size: 12px; pointer-events: none; }
.left { left: 8px; } .right { right: 8px; }
.pane { flex: 1; align-self: stretch; min-height: 0; overflow: auto; }
.full { cursor: zoom-out; display: block; margin: auto; }
.full.fitted { max-width: 100%; max-height: 100%; cursor: zoom-in; }
.back { align-self: flex-start; }
aside { width: 330px; flex: none; overflow: auto; padding: 12px 16px; border-left: 1px solid var(--line); overflow-wrap: anywhere; }
dl { margin: 8px 0; }
dt { color: var(--quiet); font-size: 12.5px; margin-top: 8px; }
dd { margin: 0; }
ul { margin: 0; padding-left: 18px; }
li button { display: block; margin: 4px 0 8px; }
li .facts { display: block; white-space: normal; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; background: var(--card); }
th, td { text-align: left; padding: 8px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: var(--bad); font-weight: 600; }
@media (max-width: 760px) {
  .gallery, .recent { padding: 8px 12px 90px; }
  .tools { margin: 0 -12px; padding: 8px 12px; position: static; }
  .viewer { width: 100vw; height: 100dvh; border-radius: 0; border: 0; }
  .body { flex-direction: column; overflow: auto; }
  .stage { flex: none; min-height: 240px; padding: 0; }
  .compare { width: min(100%, calc(60vh * var(--ratio, 1.5))); border-radius: 0; }
  aside { width: auto; border-left: 0; }
  .pane { max-height: 70vh; }
}
@media (prefers-reduced-motion: no-preference) { .pictures .before { transition: opacity .12s; } }
`;

/** On the page of its own, the ids stand on the element. */
const page = document.getElementById("autoenhance-photos");
if (page?.dataset.runId !== undefined) {
  mount(page, page.dataset);
}
