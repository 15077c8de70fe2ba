"""From flags to an optimiser with its learning-rate schedule."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import optax

from robustjax import checks, methods
from robustjax.tools.options.groups import OptimizerFlags, SgdFlags
from robustjax.training._schedules import stepwise

OPTIMIZERS = ("sgd", "adam", "co_teaching")
SCHEDULES = ("constant", "cosine", "warm_restarts", "steps", "one_cycle")


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """How the network's parameters move.

    Attributes:
      name: "sgd" (with momentum), "adam", or "co_teaching": Adam whose rate and
        momentum fall late, with a schedule of its own.
      learning_rate: its highest value.
      schedule: "constant"; "cosine" down to `final_factor` of it; "warm_restarts", such
        a cosine anew every `restart_epochs` epochs (SGDR: Loshchilov and Hutter, 2017,
        without growing periods); "steps", times `drop_factor` at every epoch of
        `drop_epochs`; "one_cycle", linearly up for a fifth of the time and down to
        zero. Cosines fall from step to step; public code often holds the rate of an
        epoch's beginning for the whole epoch.
      momentum: of SGD.
      nesterov: of SGD.
      weight_decay: coupled (added to the gradient), as in PyTorch's SGD.
      drop_epochs: see `schedule`.
      drop_factor: see `schedule`.
      final_factor: see `schedule`.
      clip_norm: of the whole gradient (of both networks, where there are two); 0
        does not clip.
      restart_epochs: see `schedule`.
      decay_from_epoch: of "co_teaching", the first epoch, counted from 1, of the
        fall; 0 is at 0.4 of the epochs, the published 80 of 199.
    """

    name: str
    learning_rate: float
    schedule: str
    momentum: float
    nesterov: bool
    weight_decay: float
    drop_epochs: tuple[int, ...]
    drop_factor: float
    final_factor: float
    clip_norm: float
    restart_epochs: int
    decay_from_epoch: int

    @classmethod
    def of(cls, config: OptimizerFlags) -> OptimizerOptions:
        """The optimiser's part of a launcher's flags.

        Raises:
          ValueError: drops that are neither shares nor epochs.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        values = {
            name: getattr(config, name) for name in names - {"name", "drop_epochs"}
        }
        drops = drop_epochs(config.drop_at, config.epochs)
        return cls(name=config.optimizer, drop_epochs=drops, **values)

    def check(self) -> None:
        """Raises `ValueError` naming the flag that is out of range."""
        checks.one_of("optimizer", self.name, OPTIMIZERS)
        checks.one_of("schedule", self.schedule, SCHEDULES)
        checks.in_range("learning_rate", self.learning_rate, 0, low_open=True)
        checks.in_range("momentum", self.momentum, 0, 1, high_open=True)
        checks.in_range("weight_decay", self.weight_decay, 0)
        checks.in_range("drop_factor", self.drop_factor, 0, 1, low_open=True)
        checks.in_range("final_factor", self.final_factor, 0, 1)
        checks.in_range("clip_norm", self.clip_norm, 0)
        checks.at_least("restart_epochs", self.restart_epochs, 1)
        checks.at_least("decay_from_epoch", self.decay_from_epoch, 0)
        if self.name == "co_teaching":
            # It has none of these, which would be left out without a word.
            for name, expected in (
                ("schedule", "constant"),
                ("weight_decay", 0.0),
                ("clip_norm", 0.0),
            ):
                if getattr(self, name) != expected:
                    raise ValueError(
                        f"{name}: got {getattr(self, name)} with "
                        f"optimizer=co_teaching, expected {expected}"
                    )

    def describe(self) -> str:
        """Optimiser, rate and schedule, for people."""
        if self.name == "co_teaching":
            return f"Co-teaching's Adam {self.learning_rate:g}"
        schedule = self.schedule
        if schedule == "steps":
            drops = ", ".join(map(str, self.drop_epochs)) or "none"
            schedule = f"steps (times {self.drop_factor:g} at {drops})"
        elif schedule == "warm_restarts":
            schedule = f"cosine restarted every {self.restart_epochs} epochs"
        if self.final_factor and "cosine" in schedule:
            schedule += f" down to {self.final_factor * self.learning_rate:g}"
        return f"{self.name} {self.learning_rate:g} {schedule}"


def unused_flags(config: OptimizerFlags) -> dict[str, str]:
    """The flags at which neither the optimiser nor the schedule looks.

    Args:
      config: every field. Flags that ask for nothing, such as no drops, are left out.

    Returns:
      Name -> why, as an error goes on behind what was got.
    """
    optimizer, schedule = config.optimizer, config.schedule
    why = f"with optimizer={optimizer}, expected optimizer="
    when = f"with schedule={schedule}, expected schedule="
    found: dict[str, str] = {}
    if optimizer != "sgd":
        found |= {"momentum": f"{why}sgd", "nesterov": f"{why}sgd"}
    elif not config.momentum:
        found["nesterov"] = "with momentum=0, expected a momentum"
    if optimizer != "co_teaching":
        found["decay_from_epoch"] = f"{why}co_teaching"
    if schedule != "steps":
        found |= {"drop_at": f"{when}steps", "drop_factor": f"{when}steps"}
    else:
        found |= unused_drops(config)
    if schedule not in ("cosine", "warm_restarts"):
        found["final_factor"] = f"{when}cosine or warm_restarts"
    if schedule != "warm_restarts":
        found["restart_epochs"] = f"{when}warm_restarts"
    # No momentum is asked for by 0, and Adam has one.
    asked = {name for name in found if name == "momentum" or getattr(config, name)}
    return {name: reason for name, reason in found.items() if name in asked}


def unused_drops(config: SgdFlags) -> dict[str, str]:
    """The flags of a rate that drops which change nothing, see `unused_flags`."""
    if not config.drop_at:
        return {"drop_factor": "without drop_at"}
    if all(1 <= each >= config.epochs for each in config.drop_at):
        why = f"with epochs={config.epochs}"
        return {
            "drop_at": f"{why}, expected earlier ones",
            "drop_factor": f"{why}, expected an earlier drop_at",
        }
    return {}


def drop_epochs(drop_at: Sequence[float], epochs: int) -> tuple[int, ...]:
    """The epochs at which the rate drops.

    Args:
      drop_at: shares of the epochs, which are below 1, or whole epochs.
      epochs: in all.

    Raises:
      ValueError: a number that is neither.
    """
    found = []
    for number in drop_at:
        if not 0 < number < math.inf or (number >= 1 and number != int(number)):
            raise ValueError(
                f"drop_at: got {number:g}, expected shares in (0, 1), or whole epochs"
            )
        share = max(1, round(number * epochs))
        found.append(share if number < 1 else int(number))
    return tuple(found)


def decay_from_epoch(options: OptimizerOptions, epochs: int) -> int:
    """When the rate of "co_teaching" begins to fall, counted from 1.

    Raises:
      ValueError: after the last epoch.
    """
    if options.decay_from_epoch > epochs:
        raise ValueError(
            f"decay_from_epoch: got {options.decay_from_epoch} of {epochs} epochs, "
            "expected one of them, or 0 for 0.4 of them"
        )
    return options.decay_from_epoch or max(1, round(0.4 * epochs))


def make_schedule(
    options: OptimizerOptions, epochs: int, steps_per_epoch: int
) -> optax.Schedule:
    """The learning rate as a function of the step."""
    peak, steps = options.learning_rate, epochs * steps_per_epoch
    if options.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps, alpha=options.final_factor)
    if options.schedule == "warm_restarts":
        period = options.restart_epochs * steps_per_epoch
        once = optax.cosine_decay_schedule(peak, period, alpha=options.final_factor)
        return lambda step: once(step % period)
    if options.schedule == "steps":
        # Shares of few epochs may be the same epoch: the rate then drops twice there.
        drops = options.drop_epochs
        return stepwise(peak, drops, options.drop_factor, steps_per_epoch)
    if options.schedule == "one_cycle":
        rise = max(1, steps // 5)
        return optax.join_schedules(
            [
                optax.linear_schedule(peak / 10, peak, rise),
                optax.linear_schedule(peak, 0.0, max(1, steps - rise)),
            ],
            [rise],
        )
    return optax.constant_schedule(peak)


def _decays(params: Any) -> Any:
    """Which parameters decay: all but those of a noise layer, whose zero is no rest."""

    def decays(path: Sequence[Any], leaf: Any) -> bool:
        del leaf
        return not any(getattr(p, "key", None) == "noise_adaptation" for p in path)

    return jax.tree_util.tree_map_with_path(decays, params)


def make_optimizer(
    options: OptimizerOptions, epochs: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The optimiser of a whole training.

    Args:
      options: checked.
      epochs: in all.
      steps_per_epoch: of every phase.
    """
    schedule = make_schedule(options, epochs, steps_per_epoch)
    if options.name == "co_teaching":
        return methods.co_teaching_optimizer(
            steps_per_epoch,
            learning_rate=options.learning_rate,
            decay_from=decay_from_epoch(options, epochs),
            zero_at=epochs + 1,
        )
    parts = []
    if options.clip_norm:
        parts.append(optax.clip_by_global_norm(options.clip_norm))
    if options.weight_decay:
        parts.append(optax.add_decayed_weights(options.weight_decay, mask=_decays))
    if options.name == "adam":
        parts.append(optax.adam(schedule))
    else:
        momentum = options.momentum or None
        parts.append(optax.sgd(schedule, momentum, nesterov=options.nesterov))
    return optax.chain(*parts)
