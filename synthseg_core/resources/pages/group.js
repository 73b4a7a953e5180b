const table = document.getElementById("scans"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
const rows = [...body.rows].map((row, place) => {
  const { mark = "", note = "" } = row.cells[row.cells.length - 1].dataset; // of the review beside the page
  return { row, place, text: row.textContent.toLowerCase(), mark, note };
});
const byName = new Map(rows.map((one) => [one.row.id, one]));
const search = document.getElementById("search"), state = document.getElementById("state"), review = document.getElementById("review");
const more = document.getElementById("more"), STEP = 200;
let saved = true, most = STEP;

// Only the first rows that fit are drawn; a button shows more, so that thousands stay fluid.
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let fitting = 0;
  for (const row of body.rows) {
    const one = byName.get(row.id);
    const fits = words.every((word) => one.text.includes(word) || one.note.toLowerCase().includes(word))
      && (!state.value || one.row.classList.contains(state.value))
      && (!review.value || (one.mark || "none") === review.value);
    fitting += fits;
    row.hidden = !fits || fitting > most;
  }
  const left = Math.max(0, fitting - most);
  more.hidden = !left;
  more.textContent = `Show ${Math.min(STEP, left)} more of ${left}`;
  document.getElementById("shown").textContent = `${fitting} of ${rows.length}${left ? `, ${most} shown` : ""}`;
}
function filterAnew() {
  most = STEP;
  filter();
}
search.oninput = state.onchange = review.onchange = filterAnew;
more.onclick = () => {
  most += STEP;
  filter();
};
// A dot of a distribution leads to its scan, also where that is not shown.
onhashchange = () => {
  const one = byName.get(decodeURIComponent(location.hash.slice(1)));
  if (!one) return;
  one.row.hidden = false;
  one.row.scrollIntoView({ block: "center" });
  one.row.focus();
};

// Numbers are sorted as such, dashes last; a second click turns the order.
function keyOf(row, column) {
  const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" || text === "–" ? null : Number.isNaN(Number(text)) ? text.toLowerCase() : Number(text);
}
function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}
heads.forEach((head, column) => {
  const button = head.querySelector("button");
  if (!button) return;
  button.onclick = () => {
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const keys = new Map(rows.map((one) => [one, keyOf(one.row, column)]));
    const order = [...rows].sort((a, b) =>
      (keys.get(a) === null || keys.get(b) === null ? 1 : turn) * compare(keys.get(a), keys.get(b)) || a.place - b.place);
    heads.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    body.append(...order.map((one) => one.row));
    filterAnew();
  };
});

function show(one) {
  const cell = one.row.cells[one.row.cells.length - 1];
  cell.textContent = one.mark;
  if (!one.note) return;
  const note = document.createElement("div");
  note.className = "small";
  note.textContent = one.note;
  cell.append(note);
}
function setMark(one, mark, note) {
  Object.assign(one, { mark, note });
  saved = false;
  show(one);
}
function editNote(one) {
  const cell = one.row.cells[one.row.cells.length - 1], field = document.createElement("input");
  field.className = "note";
  field.value = one.note;
  field.setAttribute("aria-label", `note about ${one.row.id}`);
  cell.append(field);
  field.focus();
  field.onblur = () => setMark(one, one.mark, field.value.replace(/\s+/g, " ").trim());
  field.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") field.value = one.note;
    if (event.key === "Enter" || event.key === "Escape") one.row.focus();
  };
}
const marks = { a: "accept", d: "doubt", r: "reject", u: "" };
const visible = () => [...body.rows].filter((row) => !row.hidden);
function move(row, step) {
  const next = row ? visible().indexOf(row) + step : 0;
  if (next >= visible().length && !more.hidden) more.click();
  visible()[Math.max(0, Math.min(next, visible().length - 1))]?.focus();
}
document.onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  const row = event.target.closest("#scans tbody tr"), one = row && byName.get(row.id), key = event.key.toLowerCase();
  if (key === "j" || key === "k") {
    move(row, key === "j" ? 1 : -1);
  } else if (one && key in marks) {
    setMark(one, marks[key], one.note);
  } else if (one && key === "n") {
    event.preventDefault();
    editNote(one);
  }
};
body.onclick = (event) => event.target.closest("a, input") || event.target.closest("tr").focus();

// Reviews of scans that are not here stay in the table.
const gone = new Map([...document.querySelectorAll("#gone tr")].map(({ cells }) =>
  [cells[0].textContent, { mark: cells[1].textContent, note: cells[2].textContent }]));
const reviewed = () => rows.filter((one) => one.mark || one.note).map((one) => [one.row.id, one]);
const reviewTable = () => tableOf([...reviewed(), ...gone]);
function readReview(text) {
  const { found, faults } = parsedReview(text), before = reviewed();
  for (const [name, { mark, note }] of found) {
    const one = byName.get(name);
    if (one) setMark(one, mark, note);
    else gone.set(name, { mark, note });
  }
  const others = [...found.keys()].filter((name) => !byName.has(name));
  const few = others.slice(0, 10).join(", ");
  tell([...faults, ...(others.length ? [`Reviews of ${others.length} scans that are not here, kept: ${few}`] : [])]);
  if (found.size) saved = before.every(([name]) => found.has(name));
  filter();
}
function tell(texts) {
  document.getElementById("told").replaceChildren(...texts.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
}
document.getElementById("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([reviewTable()], { type: "text/tab-separated-values" }));
  link.download = "desc-review_scans.tsv";
  link.click();
  saved = true;
};
const file = document.getElementById("file");
document.getElementById("load").onclick = () => file.click();
file.onchange = async () => {
  readReview(textOf(await file.files[0].arrayBuffer()));
  file.value = ""; // the same file may be loaded again
};
rows.forEach((one) => (one.mark || one.note) && show(one));
addEventListener("beforeunload", (event) => saved || event.preventDefault());
filter();
