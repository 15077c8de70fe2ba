// What was answered: codes by card, and the steps that can be undone.
const SKIP = -1, UNKNOWN = -2, NONE = -3;
const MOST_STEPS = 2000;

function emptyState(count) {
  return { answers: Array(count).fill(null), steps: [], annotator: "", here: 0 };
}

// Changes several answers as one step; null takes an answer back.
function answerCards(state, indices, code) {
  const step = indices.map((index) => [index, state.answers[index]]);
  for (const index of indices) state.answers[index] = code;
  state.steps.push(step);
  if (state.steps.length > MOST_STEPS) state.steps.shift();
}

// Takes the last step back; returns the cards that it was about.
function undoStep(state) {
  const step = state.steps.pop() ?? [];
  for (const [index, before] of step) state.answers[index] = before;
  return step.map(([index]) => index);
}

function readState(text, count) {
  try {
    const found = JSON.parse(text);
    if (found.answers.length === count) return { ...emptyState(count), ...found };
  } catch { /* Nothing was kept, or not by this page. */ }
  return emptyState(count);
}

// "" where the browser keeps it, or else why not.
function keepState(key, state) {
  try {
    localStorage.setItem(key, JSON.stringify(state));
    return "";
  } catch (error) {
    return String(error.message);
  }
}

function keptState(key, count) {
  try {
    return readState(localStorage.getItem(key), count);
  } catch {
    return emptyState(count);
  }
}

// How an answer relates to the label before it.
function kindOf(code, current) {
  if (code === null) return "open";
  if (code === SKIP) return "skip";
  if (code === UNKNOWN) return "unknown";
  if (code === NONE) return "none";
  if (current < 0) return "labeled";
  return code === current ? "confirmed" : "changed";
}
