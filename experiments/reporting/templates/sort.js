'use strict';
// Headers are buttons: the first press sorts upwards, the next one downwards.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const number = cell.dataset.number;
  return number === undefined ? cell.textContent.trim() : Number(number);
};
const compare = (a, b) => {
  if (typeof a === typeof b) {
    return typeof a === 'number' ? a - b : a.localeCompare(b, 'en', { numeric: true });
  }
  return typeof a === 'number' ? -1 : 1;
};
for (const table of document.querySelectorAll('table.sortable')) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector('button').addEventListener('click', () => {
      const down = header.getAttribute('aria-sort') === 'ascending';
      const numbers = header.classList.contains('number');
      const rows = [...table.tBodies[0].rows];
      rows.sort((first, second) => {
        const [a, b] = [valueOf(first, column), valueOf(second, column)];
        // What was not measured stays at the end either way.
        const kinds = numbers && typeof a !== typeof b;
        return down && !kinds ? compare(b, a) : compare(a, b);
      });
      table.tBodies[0].append(...rows);
      headers.forEach((other) => other.removeAttribute('aria-sort'));
      header.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    });
  });
}
