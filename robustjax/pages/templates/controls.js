// Buttons, keys and clicks.
function button(keyName, text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.title = text;
  if (keyName) {
    const cap = document.createElement("kbd");
    cap.textContent = keyName === " " ? "space" : keyName;
    made.append(cap);
  }
  made.append(text);
  made.addEventListener("click", act);
  return made;
}

const byKey = new Map(ACTIONS.map(([name, , act]) => [name, act]));
batch.keys.forEach((name, index) => {
  if (name) byKey.set(name, () => answer(() => index));
});
byKey.set("ArrowRight", () => move(1));
byKey.set("ArrowLeft", () => move(-1));
byKey.set("ArrowDown", () => move(columns()));
byKey.set("ArrowUp", () => move(-columns()));
byKey.set("Home", () => move(-shown.length));
byKey.set("End", () => move(shown.length));
byKey.set("Backspace", undo);
byKey.set("Escape", () => { choose([]); show(); });
byKey.set("/", () => (at("class-search") ?? at("search")).focus());

// Cards beside each other.
function columns() {
  if (view !== "grid") return 1;
  const top = elements[shown[0]]?.offsetTop;
  const next = shown.findIndex((index) => elements[index].offsetTop !== top);
  return next > 0 ? next : 1;
}

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (target.matches("input, select, textarea")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "z") { event.preventDefault(); undo(); }
    if (event.key === "a" && view === "grid") { event.preventDefault(); choose(shown); show(); }
    return;
  }
  if (event.altKey || (target.matches("button") && ["Enter", " "].includes(event.key))) return;
  if (view === "grid" && event.shiftKey && event.key.startsWith("Arrow")) {
    event.preventDefault();
    if (!chosen.size) toggle(state.here);
    byKey.get(event.key)();
    extend(state.here);
    return;
  }
  const act = byKey.get(event.key) ?? byKey.get(event.key.toLowerCase());
  if (!act) return;
  event.preventDefault();
  act();
});

main.addEventListener("click", (event) => {
  const element = event.target.closest(".card");
  if (!element) return;
  const index = Number(element.dataset.index);
  if (view !== "grid") lookAt(index);
  else if (event.shiftKey) extend(index);
  else toggle(index);
});

function begin() {
  const options = (names) => names.map((name, index) => new Option(name, index));
  at("class-filter").append(...options(batch.classes));
  const buttons = batch.classes.map((name, index) => [batch.keys[index], name, () => answer(() => index)]);
  // Those without a key are found by typing.
  const keyed = buttons.filter(([name]) => name);
  at("classes").append(...keyed.map((each) => button(...each)));
  if (keyed.length < batch.classes.length) at("classes").append(classSearch());
  at("actions").append(...ACTIONS.map(([name, text, act]) => button(name, text, act)));
  at("answers").addEventListener("click", (event) => {
    if (event.target.closest("button")) document.activeElement.blur();
  });
  at("help").textContent = "← → to move, Backspace to undo; in the grid, click, Shift + click, "
    + "Shift + arrows or Ctrl + A choose cards, and an answer is for all that are chosen.";
  for (const each of document.querySelectorAll("[data-view]")) {
    each.addEventListener("click", () => { setView(each.dataset.view); each.blur(); });
  }
  for (const id of ["status", "class-filter", "sort"]) {
    // The next key is an answer again.
    at(id).addEventListener("change", () => { arrange(); at(id).blur(); });
  }
  at("search").addEventListener("input", () => arrange());
  at("annotator").value = state.annotator;
  at("annotator").addEventListener("input", (event) => { state.annotator = event.target.value; changed(); });
  at("undo").addEventListener("click", () => { undo(); at("undo").blur(); });
  at("save").addEventListener("click", () => { save(); at("save").blur(); });
  // Another window with the same page.
  addEventListener("storage", (event) => {
    if (event.key !== key) return;
    Object.assign(state, readState(event.newValue, elements.length));
    for (const index of elements.keys()) stale.add(index);
    arrange();
  });
  addEventListener("beforeunload", (event) => { if (problem && state.steps.length) event.preventDefault(); });
  document.body.classList.add("scripted");
  at("tools").hidden = at("answers").hidden = at("saving").hidden = false;
  problem = keepState(key, state);
  arrange();
  setView("one");
}

function classSearch() {
  const field = document.createElement("input");
  field.id = "class-search";
  field.setAttribute("list", "class-names");
  field.placeholder = "/ type a class, Enter";
  at("class-names").append(...batch.classes.map((name) => new Option(name, name)));
  field.addEventListener("keydown", (event) => {
    const index = batch.classes.indexOf(field.value);
    if (event.key !== "Enter" || index < 0) return;
    event.preventDefault();
    field.value = "";
    field.blur();
    answer(() => index);
  });
  return field;
}

begin();
