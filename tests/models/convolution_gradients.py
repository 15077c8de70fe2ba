"""Gradients of convolutions as people's own losses take them."""

import jax
import jax.numpy as jnp

from robustjax.models import conv2d


def under_vmap(x, w, axes, implementation):
    """A loss and its gradients, mapped over inputs, kernels or both."""

    def loss(x, w):
        return jnp.sum(jnp.sin(conv2d(x, w, implementation=implementation)))

    return jax.jit(jax.vmap(jax.value_and_grad(loss, (0, 1)), axes))(x, w)


def of_a_penalty(x, w, implementation, strides=(1, 1)):
    """The gradients of a penalty on the gradient of two convolutions."""

    def penalty(x, w):
        def score(x):
            y = conv2d(x, w, strides=strides, implementation=implementation)
            return jnp.sum(jnp.tanh(conv2d(y, w, implementation=implementation)))

        return jnp.sum(jax.grad(score)(x) ** 2)

    return jax.jit(jax.grad(penalty, (0, 1)))(x, w)
