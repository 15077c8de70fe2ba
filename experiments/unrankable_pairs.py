"""How many pairs of a cluster a rating cannot rank, in instruction data.

    python -m experiments.unrankable_pairs --out=unrankable.csv

Plain k-means, without a limit of sizes, of records' texts; in clusters of more than
five, the share of pairs with equal ratings (Park, thesis, chapter 6: 48.32 % by
AlpaGasus' ratings of all of Alpaca). The ratings here have two values: whether a record
is in the file of those that a rater gave a threshold or more. Pairs with equal ratings
are on one side of any threshold, so that this share is at least that by the ratings
themselves.

Beside it stands what two records at random give, and, since clusters of unequal sizes
weigh records unequally, the same clusters with ratings shuffled among the records.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from experiments.studies.instruction_selection.pools import place_of
from experiments.study.flag_groups import RunFlags
from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax import data
from robustjax.methods import instructions
from robustjax.output_paths import check_output_file
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.tools.tables import text_table
from robustjax.tools.text_embedding import check_embedding, embedding_of
from robustjax.training import StopRequest, progress_bar, write_csv


@dataclasses.dataclass(frozen=True)
class UnrankableConfig(RunFlags):
    """The flags."""

    records: str = option(
        "instructions/alpaca_random_9k.json", "Records, some of them rated high."
    )
    rated_high: str = option(
        "instructions/alpagasus_claude_t45.json",
        "Records rated a threshold or more, of the same source.",
    )
    embedding: str = option("tfidf", "tfidf or minilm.")
    embedding_model: str | None = option(
        None, "embedding=minilm: folder or wheel of the model."
    )
    per_cluster: float = option(
        5.2, "Records per cluster in the mean; published: 52,002 in 10,000.", low=1.0
    )
    larger_than: int = option(5, "Smaller clusters do not count.", low=1)
    shuffles: int = option(200, "Times that ratings are shuffled.", low=2)
    out: str | None = option(None, "Also write every repeat to this CSV file.")


def rated_high(
    records: tuple[data.Record, ...], high: tuple[data.Record, ...]
) -> np.ndarray:
    """(N,) bool: records whose question and answer are among those rated high.

    Raises:
      ValueError: none is, or all are.
    """
    known = {(each.question, each.output) for each in high}
    found = np.array([(each.question, each.output) in known for each in records])
    if not 0 < found.sum() < len(found):
        raise ValueError(
            f"rated_high: got a file with {int(found.sum()):,} of the {len(found):,} "
            "records, expected some and not all"
        )
    return found


def measure(
    ratings: np.ndarray,
    vectors: np.ndarray,
    *,
    clusters: int,
    larger_than: int,
    shuffles: int,
    seed: int,
    stop: StopRequest | None = None,
) -> dict[str, Any]:
    """The shares of one clustering, as fractions.

    Args:
      ratings: (N,) numbers.
      vectors: (N, d).
      clusters: k.
      larger_than: smaller clusters do not count.
      shuffles: of the ratings.
      seed: of centres and shuffles.
      stop: checked after every shuffle.

    Returns:
      `by_cluster`, `pooled` and `chance` as in `instructions.NonRankable`, `shuffled`,
      `shuffled_low` and `shuffled_high`: mean and 2.5 and 97.5 % points of `by_cluster`
      with shuffled ratings; the number of clusters that count, and the records in them.
    """
    fitted = KMeans(clusters, n_init=1, random_state=seed).fit(vectors)
    groups = np.asarray(fitted.labels_)
    found = instructions.non_rankable(ratings, groups, larger_than=larger_than)
    generator = np.random.default_rng(seed)
    others = []
    for _ in range(shuffles):
        mixed = generator.permutation(ratings)
        again = instructions.non_rankable(mixed, groups, larger_than=larger_than)
        others.append(again.by_cluster)
        if stop is not None:
            stop.check()
    low, high = np.quantile(others, (0.025, 0.975))
    sizes = np.bincount(groups)
    return {
        "by_cluster": found.by_cluster,
        "pooled": found.pooled,
        "chance": found.chance,
        "shuffled": float(np.mean(others)),
        "shuffled_low": float(low),
        "shuffled_high": float(high),
        "clusters": found.clusters,
        "records": int(sizes[sizes > larger_than].sum()),
    }


def main(stop: StopRequest) -> None:
    """Prints the shares of every repeat, and writes a file of them if asked to."""
    config = read_config(UnrankableConfig)
    check_embedding(config.embedding, config.embedding_model, None)
    if config.out is not None:
        check_output_file("out", config.out)
    records = data.load_instructions(
        place_of(config.records), incomplete="drop", name="records"
    ).records
    high = data.load_instructions(
        place_of(config.rated_high), incomplete="drop", name="rated_high"
    ).records
    ratings = rated_high(records, high)
    clusters = max(1, round(len(records) / config.per_cluster))
    embed = embedding_of(config.embedding, config.embedding_model, None)
    vectors = embed([f"{r.question}\n{r.output}" for r in records], stop)
    rows: list[dict[str, Any]] = []
    with progress_bar(config.repeats, "clusterings", unit="repeat") as bar:
        for repeat in range(config.repeats):
            found = measure(
                ratings.astype(np.int64),
                vectors,
                clusters=clusters,
                larger_than=config.larger_than,
                shuffles=config.shuffles,
                seed=config.seed + repeat,
                stop=stop,
            )
            rows.append({"embedding": config.embedding, "repeat": repeat, **found})
            bar.update()
    say(
        f"{len(records):,} records in {clusters:,} clusters, "
        f"{ratings.mean():.1%} rated high"
    )
    shown = ("by_cluster", "pooled", "chance", "shuffled")
    header = ["repeat", *shown, "clusters", "records"]
    table = [
        [
            str(row["repeat"]),
            *(f"{row[name]:.1%}" for name in shown),
            str(row["clusters"]),
            str(row["records"]),
        ]
        for row in rows
    ]
    say(text_table(header, table))
    if config.out is not None:
        write_csv(config.out, rows)


if __name__ == "__main__":
    # Not where it is imported: names of flags are of a whole process.
    define_flags(UnrankableConfig)
    launch(main, UnrankableConfig)
