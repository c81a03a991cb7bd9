"use strict";
// Without this script the page reads the same; it lets tables be sorted, and opens everything for print and for links.
const figure = (cell) => cell.dataset.sort ?? cell.textContent;

function sort(head, table) {
  const place = [...head.parentNode.children].indexOf(head);
  const falling = head.getAttribute("aria-sort") !== "descending";
  const rows = [...table.tBodies[0].rows];
  const keys = new Map(rows.map((row) => [row, figure(row.cells[place].querySelector("[data-sort]") ?? row.cells[place])]));
  const numeric = rows.every((row) => !Number.isNaN(Number(keys.get(row))));
  const order = (a, b) => numeric ? Number(keys.get(a)) - Number(keys.get(b)) : keys.get(a).localeCompare(keys.get(b));
  rows.sort((a, b) => (falling ? order(b, a) : order(a, b)));
  table.tBodies[0].append(...rows);
  for (const each of head.parentNode.children) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head, table));
    head.append(button);
  }
}

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
reveal();
