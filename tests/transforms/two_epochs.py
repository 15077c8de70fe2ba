"""Two epochs of a linear model under a loss transform, in every layout."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import robustjax as rj

N, C, D, BATCH = 22, 3, 4, 8
SPEC = rj.ExampleSpec(num_examples=N, num_classes=C, pad_to=8)


@functools.cache
def problem():
    """A linear model, and one epoch of batches of which the last is padded."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SPEC.padded_examples, D)).astype(np.float32)
    y = rng.integers(0, C, SPEC.padded_examples).astype(np.int32)
    # Column d holds examples of the d-th equal part of the rows, in any order, so that
    # eight devices can have rows of their own.
    part = SPEC.padded_examples // BATCH
    orders = [rng.permutation(part) for _ in range(BATCH)]
    # The last part holds the padding, which is to come last.
    orders[-1] = np.arange(part)
    index = np.stack([part * d + order for d, order in enumerate(orders)], axis=1)
    mask = index < N
    safe = np.minimum(index, N - 1)
    index = np.where(mask, index, SPEC.padded_examples).astype(np.int32)
    corner, size = rng.uniform(0, 3, (2, *index.shape, 2)).astype(np.float32)
    box = np.concatenate([corner, corner + size], axis=-1)
    batches = {"index": index, "mask": mask, "label": y[safe], "x": x[safe], "box": box}
    batches["group"] = (index % 4).astype(np.int32)
    params = rng.normal(size=(D, C)).astype(np.float32)
    return x, y, batches, params


def batch_at(place):
    """One batch of the epoch."""
    return {name: array[place] for name, array in problem()[2].items()}


def outputs(params, batch):
    """What a network makes of the batch, and of as many examples from elsewhere."""
    logits = batch["x"] @ params
    # A different function of the inputs, as large as they are on padding.
    ood_logits = (2 - batch["x"][:, ::-1]) @ params
    features = jax.nn.relu(ood_logits)
    return {
        "logits": logits,
        "features": batch["x"] + 1,
        "biased_logits": 2 * logits[:, ::-1],
        "strong_logits": jnp.sin(3 * batch["x"]) @ params,
        "predicted_loss": jnp.sin(logits[:, 0]),
        "boxes": jnp.concatenate([logits, logits[:, :1] + 2], axis=1),
        "ood_logits": ood_logits,
        "ood_features": features,
        "ood_feature_map": features[:, None, :, None],
        "ood_mask": batch["mask"],
    }


def objective(params, state, batch, tx, axis_name=None, local_rows=False):
    terms, new = tx.update(
        rj.start(batch),
        state,
        batch,
        **outputs(params, batch),
        step=0,
        axis_name=axis_name,
        local_rows=local_rows,
    )
    return rj.reduce(terms, axis_name), new


def step(tx, carry, batch, axis_name=None, local_rows=False):
    params, state = carry
    (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(
        params, state, batch, tx, axis_name, local_rows
    )
    if axis_name is not None:
        gradient = jax.lax.pmean(gradient, axis_name)
    return (params - 0.5 * gradient, state), loss


def end_epoch(tx, params, state, axis_name=None, local_rows=False):
    x, y, _, _ = problem()
    losses = rj.losses.cross_entropy(x @ params, y)
    if local_rows:
        part = SPEC.padded_examples // BATCH
        first = part * jax.lax.axis_index(axis_name)
        losses = jax.lax.dynamic_slice_in_dim(losses, first, part)
    return tx.epoch(state, losses=losses, axis_name=axis_name, local_rows=local_rows)


def scanned(tx, params, state, batches, epochs=2, **layout):
    def epoch(carry, _):
        carry, losses = jax.lax.scan(
            functools.partial(step, tx, **layout), carry, batches
        )
        params, state = carry
        return (params, end_epoch(tx, params, state, **layout)), losses

    (params, state), losses = jax.lax.scan(epoch, (params, state), length=epochs)
    return params, state, losses.reshape(-1)


def columns(local_rows):
    """(8, steps, 1, ...): what each of eight devices sees of every batch."""
    batches = problem()[2]
    part = SPEC.padded_examples // BATCH
    if local_rows:
        own = np.where(batches["mask"], batches["index"] % part, part)
        batches = batches | {"index": own.astype(np.int32)}
    return {name: np.moveaxis(a[:, :, None], 1, 0) for name, a in batches.items()}


def both_layouts(tx, axis_name):
    """Runs with copies of all rows on every device, and with rows of its own."""

    def run(params, replicated, local, all_columns, own_columns):
        return tuple(
            scanned(tx, params, state, batches, axis_name=axis_name, local_rows=is_own)
            for state, batches, is_own in (
                (replicated, all_columns, False),
                (local, own_columns, True),
            )
        )

    return run
