"use strict";
// The table of a review as this page saves it, or as a spreadsheet left it: its encoding, separators, quotes and words.
const WORDS = ["accept", "doubt", "reject"], NOTHING = /^(n\/?a|nan|null|none|<na>)?$/i;

function textOf(bytes) {
  const [first, second] = new Uint8Array(bytes);
  const wide = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "";
  try {
    return new TextDecoder(wide || "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

function recordsOf(text) {
  const head = text.split(/[\r\n]/, 1)[0];
  const by = ["\t", ";", ","].reduce((best, one) => (head.split(one).length > head.split(best).length ? one : best));
  const records = [[""]];
  let quoted = false;
  for (let place = 0; place < text.length; place += 1) {
    const one = text[place], record = records.at(-1), last = record.length - 1;
    if (quoted && one === '"' && text[place + 1] === '"') {
      record[last] += one;
      place += 1;
    } else if (one === '"' && (quoted || record[last] === "")) {
      quoted = !quoted;
    } else if (quoted || ![by, "\r", "\n"].includes(one)) {
      record[last] += one;
    } else if (one === by) {
      record.push("");
    } else {
      records.push([""]);
    }
  }
  const read = quoted ? text.split(/[\r\n]+/).map((line) => line.split(by)) : records; // a quote without its pair
  return read.map((cells) => cells.map((cell) => cell.replace(/\s+/g, " ").trim())).filter((cells) => cells.some(Boolean));
}

// What a table says by name of a page, and what of it cannot be used, as the program reads it.
function parsedReview(text) {
  const [head = [], ...lines] = recordsOf(text.replace(/^\ufeff/, ""));
  const columns = head.map((name) => name.toLowerCase());
  const [name, mark, note] = ["report", "review", "note"].map((column) => columns.indexOf(column));
  if (name < 0 || mark < 0) return { found: new Map(), faults: ["This is no table of a review: it needs the columns report and review."] };
  const found = new Map(), faults = [], twice = new Set();
  const known = (cell = "") => (NOTHING.test(cell) ? "" : cell);
  for (const cells of lines) {
    const page = (cells[name] ?? "").replace(/\.html$/, ""), one = { mark: known(cells[mark]).toLowerCase(), note: known(cells[note]) };
    const before = found.get(page);
    if (!page) faults.push(`A line without a report: ${cells.join(" ")}`);
    else if (one.mark && !WORDS.includes(one.mark)) faults.push(`${page}: ${one.mark} is none of ${WORDS.join(", ")}`);
    else if (cells.slice(columns.length).some(Boolean)) faults.push(`${page}: more cells than columns`);
    else if (before && (before.mark !== one.mark || before.note !== one.note)) twice.add(page);
    else found.set(page, one);
  }
  for (const page of twice) {
    found.delete(page);
    faults.push(`${page}: two reviews that differ`);
  }
  return { found, faults };
}

const cellText = (text) => (/"/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
function tableOf(reviews) {
  const lines = reviews.map(([name, { mark, note }]) => [name, mark || "n/a", note || "n/a"]);
  return [["report", "review", "note"], ...lines].map((cells) => `${cells.map(cellText).join("\t")}\n`).join("");
}
