r"""Choose which of your own instructions to train a language model on.

    robustjax select-instructions --records=alpaca.json \
        --method=cluster_random --budget=10000 --out=selected
    robustjax select-instructions --records=alpaca.json \
        --method=fp_instruction --budget=10000 --groups=groups.jsonl
    robustjax select-instructions --records=alpaca.json \
        --method=fp_instruction --budget=10000 --rankings=ranked.jsonl \
        --out=selected

Records are a JSON array or JSON lines in the layout of Alpaca, Dolly, HaluEval, OpenAI
chats or ShareGPT; a Parquet file; or a saved Hugging Face folder. Embeddings are made
by TF-IDF unless given, or by a model of this machine (--embedding=minilm).
`selected.jsonl` holds the records that are kept, and `examples.csv` every record with
its cluster, its rank and the reason for its fate.

fp_instruction asks a teacher to rank the records of every cluster: a server that
speaks OpenAI's protocol (--base-url=http://127.0.0.1:8000/v1 --model=NAME
--answers=answers.sqlite), or a model on this machine (--model-folder=FOLDER).
`teacher.json` tells how it answered; a run that was killed asks nothing twice. Or
somebody else ranks: the second command writes the clusters, a line each, with the ids
and texts; whoever ranks them adds `order`, the ids worth keeping, best first, and the
third command selects by that file. The same seed makes the same clusters.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import EMBEDDINGS, SeedFlags

METHODS = (
    *("random", "longest", "max_cover", "min_cover", "high_quality", "low_quality"),
    *("alpagasus", "ifd", "superfiltering", "curated_stand_in"),
    *("cluster_random", "cluster_score", "fp_instruction"),
)
LAYOUTS = ("alpaca", "dolly", "halueval", "messages", "sharegpt")
INCOMPLETE = ("refuse", "drop")
FORMS = ("text", "choice", "letters")
CONSTRAINTS = ("json_schema", "guided_choice", "structured_outputs")


@dataclasses.dataclass(frozen=True)
class TeacherFlags:
    """Whom a teacher asks, and how."""

    group: ClassVar[str] = "Teacher"
    base_url: str | None = option(
        None, "Of a server with OpenAI's protocol, up to /v1; with --model."
    )
    model: str | None = option(None, "Its name on the server.")
    model_folder: str | None = option(
        None, "Of a model for this machine, instead of a server."
    )
    answers: str | None = option(
        None, "File in which the server's answers are kept; one is asked for once."
    )
    key_variable: str = option(
        "OPENAI_API_KEY", "Environment variable of the server's key; empty: no key."
    )
    form: str = option("text", "Of the answers.", choices=FORMS)
    constraint: str = option("json_schema", "form=choice: how.", choices=CONSTRAINTS)
    calls: int = option(
        0, "Orders in which a group is shown; 0: one per record, at most 5.", low=0
    )
    concurrency: int = option(4, "Questions that are under way.", low=1)
    max_tokens: int = option(
        0, "Budget of all answers in the file; 0: none.", low=0, high=10**12
    )


@dataclasses.dataclass(frozen=True)
class DryRunFlags(TeacherFlags):
    """A teacher that may first be estimated."""

    group: ClassVar[str] = "Teacher"
    dry_run: bool = option(False, "Say what asking the server would take, and stop.")


@dataclasses.dataclass(frozen=True)
class SelectInstructionsConfig(SeedFlags, DryRunFlags):
    """The options. Those of one method alone are None unless given."""

    records: str | None = option(None, "File or folder of instructions and answers.")
    layout: str | None = option(None, "By default seen.", choices=LAYOUTS)
    split: str | None = option(None, "Split of a folder that has several.")
    incomplete: str = option(
        "refuse",
        "Records without an answer: refuse the file, or drop them.",
        choices=INCOMPLETE,
    )
    method: str = option("cluster_random", "Who is kept.", choices=METHODS)
    budget: int | None = option(
        None, "Records to keep; where clusters are made, their number.", low=1
    )
    max_size: int | None = option(
        None, "Records of a cluster at most; 10 if not given.", low=1
    )
    threshold: float | None = option(None, "alpagasus: 4.5 if not given.")
    of: str | None = option(None, "longest: of what.", choices=("output", "record"))
    by: str | None = option(
        None,
        "cluster_score: by what, rating if not given.",
        choices=("rating", "length", "perplexity", "ifd"),
    )
    fallback: str | None = option(
        None,
        "fp_instruction: what to do where a ranking is malformed.",
        choices=("skip", "rating"),
    )
    ratings: str | None = option(
        None, "File of ratings: an array (N,), or CSV or JSON lines of id and rating."
    )
    embeddings: str | None = option(None, "File of embeddings (N, d), and maybe ids.")
    embedding: str = option(
        "tfidf", "How texts are embedded without it.", choices=EMBEDDINGS
    )
    embedding_model: str | None = option(
        None, "embedding=minilm: folder or wheel of the model."
    )
    scores: str | None = option(
        None, "File of robustjax score-instructions, for ifd and superfiltering."
    )
    cache: str | None = option(None, "Folder in which embeddings are kept.")
    rankings: str | None = option(None, "fp_instruction: JSON lines of ids and order.")
    groups: str | None = option(
        None, "fp_instruction: write the clusters to this file, and stop."
    )
    out: str | None = option(None, "Folder for selected.jsonl and examples.csv.")
