"""ALC by its settings, and with a model of the noise in its loss."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from robustjax import checks
from robustjax.methods.label_correction._active_label_correction import (
    ActiveLabelCorrection,
    Propagation,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._forward_training import (
    ANCHOR_PERCENTILE,
    train_and_estimate,
    trusted_or_forward,
    with_transition,
)
from robustjax.methods.label_correction._round_training import (
    Fitted,
    RoundTrainer,
    phase_keys,
)


class ForwardMemory(NamedTuple):
    """What is carried from round to round.

    Attributes:
      transition: (R, C, C) estimated before the first round.
      started: () bool, whether it has been.
    """

    transition: jax.Array
    started: jax.Array


@dataclasses.dataclass(frozen=True)
class ForwardCorrectedAlc(ActiveLabelCorrection):
    """ALC whose loss has a model of the noise; without `robust`, that model alone.

    Labels that nobody has checked are learned by forward correction (Patrini et al.,
    CVPR 2017), checked ones by cross-entropy. The matrix is estimated once, from anchor
    points of a network that is trained plainly on the given labels: what is asked about
    later is chosen for being wrong, and would say that everything is. Contribution
    weights are moved by the cross-entropy of the current labels, as without. The
    combination is ours.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extra_epochs:
            raise ValueError(
                f"extra_epochs: got {self.extra_epochs} with forward=True, expected 0"
            )
        if self.warm_start:
            raise ValueError("warm_start: got True with forward=True, expected False")

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> ForwardMemory:
        """The shape of the matrices that are estimated before the first round."""
        super().init_memory(trainer, labels, keys)
        classes = trainer.spec.num_classes
        shape = (labels.shape[0], classes, classes)
        return ForwardMemory(*jax.device_put((np.zeros(shape, np.float32), np.False_)))

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, Any]:
        """Estimates the matrices in the first round; trains in every one."""
        if not bool(state.memory.started):
            _, _, transition = train_and_estimate(
                trainer, state.labels, keys, ANCHOR_PERCENTILE
            )
            memory = ForwardMemory(transition, jax.device_put(np.True_))
            state = state._replace(memory=memory)
        model, _ = super().train(trainer, state, keys)
        return model, state.memory

    def _fit(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> Fitted:
        transition = state.memory.transition
        # Behind the weights, where there are any.
        place = 1 if self.robust else 0
        return trainer.fit(
            f"forward-corrected {self._kind}",
            lambda: self._transform(trusted_or_forward(trainer.spec.num_classes)),
            state.labels,
            phase_keys(keys, 1),
            extras={"trusted": state.queried},
            prepare=lambda start: with_transition(start, place, transition),
        )


def alc(
    name: str = ActiveLabelCorrection.name,
    *,
    robust: bool = ActiveLabelCorrection.robust,
    diffusion_mode: str | None = Propagation.mode,
    graph_space: str = Propagation.space,
    neighbors: int = Propagation.neighbors,
    diffusion_steps: int = Propagation.steps,
    diffusion_step_size: float = Propagation.step_size,
    candidates_per_query: float | None = ActiveLabelCorrection.candidates_per_query,
    weight_step: float = ActiveLabelCorrection.weight_step,
    weight_scale: str | float = ActiveLabelCorrection.weight_scale,
    freeze_scale: bool = ActiveLabelCorrection.freeze_scale,
    loss_pass: str = ActiveLabelCorrection.loss_pass,
    weighting: str = ActiveLabelCorrection.weighting,
    extra_epochs: int = ActiveLabelCorrection.extra_epochs,
    warm_start: bool = ActiveLabelCorrection.warm_start,
    forward: bool = False,
) -> ActiveLabelCorrection:
    """`ActiveLabelCorrection` with the settings of its `Propagation` beside its own.

    Args:
      name: for reports.
      robust: see there, as all that is not said here.
      diffusion_mode: see `Propagation`; None for no propagation.
      graph_space: see `Propagation`.
      neighbors: see `Propagation`.
      diffusion_steps: see `Propagation`.
      diffusion_step_size: see `Propagation`.
      candidates_per_query: see there.
      weight_step: see there.
      weight_scale: see there.
      freeze_scale: see there.
      loss_pass: see there.
      weighting: see there.
      extra_epochs: see there.
      warm_start: see there.
      forward: whether labels that nobody has checked are learned by a forward-corrected
        loss, see `ForwardCorrectedAlc`.

    Raises:
      ValueError: an unknown name, a number outside its range, `forward` with
        `extra_epochs` or `warm_start`, or what would change nothing: options of the
        propagation without one, or of the weights without `robust`.
    """
    if diffusion_mode is None:
        for option, got, usual in (
            ("graph_space", graph_space, Propagation.space),
            ("neighbors", neighbors, Propagation.neighbors),
            ("diffusion_steps", diffusion_steps, Propagation.steps),
            ("diffusion_step_size", diffusion_step_size, Propagation.step_size),
        ):
            checks.no_effect(option, got, usual, "with diffusion_mode=None")
    if not robust:
        for option, of_weights in (
            ("candidates_per_query", candidates_per_query),
            ("weight_step", weight_step),
            ("weight_scale", weight_scale),
            ("freeze_scale", freeze_scale),
            ("loss_pass", loss_pass),
            ("weighting", weighting),
            ("extra_epochs", extra_epochs),
        ):
            usual = getattr(ActiveLabelCorrection, option)
            checks.no_effect(option, of_weights, usual, "with robust=False")
    propagation = None
    if diffusion_mode is not None:
        with checks.errors_name(
            mode="diffusion_mode",
            space="graph_space",
            steps="diffusion_steps",
            step_size="diffusion_step_size",
        ):
            propagation = Propagation(
                mode=diffusion_mode,
                neighbors=neighbors,
                step_size=diffusion_step_size,
                steps=diffusion_steps,
                space=graph_space,
            )
    method = ForwardCorrectedAlc if forward else ActiveLabelCorrection
    return method(
        name=name,
        robust=robust,
        propagation=propagation,
        candidates_per_query=candidates_per_query,
        weight_step=weight_step,
        weight_scale=weight_scale,
        freeze_scale=freeze_scale,
        loss_pass=loss_pass,
        weighting=weighting,
        warm_start=warm_start,
        extra_epochs=extra_epochs,
    )
