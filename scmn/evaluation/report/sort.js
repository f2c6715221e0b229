for (const head of document.querySelectorAll("thead th")) {
  head.querySelector("button").addEventListener("click", () => {
    const text = row => row.cells[head.cellIndex].textContent;
    const compare = (a, b) => {
      const difference = Number(text(a)) - Number(text(b));
      return Number.isNaN(difference)
        ? text(a).localeCompare(text(b), undefined, { numeric: true }) : difference;
    };
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort(compare);
    body.append(...(ascending ? rows : rows.reverse()));
  });
}
