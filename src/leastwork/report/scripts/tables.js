// Tables: sorted by a click on a column's title, copied or saved as CSV, and shown in pages where they are long.
"use strict";
{
  const PAGE = 50;  // rows

  const text = cell => cell.innerText.replace(/\u00a0/g, " ").trim();

  // The number that a cell begins with; letters sort after numbers, in their order.
  function value(cell) {
    const said = text(cell).replaceAll("−", "-").replace(/(\d),(?=\d{3})/g, "$1").replace(/^[(≥≤ ]+/, "");
    const found = said.match(/^-?\d+(\.\d+)?/);
    if (!found) return null;
    const power = said.match(/× 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/);
    const digits = power ? [...power[1]].map(one => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(one)).map(i => i === 0 ? "-" : i - 1).join("") : "0";
    return Number(found[0]) * 10 ** Number(digits);
  }

  function compare(a, b) {
    const x = value(a), y = value(b);
    if (x !== null && y !== null) return x - y;
    return x !== null ? -1 : y !== null ? 1 : text(a).localeCompare(text(b));
  }

  function attach(table) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const rows = [...body.rows], first = table.closest(".wide");
    let order = rows, start = 0;

    const says = page.make("span"), back = page.make("button", {type: "button", click: () => turn(-1)}, "Back");
    const on = page.make("button", {type: "button", click: () => turn(1)}, "On");
    function turn(by) {
      start = Math.min(Math.max(start + by * PAGE, 0), Math.floor((rows.length - 1) / PAGE) * PAGE);
      order.forEach((row, i) => { row.hidden = rows.length > PAGE && (i < start || i >= start + PAGE); });
      says.textContent = `rows ${start + 1} to ${Math.min(start + PAGE, rows.length)} of ${rows.length}`;
      back.disabled = start === 0;
      on.disabled = start + PAGE >= rows.length;
    }

    // An empty first cell means the one above it, so such rows must stay where they are.
    const grouped = rows.some(row => text(row.cells[0]) === "");
    if (!grouped && rows.length > 2) {
      heads.forEach((head, k) => {
        if (!text(head)) return;
        const button = page.make("button", {type: "button"}, ...head.childNodes);
        head.replaceChildren(button);
        button.addEventListener("click", () => {
          const down = head.getAttribute("aria-sort") === "ascending";
          heads.forEach(one => one.removeAttribute("aria-sort"));
          head.setAttribute("aria-sort", down ? "descending" : "ascending");
          order = [...rows].sort((a, b) => (down ? -1 : 1) * compare(a.cells[k], b.cells[k]));
          body.append(...order);
          start = 0;
          turn(0);
        });
      });
    }

    const csv = () => page.csv([heads.map(text), ...order.map(row => [...row.cells].map(cell => {
      const hidden = row.hidden;
      row.hidden = false;
      const said = text(cell);
      row.hidden = hidden;
      return said;
    }))]).replace(/[ \u00a0][↕↑↓]/g, "");
    const copy = page.make("button", {type: "button", click: async () => {
      try {
        await navigator.clipboard.writeText(csv());
        copy.textContent = "Copied";
      } catch {
        page.save(`${table.id}.csv`, csv(), "text/csv");
      }
      setTimeout(() => { copy.textContent = "Copy as CSV"; }, 1500);
    }}, "Copy as CSV");
    const save = page.make("button", {type: "button", click: () => page.save(`${table.id}.csv`, csv(), "text/csv")}, "Save as CSV");
    first.after(page.make("div", {class: "tools"}, copy, save, ...(rows.length > PAGE ? [back, on, says] : [])));
    turn(0);
  }

  document.querySelectorAll("table.data").forEach(attach);
}
