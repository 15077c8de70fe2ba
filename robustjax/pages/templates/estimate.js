// How many wrong labels are left, from what was answered so far.
const WINDOW = 50, FEWEST = 10, Z = 1.959963984540054;

// [low, share, high] of a share by Wilson's interval of 95 %.
function wilson(hits, seen) {
  const share = hits / seen, z2 = Z * Z, scale = 1 + z2 / seen;
  const centre = (share + z2 / (2 * seen)) / scale;
  const half = (Z * Math.sqrt((share * (1 - share)) / seen + z2 / (4 * seen * seen))) / scale;
  return [Math.max(0, centre - half), share, Math.min(1, centre + half)];
}

// cards: in the order given, {current, drawn}; returns null without enough answers.
function wrongLeft(cards, answers, { ranked, others }) {
  const judged = [], drawn = [];
  cards.forEach((card, place) => {
    const kind = kindOf(answers[place], card.current);
    if (!["confirmed", "changed", "none"].includes(kind)) return;
    (card.drawn ? drawn : judged).push([place, kind !== "confirmed"]);
  });
  if (judged.length < FEWEST) return null;
  const wrong = (list) => list.filter(([, isWrong]) => isWrong).length;
  const all = wilson(wrong(judged), judged.length);
  const isOpen = (place) => !cards[place].drawn
    && ["open", "skip", "unknown"].includes(kindOf(answers[place], cards[place].current));
  const open = (from, to = cards.length) => {
    let count = 0;
    for (let place = from; place < to; place++) count += isOpen(place);
    return count;
  };
  const listed = cards.filter((card) => !card.drawn).length;
  if (!ranked) return total([[open(0), all]], "batch", listed);
  const last = judged[judged.length - 1][0];
  const tail = judged.slice(-WINDOW);
  const below = wilson(wrong(tail), tail.length);
  const byDraw = drawn.length >= FEWEST;
  const rest = others + cards.length - listed - drawn.length;
  const parts = [
    [open(0, last), all],
    [open(last), below],
    [rest, byDraw ? wilson(wrong(drawn), drawn.length) : below],
  ];
  return total(parts, byDraw ? "drawn" : "ranked", others + cards.length);
}

function total(parts, rule, size) {
  const sum = (which) => parts.reduce((s, [count, share]) => s + count * share[which], 0);
  return { low: sum(0), about: sum(1), high: sum(2), rule, size,
    open: parts.reduce((s, [count]) => s + count, 0) };
}

const RULES = {
  batch: "the rest of these cards is taken to be like those that were answered; nothing is said of other examples",
  ranked: `below the last answer the share of wrong labels is taken to be at most that of the last ${WINDOW} answers, as the order is by suspicion`,
  drawn: "what is not listed is judged by the cards that were drawn from it at random",
};

// [what there is to say, by which rule]
function estimateTexts(found) {
  if (!found) return [`After ${FEWEST} answers: an estimate of the wrong labels that are left.`, ""];
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
  const most = Math.ceil(found.high - 1e-9);
  const percent = ((100 * most) / Math.max(1, found.size)).toFixed(1);
  const bound = `at most ${number(most)} wrong labels (${percent} % of ${number(found.size)})`;
  // By rank alone only the bound has a meaning.
  const range = found.rule === "ranked" ? `Left: ${bound}`
    : `Left: about ${number(found.about)}, at least ${number(Math.floor(found.low))} and ${bound}`;
  return [`${range}, among ${number(found.open)} that are not answered. Stop when you can live with “at most”.`,
    `By 95 % Wilson intervals; ${RULES[found.rule]}.`];
}
