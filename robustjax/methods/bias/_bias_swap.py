"""BiaSwap: images are given each other's bias, and a network is trained on them.

Kim, Lee, Choo, "BiaSwap: Removing Dataset Bias with Bias-Tailored Swapping
Augmentation", ICCV 2021. There is no authors' code.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, transforms
from robustjax.methods.bias import _swap_losses as swap
from robustjax.methods.bias._cam_patches import (
    PatchPlan,
    check_cam,
    check_plan,
    label_maps,
)
from robustjax.methods.bias._part_optimizer import part_optimizer
from robustjax.methods.bias._plain import GceForm, gce_head
from robustjax.methods.bias._swap_losses import (
    Pairs,
    SwapNetworks,
    swap_networks,
)
from robustjax.methods.bias._swap_orders import partner_order, swap_order
from robustjax.scores._bias_conflict import bias_swap_score
from robustjax.training import (
    Algorithm,
    Convolution,
    Phase,
    Recipe,
    TrainData,
    TrainState,
    as_float,
    fresh_state,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Batch, ExampleSpec, LossState

# Steps of the critic between two gradient penalties.
_LAZY = 16


def swap_optimizers(
    learning_rate: float = 2e-3,
) -> dict[str, optax.GradientTransformation]:
    """Adam of the translator, and of the critic, which sees a penalty now and then.

    A penalty every 16 steps is one more term in every 17th: rate and decay rates of
    the critic are scaled by 16/17, as in the released code.
    """
    share = _LAZY / (_LAZY + 1)
    return {
        "translator": optax.adam(learning_rate, b1=0.0, b2=0.99),
        "critic": optax.adam(learning_rate * share, b1=0.0, b2=0.99**share),
    }


def bias_swap(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    biased_epochs: int = 1,
    swap_epochs: int = 20,
    q: float = 0.7,
    form: GceForm = "reweighted",
    translated: float = 0.5,
    same_class: bool = False,
    swap_learning_rate: float = 2e-3,
    temperature: float = 1.0,
    width: int = 32,
    convolution: Convolution = "native",
    networks: SwapNetworks | None = None,
    patches: PatchPlan | None = None,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Three trainings: a biased network, a translator of biases, a classifier.

    The biased network minimises the generalised cross-entropy; after it, examples whose
    score (`scores.bias_swap_score`) is above the mean are held to conflict with the
    bias. The translator is a swapping autoencoder whose patch discriminator looks where
    the biased network's class activation maps do, so that "style" is the bias. Then a
    fresh classifier is trained with cross-entropy on images of which aligned ones are
    given, with probability `translated`, the style of a conflicting one; their label
    stays.

    Where the paper and the talks are silent, this is ours: the mean is over the whole
    set; maps are of the given label, of a swapped image those of the style's label;
    half of the translator's pairs are (aligned, conflicting), the others any two
    images; every step moves translator and critic, on different pairs; styles are drawn
    anew in every epoch; the last training mixes as said.

    Published: the biased network's early end decides the split; settings are not given.
    The original autoencoder: Adam at 2e-3 without momentum, 25 million images of 256
    pixels and more. Networks here are for 28 to 32 pixels; for 64 to 128, give the
    encoder and the generator four or five widths.

    Args:
      model: a Linen classifier with maps: a method `feature_map`, a global average, a
        linear `head`; used twice. An MLP has none.
      optimizer: of the biased network and of the classifier.
      epochs: in all, more than `biased_epochs + swap_epochs`.
      biased_epochs: >= 1.
      swap_epochs: >= 1, of the translator.
      q: of the biased network's loss, in (0, 1].
      form: of that loss, see `gce_head`.
      translated: the share of aligned examples that are translated in the last
        training, in [0, 1]; with 1 it is on translated and conflicting ones alone.
      same_class: whether styles are of the same label.
      swap_learning_rate: > 0.
      temperature: of the maps' softmax, see `draw_centres`.
      width: of the translator's networks, see `swap_networks`.
      convolution: of the same, see `training.choose_execution`.
      networks: of the translator, in place of those.
      patches: which patches are cut; by default eight of 16 pixels.
      augment: `(key, images) -> images` in the training of both classifiers, on floats
        in [0, 1] in the last; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`. It must
        take floats in [0, 1] as it takes 8-bit images.

    Returns:
      A recipe of three phases. Parameters: "biased", "translator" ("encoder",
      "generator"), "critic", "classifier", which predicts. The rows hold "score" and
      "conflicting". Metrics: "loss" and "accuracy", in the second phase the
      translator's loss and the discriminator's share of right answers. Batches must be
      a multiple of 4.

    Raises:
      ValueError: a number outside its range, a model without maps; in `init`, images
        whose sides the translator does not give back.
    """
    checks.at_least("biased_epochs", biased_epochs, 1)
    checks.at_least("swap_epochs", swap_epochs, 1)
    checks.at_least("epochs", epochs, biased_epochs + swap_epochs + 1)
    checks.in_range("translated", translated, 0, 1)
    checks.in_range("swap_learning_rate", swap_learning_rate, 0, low_open=True)
    check_cam(model)
    nets = networks or swap_networks(width, convolution=convolution)
    plan = (patches or PatchPlan())._replace(temperature=temperature)
    check_plan(plan)
    options: dict[str, Any] = {"augment": augment, "preprocess": preprocess}
    biased = supervised(model, gce_head(q, form), optimizer, **options)
    plain = supervised(model, transforms.ce(), optimizer, **options)
    optimizers = {
        "biased": optimizer,
        "classifier": optimizer,
        **swap_optimizers(swap_learning_rate),
    }

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        first_key, second_key, swap_key = jax.random.split(key, 3)
        parts = {
            "biased": biased.init(first_key, sample_inputs, spec),
            "classifier": plain.init(second_key, sample_inputs, spec),
        }
        images = _images(sample_inputs)
        label_maps(
            model,
            parts["biased"].params,
            parts["biased"].model_state,
            preprocess(sample_inputs),
            jnp.zeros(1, jnp.int32),
        )
        params = {
            **{name: part.params for name, part in parts.items()},
            **_init_translator(nets, plan, swap_key, images),
        }
        model_state = {name: part.model_state for name, part in parts.items()}
        rows = {
            "score": jnp.zeros(spec.padded_examples, jnp.float32),
            "conflicting": jnp.zeros(spec.padded_examples, bool),
            "label": jnp.zeros(spec.padded_examples, jnp.int32),
        }
        memory = LossState(rows, {"num_examples": jnp.int32(spec.num_examples)})
        moving = part_optimizer(optimizers, "biased")
        return fresh_state(params, model_state, memory, moving, parts["biased"].key)

    def of_part(name: str, own: Algorithm) -> Any:
        """The objective of one of the two classifiers."""

        def objective(
            params: Any,
            state: TrainState,
            batch: Batch,
            key: jax.Array,
            axis_name: str | None = None,
        ) -> Any:
            part = state._replace(
                model_state=state.model_state[name], loss_state=LossState((), ())
            )
            loss, (new, metrics) = own.objective(
                params[name], part, batch, key, axis_name
            )
            collections = {**state.model_state, name: new.model_state}
            return loss, (state._replace(model_state=collections), metrics)

        return objective

    def evaluate(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return biased.predict(params["biased"], model_state["biased"], inputs)

    def split(state: TrainState, data: TrainData, logits: jax.Array) -> TrainState:
        count = state.loss_state.shared["num_examples"]
        real = jnp.arange(logits.shape[0]) < count
        probabilities = jax.nn.softmax(logits.astype(jnp.float32))
        score = jnp.where(real, bias_swap_score(probabilities, data.labels), 0.0)
        # Less one of them, so that the mean of equal scores is none of their sum's
        # rounding.
        above = jnp.where(real, score - score[0], 0.0)
        rows = {
            "score": score,
            "conflicting": real & (above > jnp.sum(above) / count),
            "label": data.labels,
        }
        return state.with_rows(rows)

    def swap_objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> Any:
        del axis_name
        translator_key, critic_key = jax.random.split(key)
        images = _images(batch["inputs"])
        frozen = jax.lax.stop_gradient(params["biased"])

        def maps(images: jax.Array, labels: jax.Array) -> jax.Array:
            inputs = preprocess((images + 1) / 2)
            found = label_maps(
                model, frozen, state.model_state["biased"], inputs, labels
            )
            return jax.lax.stop_gradient(found)

        def pairs(which: slice) -> Pairs:
            chosen = images[which]
            return Pairs(chosen[:, 0], chosen[:, 1], batch["label"][which, 1])

        networks = (nets, params["translator"], params["critic"])
        made = swap.translator_loss(
            *networks, pairs(slice(0, None, 2)), translator_key, maps, plan
        )
        due = jnp.where(state.step % _LAZY == 0, float(_LAZY), 0.0)
        judged, right = swap.critic_loss(
            *networks, pairs(slice(1, None, 2)), critic_key, maps, plan, due
        )
        return made + judged, (state, {"loss": made, "accuracy": right})

    def swap_pairs(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        del padding_index
        if batch_size % 4:
            raise ValueError(f"batch_size: got {batch_size}, expected a multiple of 4")
        conflicting = state.loss_state.rows["conflicting"][:num_examples]
        return swap_order(key, conflicting, batch_size)

    def translated_objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> Any:
        choice_key, train_key = jax.random.split(key)
        index, mask = batch["index"][:, 0], batch["mask"][:, 0]
        images = _images(batch["inputs"])
        translator = jax.lax.stop_gradient(params["translator"])
        swapped = swap.swap_images(nets, translator, images[:, 0], images[:, 1])
        conflicting = state.loss_state.rows["conflicting"].at[index].get(mode="clip")
        chosen = jax.random.bernoulli(choice_key, translated, index.shape)
        chosen = (chosen & ~conflicting)[:, None, None, None]
        mixed = jnp.where(chosen, jnp.clip(swapped, -1, 1), images[:, 0])
        own = {
            "index": index,
            "mask": mask,
            "label": batch["label"][:, 0],
            "inputs": (mixed + 1) / 2,
        }
        return of_part("classifier", plain)(params, state, own, train_key, axis_name)

    def partners(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        rows = state.loss_state.rows
        return partner_order(
            key,
            rows["conflicting"][:num_examples],
            rows["label"][:num_examples],
            batch_size,
            padding_index,
            classes=state.params["classifier"]["head"]["kernel"].shape[-1],
            same_class=same_class,
        )

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return plain.predict(params["classifier"], model_state["classifier"], inputs)

    first = Algorithm(
        init,
        of_part("biased", biased),
        lambda state, data, outputs: state,
        predict,
        part_optimizer(optimizers, "biased"),
    )
    ending = first._replace(evaluate=evaluate, epoch=split)
    second = first._replace(
        objective=swap_objective,
        order=swap_pairs,
        optimizer=part_optimizer(optimizers, "translator", "critic"),
    )
    third = first._replace(
        objective=translated_objective,
        order=partners,
        optimizer=part_optimizer(optimizers, "classifier"),
    )
    phases = (
        Phase(first, biased_epochs - 1),
        Phase(ending, 1),
        Phase(second, swap_epochs),
        Phase(third, epochs - biased_epochs - swap_epochs),
    )
    return Recipe(tuple(phase for phase in phases if phase.epochs))


def _images(inputs: jax.Array) -> jax.Array:
    """Images in [-1, 1], as the translator has them."""
    return 2 * as_float(inputs) - 1


def _init_translator(
    networks: SwapNetworks, plan: PatchPlan, key: jax.Array, images: jax.Array
) -> dict[str, Any]:
    """Parameters of all four networks.

    Raises:
      ValueError: images of another rank or channels, or sides that do not come back.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"inputs: got images of shape {images.shape[1:]}, expected (H, W, 3)"
        )
    keys = jax.random.split(key, 4)
    encoder = networks.encoder.init(keys[0], images)
    structure, style = networks.encoder.apply(encoder, images)
    generator = networks.generator.init(keys[1], structure, style)
    made = jnp.asarray(networks.generator.apply(generator, structure, style))
    if made.shape != images.shape:
        raise ValueError(
            f"inputs: got images of {images.shape[1:3]} pixels, of which the "
            f"translator makes {made.shape[1:3]}, expected sides that all halvings "
            "divide"
        )
    cut = jnp.zeros((1, plan.per_image, plan.size, plan.size, 3), jnp.float32)
    return {
        "translator": {
            "encoder": encoder["params"],
            "generator": generator["params"],
        },
        "critic": {
            "discriminator": networks.discriminator.init(keys[2], images)["params"],
            "patches": networks.patches.init(keys[3], cut, cut)["params"],
        },
    }
