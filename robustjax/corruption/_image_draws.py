"""Random numbers of single images: a function of a key, an id and what they are for.

A counter-based generator (Philox) is set to the place that belongs to an image, so that
its numbers depend neither on the images beside it nor on their order, and a run of
consecutive ids is drawn in one call.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
import zlib
from typing import Any

import jax
import numpy as np

# 32-bit words that one step of the counter gives.
_WORDS = 8


@dataclasses.dataclass(frozen=True)
class Draws:
    """The randomness of a batch; drawing twice gives the same numbers twice.

    Attributes:
      seed: the words of the key, and one for the corruption.
      ids: (N,) uint64.
    """

    seed: tuple[int, ...]
    ids: np.ndarray

    @classmethod
    def of(cls, key: jax.Array, name: str, ids: np.ndarray) -> Draws:
        """The randomness of images under a JAX key.

        Args:
          key: PRNG key, of either kind.
          name: what it is for.
          ids: (N,) uint64.

        Raises:
          ValueError: what is no single key.
        """
        return cls((*_key_words(key), _number(name)), ids)

    def rows(self, here: slice) -> Draws:
        """The randomness of some of the images."""
        return dataclasses.replace(self, ids=self.ids[here])

    def words(self, what: str, count: int) -> np.ndarray:
        """(N, count) uint32, uniform over all; `what` tells draws of an image apart."""
        steps = -(-count // _WORDS)
        philox = _philox()
        state: Any = philox.state
        state["buffer_pos"] = 4
        state["state"]["key"][:] = _philox_key((*self.seed, _number(what)))
        found = np.empty((len(self.ids), steps * _WORDS), np.uint32)
        # Consecutive ids have consecutive counters; 0 does not follow the largest.
        follows = (np.diff(self.ids) == 1) & (self.ids[1:] > 0)
        ends = np.flatnonzero(~follows) + 1
        for first, last in zip([0, *ends], [*ends, len(self.ids)]):
            if first == last:
                continue
            counter = int(self.ids[first]) * steps
            state["state"]["counter"][:] = [
                counter >> shift & (2**64 - 1) for shift in (0, 64, 128, 192)
            ]
            philox.state = state
            raw = np.asarray(philox.random_raw((last - first) * steps * _WORDS // 2))
            found[first:last] = raw.view(np.uint32).reshape(last - first, -1)
        return found[:, :count]

    def uniform(
        self, what: str, shape: tuple[int, ...], low: float = 0, high: float = 1
    ) -> np.ndarray:
        """(N, *shape) float32 in [low, high), in steps of 2^-24 of the range."""
        words = self.words(what, math.prod(shape)) >> 8
        values = words.astype(np.float32)
        values *= np.float32((high - low) * 2.0**-24)
        values += np.float32(low)
        return values.reshape(-1, *shape)

    def normal(self, what: str, shape: tuple[int, ...]) -> np.ndarray:
        """(N, *shape) float32 of the standard normal, by Box and Muller."""
        count = math.prod(shape)
        half = -(-count // 2)
        words = self.words(what, 2 * half).astype(np.float32)
        radius, angle = words[:, :half], words[:, half:]
        radius += np.float32(0.5)
        radius *= np.float32(2.0**-32)
        # A word of the largest float is 1, whose logarithm is 0, as it may be.
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi * 2.0**-32)
        pairs = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return pairs[:, :count].reshape(-1, *shape)

    def choice(self, what: str, probabilities: Any) -> np.ndarray:
        """(N,) int64, one place each of a list of probabilities."""
        edges = np.cumsum(np.asarray(probabilities, np.float64))[:-1]
        return np.searchsorted(edges, self.uniform(what, ()), side="right")


# A generator asks the system for entropy when it is made, which takes longer than all
# that is drawn from it for an image. Key and counter are set before every use.
_generators = threading.local()


def _philox() -> np.random.Philox:
    """This thread's generator, in any state."""
    if not hasattr(_generators, "philox"):
        _generators.philox = np.random.Philox(0)
    return _generators.philox


def _number(text: str) -> int:
    return zlib.crc32(text.encode())


@functools.lru_cache(maxsize=64)
def _philox_key(seed: tuple[int, ...]) -> np.ndarray:
    """128 well mixed bits; the blocks of a batch ask for the same ones."""
    return np.random.SeedSequence(seed).generate_state(2, np.uint64)


def _key_words(key: Any) -> tuple[int, ...]:
    """The words of a JAX key."""
    if isinstance(key, jax.Array) and jax.dtypes.issubdtype(
        key.dtype, jax.dtypes.prng_key
    ):
        key = jax.random.key_data(key)
    if isinstance(key, jax.core.Tracer):
        raise ValueError("key: got a traced key, expected one on the host, outside jit")
    words = np.asarray(key)
    if words.dtype != np.uint32 or words.ndim != 1 or not words.size:
        raise ValueError(
            f"key: got {type(key).__name__} of shape {words.shape}, expected a single "
            "JAX PRNG key, such as jax.random.key(0)"
        )
    return tuple(words.tolist())
