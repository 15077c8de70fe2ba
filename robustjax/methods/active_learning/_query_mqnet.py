"""MQNet as a query strategy: purity against informativeness, weighed by answers.

Park et al., "Meta-Query-Net: Resolving Purity-Informativeness Dilemma in Open-set
Active Learning" (NeurIPS 2022).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from robustjax import checks
from robustjax.losses._ranking import TIES
from robustjax.methods.active_learning import (
    _query_informativeness as query_informativeness,
)
from robustjax.methods.active_learning import _query_purity as query_purity
from robustjax.methods.active_learning._mqnet_meta import convert_scores
from robustjax.methods.active_learning._mqnet_rounds import (
    RULES,
    can_learn,
    next_meta_model,
    query_scores,
    ranked_by,
)
from robustjax.methods.active_learning._open_set_round import (
    Query,
    RoundView,
    ValidationSet,
)
from robustjax.methods.active_learning._query_common import (
    highest,
    in_logits,
    open_rows,
)
from robustjax.models._mqnet import MQNet

FIRST_ROUNDS = ("converted", "raw")
"""What is added to purity before there is a meta-model; see `MQNetQuery`."""

VALIDATIONS = ("query", "random")
"""What the meta-model is taught with; see `MQNetQuery`."""

RANKED_BY = ("informativeness", "sum", "product", "mqnet")
"""By what a round was ranked; `MQNetNotes.ranked_by` is an index."""


OF_THE_FIT = (
    "validation",
    "reinitialize",
    "monotone",
    "steps",
    "learning_rate",
    "margin",
    "batch_size",
    "weight_decay",
    "ties",
)
"""What a rule that learns nothing does not look at."""


class MQNetMemory(NamedTuple):
    """What MQNet carries from round to round.

    Attributes:
      params: of the meta-model; those of its start until it is fitted.
      fitted: () bool, whether any answers have taught it.
    """

    params: Any
    fitted: jax.Array


class MQNetNotes(NamedTuple):
    """What MQNet saw when it asked; n is the number of unlabelled examples.

    Attributes:
      rows: (n,) rows of these examples, ascending.
      purity: (n,) float32 raw scores, all 0 where they are not defined.
      informativeness: (n,) float32 raw scores.
      converted: (n, 2) float32 purity and informativeness as the meta-model takes
        them, standardised over these n examples. They serve `learn`, too.
      lowest: (2,) float32, converted, of the last row of the query.
      ranked_by: () int32, an index into `RANKED_BY`.
      validation: (V, 2) float32 of the validation set, standardised by the mean and
        deviation of the n examples; V is 0 where the queries teach.
    """

    rows: np.ndarray
    purity: np.ndarray
    informativeness: np.ndarray
    converted: np.ndarray
    lowest: np.ndarray
    ranked_by: np.ndarray
    validation: np.ndarray


_convert = jax.jit(convert_scores, static_argnames="clip")
_scores = jax.jit(query_scores, static_argnames=("rule", "model"))


@dataclasses.dataclass(frozen=True)
class MQNetQuery:
    """Asks for the highest scores of the meta-model, or of a fixed combination.

    In each round purity and informativeness are standardised over the unlabelled
    examples and exponentiated, once: the same numbers serve the query and the
    meta-learning from its answers, which are MQNet's self-validation set. They are new
    both to the classifier of the round and to the meta-model. The meta-model learns
    to order them by the classifier's cross-entropy, that of OOD examples counting as
    0, and ranks in the rounds that follow.

    With `validation="random"`, the alternative that the paper compares with, a
    `ValidationSet` takes the place of the queries, the same in every round: random
    examples, as many as a round asks for, held out of the pool before the first one.
    They are seen by this round's classifier as the queries are, converted by the
    mean and deviation of the unlabelled examples, and teach when the queries would,
    after each round for the next. Their labels are not trained on and no round pays
    for them, so that accuracy is compared at the same number of training labels, as
    in the paper; `OpenSetState.spent` counts what they cost. The paper draws them from
    all data outside the unlabelled pool; that they stay the same, and that no
    classifier has learned from them, is our reading.

    What a round is ranked by (`MQNetNotes.ranked_by` says what was done):

    - while no OOD example has been labelled in any round, informativeness alone; a
      validation set holds some from the beginning;
    - also where purity is not defined, since there is no labelled example to compare
      with; so under every rule;
    - before a meta-model has been fitted, so in the first round, the sum;
    - then the meta-model. Answers that are all IN or all OOD teach nothing and leave
      it as it is.

    Equal scores of the meta-model, which saturates, are ordered by the sum; what is
    still equal is in random order.

    Published settings: purity "csi", informativeness "ll". The paper fits with margin
    0.1, learning rate 0.01, weight decay 5e-4, batches of 64 and some 800 steps; the
    authors' code with margin 1, learning rate 0.001, batches of 32, 11,200 steps and
    `ties="as_lower"`. Both end well before the loss has, so the defaults here differ
    (see `mqnet_meta.fit_mqnet`). The paper does not clip standardised scores
    (`clip=None`), and goes on from the meta-model of the round before
    (`reinitialize=False`), which its code does not. In its confidence mode the
    authors' code has `informativeness="conf", first_round="raw"`.

    Attributes:
      name: for reports.
      purity: see `query_purity.purity`.
      informativeness: see `query_informativeness.informativeness`.
      rule: "mqnet", or "sum" or "product" of the two in every round, with which the
        paper compares and which learn nothing.
      first_round: what the sum before the first fit adds to the converted purity:
        "converted" informativeness, as in the paper, or the "raw" one, `1 - max p`
        between 0 and 1, which is what the authors' code adds in its confidence mode
        and lets purity decide; only with informativeness "conf" and rule "mqnet".
      validation: what teaches the meta-model: "query", the answers of the round, or
        "random", a validation set.
      reinitialize: start every fit from new parameters.
      monotone: False drops the skyline constraint, the paper's ablation.
      clip: bound of the absolute standardised scores, or None.
      steps: of the fit.
      learning_rate: of the first half of the fit; then a tenth.
      margin: of the ranking loss.
      batch_size: examples per step, even.
      weight_decay: on all parameters.
      ties: of the ranking loss, "ignore" or "as_lower".

    Raises:
      ValueError: an unknown name or a number outside its range.
    """

    name: str = "mqnet"
    purity: str = "csi"
    informativeness: str = "ll"
    rule: str = "mqnet"
    first_round: str = "converted"
    validation: str = "query"
    reinitialize: bool = True
    monotone: bool = True
    clip: float | None = 5.0
    steps: int = 3_000
    learning_rate: float = 0.1
    margin: float = 1.0
    batch_size: int = 32
    weight_decay: float = 0.0
    ties: str = "ignore"

    def __post_init__(self) -> None:
        """Checks the arguments now rather than after the first round."""
        checks.one_of("purity", self.purity, query_purity.PURITIES)
        checks.one_of(
            "informativeness",
            self.informativeness,
            query_informativeness.INFORMATIVENESS,
        )
        checks.one_of("rule", self.rule, RULES)
        checks.one_of("first_round", self.first_round, FIRST_ROUNDS)
        checks.one_of("validation", self.validation, VALIDATIONS)
        if self.first_round == "raw" and (self.rule, self.informativeness) != (
            "mqnet",
            "conf",
        ):
            raise ValueError(
                f"first_round: got raw with rule {self.rule} and informativeness "
                f"{self.informativeness}, expected it with mqnet and conf only"
            )
        for field in dataclasses.fields(self) if self.rule != "mqnet" else ():
            value = getattr(self, field.name)
            if field.name in OF_THE_FIT and value != field.default:
                raise ValueError(
                    f"{field.name}: got {value} with rule {self.rule}, expected it "
                    "with mqnet only"
                )
        checks.one_of("ties", self.ties, TIES)
        checks.at_least("steps", self.steps, 1)
        checks.at_least("batch_size", self.batch_size, 2)
        if self.batch_size % 2:
            raise ValueError(
                f"batch_size: got {self.batch_size}, expected an even number"
            )
        checks.in_range("learning_rate", self.learning_rate, 0, low_open=True)
        for name in ("margin", "weight_decay"):
            checks.in_range(name, getattr(self, name), 0)
        if self.clip is not None:
            checks.in_range("clip", self.clip, 0, low_open=True)

    @property
    def wants(self) -> frozenset[str]:
        """What its two scores need, and the validation set if it has one."""
        return (
            query_purity.wanted_by(self.purity)
            | query_informativeness.wanted_by(self.informativeness)
            | frozenset({"validation"} if self.validation == "random" else ())
        )

    @property
    def model(self) -> MQNet:
        """The meta-model."""
        return MQNet(monotone=self.monotone)

    def init_memory(self, key: jax.Array) -> Any:
        """An `MQNetMemory`, or () for a rule that learns nothing."""
        if self.rule != "mqnet":
            return ()
        params = self.model.init(key, jnp.ones((1, 2)))
        return MQNetMemory(params, jnp.zeros((), bool))

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`; with `MQNetNotes`."""
        rows = open_rows(view, count)
        raw = query_purity.purity(view, self.purity)
        pure = np.zeros(view.labels.size, np.float32) if raw is None else raw
        other = query_informativeness.informativeness(view, self.informativeness)
        # Filled up to all N examples, the meta-model's shapes stay from round to round.
        converted = np.ones((view.labels.size, 2), np.float32)
        held = self._held_out(view).rows
        for column, scores in enumerate((pure, other)):
            checks.finite(("purity", "informativeness")[column], scores[rows])
            converted[rows, column] = _convert(scores[rows], clip=self.clip)
            if held.size:
                checks.finite(("purity", "informativeness")[column], scores[held])
                converted[held, column] = _convert(
                    scores[held], scores[rows], clip=self.clip
                )
        ranking = self._ranking(view, memory, defined=raw is not None)
        if ranking == "informativeness":
            # The raw one: no clipping makes any of them equal.
            wanted = highest(view, other, count)
        else:
            raw_sum = ranking == "sum" and self.first_round == "raw"
            scores = _scores(
                converted[:, 0],
                other if raw_sum else converted[:, 1],
                params=memory.params if ranking == "mqnet" else None,
                rule=self.rule,
                model=self.model,
            )
            wanted = highest(
                view, np.asarray(scores), count, then=converted.sum(axis=1)
            )
        notes = MQNetNotes(
            rows=rows,
            purity=pure[rows],
            informativeness=other[rows],
            converted=converted[rows],
            lowest=converted[wanted[-1]],
            ranked_by=np.asarray(RANKED_BY.index(ranking), np.int32),
            validation=converted[held],
        )
        return Query(wanted, notes)

    def _held_out(self, view: RoundView) -> ValidationSet:
        """What teaches instead of the queries; of length 0 where they do."""
        if self.validation == "query":
            return ValidationSet(np.zeros(0, np.int64), np.zeros(0, np.int32))
        if view.validation is None:
            raise ValueError(
                "validation: got None with validation=random, expected one"
            )
        return view.validation

    def _ranking(self, view: RoundView, memory: Any, *, defined: bool) -> str:
        """By what this round is ranked, of `RANKED_BY`."""
        if not defined:
            return "informativeness"
        # The memory of a rule that learns nothing is empty.
        fitted = self.rule == "mqnet" and bool(memory.fitted)
        held = self._held_out(view).labels
        ood_seen = view.labeled_ood.size > 0 or bool(np.any(held == view.num_classes))
        return ranked_by(self.rule, fitted=fitted, ood_seen=ood_seen)

    def learn(
        self, view: RoundView, memory: Any, query: Query, answers: np.ndarray
    ) -> Any:
        """Fits the meta-model to the answers, or to those of the validation set.

        It serves from the next round on.
        """
        if self.rule != "mqnet":
            return memory
        answers = checks.labels("answers", answers, view.num_classes + 1)
        checks.same_length(rows=query.rows, answers=answers)
        notes: MQNetNotes = query.notes
        if self.validation == "random":
            (rows, answers), inputs = self._held_out(view), notes.validation
        else:
            rows = query.rows
            inputs = notes.converted[np.searchsorted(notes.rows, rows)]
        is_in = answers < view.num_classes
        if not can_learn(is_in):
            return memory
        logits = np.asarray(in_logits(view))[rows]
        log_p = scipy.special.log_softmax(logits.astype(np.float32), axis=1)
        given = np.where(is_in, answers, 0)
        losses = -np.take_along_axis(log_p, given[:, None], axis=1)[:, 0]
        params = next_meta_model(
            jax.random.fold_in(view.key, 1),
            memory.params,
            jnp.asarray(inputs),
            jnp.asarray(losses),
            jnp.asarray(is_in),
            reinitialize=self.reinitialize,
            model=self.model,
            steps=self.steps,
            learning_rate=self.learning_rate,
            margin=self.margin,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            ties=self.ties,
        )
        return MQNetMemory(params, jnp.ones((), bool))
