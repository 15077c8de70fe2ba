"""Heads of the active passive losses and their normalised parts."""

from __future__ import annotations

from robustjax import checks, losses
from robustjax.losses._active_passive import ACTIVE, DETACHED, PASSIVE
from robustjax.transforms._base import LossTransform
from robustjax.transforms._heads import loss_head


def nce() -> LossTransform:
    """Normalised cross-entropy; see `losses.nce`. Needs `logits`.

    Not to be joined with `elr`: nothing pulls a wrong certainty back.
    """
    return loss_head(losses.nce, name="nce")


def nfl(gamma: float = 0.5, detached: str = "both") -> LossTransform:
    """Normalised focal loss; see `losses.nfl`. Needs `logits`."""
    checks.in_range("gamma", gamma, 0)
    checks.one_of("detached", detached, DETACHED)
    return loss_head(losses.nfl, name="nfl", gamma=gamma, detached=detached)


def ngce(q: float = 0.7) -> LossTransform:
    """Normalised generalised cross-entropy; see `losses.ngce`. Needs `logits`.

    Not to be joined with `elr`: nothing pulls a wrong certainty back.
    """
    checks.in_range("q", q, 0, 1)
    return loss_head(losses.ngce, name="ngce", q=q)


def active_passive(
    active: str = "nce",
    passive: str = "rce",
    alpha: float = 1.0,
    beta: float = 1.0,
    *,
    gamma: float = 0.5,
    q: float = 0.7,
    log_zero: float = losses.LOG_ZERO,
) -> LossTransform:
    """Active passive loss; see `losses.active_passive`. Needs `logits`.

    As published: (alpha, beta) = (1, 1) for CIFAR-10; for CIFAR-100 (10, 0.1) with
    "rce" and (10, 1) with "mae", which is `1 - p_y` here.

    Args:
      active: "nce", "nfl" or "ngce".
      passive: "rce" or "mae".
      alpha: the weight of the active loss, >= 0.
      beta: the weight of the passive loss, >= 0.
      gamma: see `losses.nfl`; with "nfl" alone.
      q: see `losses.ngce`; with "ngce" alone.
      log_zero: see `losses.reverse_cross_entropy`; with "rce" alone.

    Raises:
      ValueError: an unknown name, a parameter out of its range, or one of another loss.
    """
    checks.one_of("active", active, ACTIVE)
    checks.one_of("passive", passive, PASSIVE)
    checks.in_range("alpha", alpha, 0)
    checks.in_range("beta", beta, 0)
    checks.in_range("gamma", gamma, 0)
    checks.in_range("q", q, 0, 1)
    checks.in_range("log_zero", log_zero, high=0, high_open=True)
    if active != "nfl":
        checks.no_effect("gamma", gamma, 0.5, f"with active={active!r}")
    if active != "ngce":
        checks.no_effect("q", q, 0.7, f"with active={active!r}")
    if passive != "rce":
        checks.no_effect(
            "log_zero", log_zero, losses.LOG_ZERO, f"with passive={passive!r}"
        )
    return loss_head(
        losses.active_passive,
        name="active_passive",
        active=active,
        passive=passive,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        q=q,
        log_zero=log_zero,
    )
