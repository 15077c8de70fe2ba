// Which cards are shown, and in which order.
function shownCards(batch, state, { status, label, text, sort }) {
  const wanted = text.trim().toLowerCase();
  const fits = {
    all: () => true,
    open: (kind) => kind === "open",
    answered: (kind) => !["open", "skip"].includes(kind),
    changed: (kind) => ["changed", "labeled", "none"].includes(kind),
    skipped: (kind) => ["skip", "unknown"].includes(kind),
  }[status];
  const shown = batch.cards.map((_, index) => index).filter((index) => {
    const card = batch.cards[index];
    return fits(kindOf(state.answers[index], card.current))
      && (label === "" || [card.current, card.suggested].includes(Number(label)))
      && (wanted === "" || batch.texts[index].includes(wanted));
  });
  return shown.sort(comparison(batch, sort));
}

function comparison(batch, sort) {
  const card = (index) => batch.cards[index];
  const score = (index) => card(index).score ?? Infinity;
  const byGiven = (a, b) => a - b;
  const first = {
    given: byGiven,
    score: (a, b) => score(a) - score(b),
    "score-down": (a, b) => score(b) - score(a),
    current: (a, b) => card(a).current - card(b).current,
    suggested: (a, b) => card(a).suggested - card(b).suggested,
    id: (a, b) => String(card(a).id).localeCompare(String(card(b).id), "en", { numeric: true }),
  }[sort];
  return (a, b) => first(a, b) || byGiven(a, b);
}
