// The page: keys and clicks change the state, and the state is shown.
const batch = JSON.parse(document.getElementById("batch").textContent);
const at = (id) => document.getElementById(id);
const main = at("cards");
const elements = [...main.querySelectorAll(".card")];
batch.texts = elements.map((e) => e.textContent.toLowerCase());
const key = `robustjax:${batch.digest}`;
const state = keptState(key, elements.length);
let shown = [], view = "one", chosen = new Set(), anchor = 0, problem = "";
// Cards whose looks may have changed.
const stale = new Set(elements.keys());

function show() {
  for (const index of stale) paint(elements[index], index);
  stale.clear();
  const answered = state.answers.filter((code) => code !== null && code !== SKIP).length;
  at("bar").max = Math.max(1, elements.length);
  at("bar").value = answered;
  at("count").textContent = `${answered} of ${elements.length} answered, ${shown.length} shown`
    + (chosen.size ? `, ${chosen.size} chosen` : "");
  at("kept").textContent = problem
    ? `This browser keeps nothing (${problem}): save before you close the page.`
    : "Answers are kept in this browser.";
  at("kept").classList.toggle("warn", problem !== "");
  at("undo").disabled = !state.steps.length;
  if (!batch.labeled) return;
  const [text, rule] = estimateTexts(wrongLeft(batch.cards, state.answers, batch));
  at("estimate").firstElementChild.textContent = text;
  at("estimate").lastElementChild.textContent = rule;
}

function paint(element, index) {
  const code = state.answers[index];
  const kind = kindOf(code, batch.cards[index].current);
  const classes = ["card", kind];
  if (index === state.here) classes.push("here");
  if (chosen.has(index)) classes.push("chosen");
  element.className = classes.join(" ");
  const words = { open: "", skip: "skipped: stays open", unknown: "don't know", none: "none of them" };
  const label = kind in words ? words[kind] : `${kind === "confirmed" ? "✓" : "→"} ${batch.classes[code]}`;
  element.querySelector(".said").textContent = label;
}

// Filters and sorts; what is looked at stays in sight where it can.
function arrange() {
  const found = shownCards(batch, state, {
    status: at("status").value, label: at("class-filter").value,
    text: at("search").value, sort: at("sort").value,
  });
  const visible = new Set(found);
  choose([...chosen].filter((index) => visible.has(index)));
  elements.forEach((element, index) => { element.hidden = !visible.has(index); });
  if (found.join() !== shown.join()) main.append(...found.map((index) => elements[index]));
  shown = found;
  if (!visible.has(state.here) && shown.length) goTo(shown[0]);
  show();
}

function goTo(index) {
  stale.add(state.here).add(index);
  state.here = index;
}

function choose(indices) {
  for (const index of [...chosen, ...indices]) stale.add(index);
  chosen = new Set(indices);
}

function setView(name) {
  view = name;
  choose([]);
  main.className = [name, batch.small ? "small" : "", batch.wide ? "wide" : ""].join(" ").trim();
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === name));
  }
  show();
  lookAt(state.here);
}

function lookAt(index) {
  goTo(index);
  show();
  elements[index]?.scrollIntoView({ block: "nearest" });
}

function move(step) {
  if (!shown.length) return;
  const place = shown.indexOf(state.here) + step;
  lookAt(shown[Math.min(shown.length - 1, Math.max(0, place))]);
}

function changed() {
  problem = keepState(key, state);
  show();
}

// An answer for what is chosen, or else for the card that is looked at.
function answer(codeOf) {
  const targets = chosen.size ? [...chosen] : shown.includes(state.here) ? [state.here] : [];
  const groups = new Map();
  for (const index of targets) {
    const code = codeOf(batch.cards[index]);
    if (code !== undefined) groups.set(code, [...(groups.get(code) ?? []), index]);
  }
  const before = state.steps.length;
  for (const [code, indices] of groups) answerCards(state, indices, code);
  // Many at once are one step.
  const steps = state.steps.splice(before);
  if (!steps.length) return;
  state.steps.push(steps.flat());
  for (const index of targets) stale.add(index);
  const many = chosen.size > 0;
  choose([]);
  problem = keepState(key, state);
  if (many) show();
  else move(1);
}

function undo() {
  const indices = undoStep(state);
  for (const index of indices) stale.add(index);
  changed();
  if (indices.length) {
    if (elements[indices[0]].hidden) arrange();
    if (!elements[indices[0]].hidden) lookAt(indices[0]);
  }
}

function save() {
  download("labeled.csv", answersTable(batch, state));
  const open = state.answers.filter((code) => code === null || code === SKIP).length;
  at("kept").textContent = `Saved labeled.csv: ${elements.length - open} answered, ${open} open. `
    + "Put it into the folder of this page and run the command again.";
}

// One more or one less; or all between the last one and this.
function toggle(index) {
  choose(chosen.has(index) ? [...chosen].filter((each) => each !== index) : [...chosen, index]);
  anchor = index;
  lookAt(index);
}

function extend(index) {
  const [from, to] = [shown.indexOf(anchor), shown.indexOf(index)].sort((a, b) => a - b);
  choose([...chosen, ...shown.slice(Math.max(0, from), to + 1)]);
  lookAt(index);
}

const ACTIONS = [
  ["Enter", "take the suggestion", () => answer((card) => (card.suggested >= 0 ? card.suggested : undefined)), batch.suggesting],
  [".", "keep the label", () => answer((card) => (card.current >= 0 ? card.current : undefined)), batch.labeled],
  ["-", "none of them", () => answer(() => NONE), batch.none_of_them],
  ["?", "don't know", () => answer(() => UNKNOWN), true],
  [" ", "skip (stays open)", () => answer(() => SKIP), true],
].filter(([, , , offered]) => offered);
