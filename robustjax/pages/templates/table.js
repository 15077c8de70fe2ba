// The table of answers as the commands read it.
const WORDS = { [SKIP]: "", [UNKNOWN]: "don't know", [NONE]: "none of them" };

// What spreadsheets would compute gets an apostrophe in front, as in all our tables.
function safeCell(text) {
  const bare = text.replace(/^'+/, "");
  const formula = /^[=+\-@\t\r]/.test(bare) && (bare.trim() === "" || isNaN(Number(bare)));
  return formula ? `'${text}` : text;
}

function quoted(cell) {
  const text = safeCell(String(cell));
  return /[",;\t\r\n]/.test(text) || text !== text.trim()
    ? `"${text.replaceAll('"', '""')}"` : text;
}

function answersTable(batch, state) {
  const name = (index) => (index < 0 ? "" : batch.classes[index]);
  const said = (code) => (code === null ? "" : code < 0 ? WORDS[code] : batch.classes[code]);
  const who = state.annotator.trim();
  const header = ["id", "current_label", "suggested_label", "new_label"];
  if (who) header.push("annotator");
  const rows = batch.cards.map((card, index) => {
    const row = [card.id, name(card.current), name(card.suggested), said(state.answers[index])];
    if (who) row.push(who);
    return row;
  });
  // With a byte order mark, by which spreadsheets know UTF-8.
  return "\ufeff" + [header, ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
