"""Functions that differ in numbers alone, as one function of those numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Whose program is run in their place, derivatives having been taken.
_CALLS = frozenset(
    ("checkpoint", "closed_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit")
)
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_LOOPS = frozenset(("cond", "scan", "while"))
# Names and messages, which change no result.
_SAID = frozenset(("debug_info", "err_tree", "name"))

Path = tuple[Any, ...]


class Lifted(NamedTuple):
    """What K functions have in common, and where they differ.

    Attributes:
      call: `(numbers, *arguments)` of one of them.
      numbers: leaves (K, ...): what each has in the places where they differ.
    """

    call: Callable[..., Any]
    numbers: list[np.ndarray]


def lift(functions: Sequence[Callable[..., Any]], *arguments: Any) -> Lifted:
    """Functions as one, of the numbers in which they differ.

    All are traced. Their operations must be the same, in order and with their shapes;
    constants may differ.

    Args:
      functions: K, of the same arguments.
      *arguments: arrays or their shapes.

    Raises:
      ValueError: functions that differ in more than numbers.
    """
    traced = [
        jax.make_jaxpr(function, return_shape=True)(*arguments)
        for function in functions
    ]
    structures: list[Any] = [jax.tree.structure(shape) for _, shape in traced]
    _check(all(each == structures[0] for each in structures), "what they return")
    places = _Places()
    places.compare_closed((), [program for program, _ in traced])
    first = traced[0][0]

    def call(numbers: Sequence[jax.Array], *arguments: Any) -> Any:
        run = _Run({path: numbers[at] for path, at in places.at.items()})
        found = run.closed((), first, jax.tree.leaves(arguments))
        return jax.tree.unflatten(structures[0], found)

    return Lifted(call, places.numbers)


def _check(agree: bool, what: str) -> None:
    if not agree:
        raise ValueError(
            f"programs: they differ in more than numbers ({what}), expected the same "
            "steps; train such points one by one"
        )


class _Places:
    """Where programs hold different numbers, found by walking through them at once.

    Attributes:
      at: path through the calls and loops -> position in `numbers`.
      numbers: (K, ...) each.
    """

    def __init__(self) -> None:
        self.at: dict[Path, int] = {}
        self.numbers: list[np.ndarray] = []

    def compare_closed(self, path: Path, programs: Sequence[ClosedJaxpr]) -> None:
        first = programs[0]
        same = all(len(p.consts) == len(first.consts) for p in programs)
        _check(same, "their constants")
        for number, values in enumerate(zip(*(p.consts for p in programs))):
            if not all(value is values[0] for value in values):
                self._note((*path, "const", number), [_plain(v) for v in values])
        self._compare(path, [p.jaxpr for p in programs])

    def _note(self, path: Path, arrays: Sequence[np.ndarray]) -> None:
        first = arrays[0]
        same = all((x.shape, x.dtype) == (first.shape, first.dtype) for x in arrays)
        _check(same, "the shape of a constant")
        if any(x.tobytes() != first.tobytes() for x in arrays):
            _check(first.dtype != object, "a key")
            self.at[path] = len(self.numbers)
            self.numbers.append(np.stack(arrays))

    def _compare(self, path: Path, programs: Sequence[Jaxpr]) -> None:
        # Variables are the same if they came to be in the same place.
        names: list[dict[Any, int]] = [{} for _ in programs]

        def bind(*groups: Sequence[Any]) -> None:
            _check(len({len(group) for group in groups}) == 1, "operands")
            for variables in zip(*groups):
                _check(len({str(v.aval) for v in variables}) == 1, "shapes")
                for known, variable in zip(names, variables):
                    known[variable] = len(known)

        def use(where: Path, *groups: Sequence[Any]) -> None:
            _check(len({len(group) for group in groups}) == 1, "operands")
            for number, atoms in enumerate(zip(*groups)):
                if all(isinstance(atom, Literal) for atom in atoms):
                    self._note((*where, number), [_of_literal(atom) for atom in atoms])
                    continue
                _check(not any(isinstance(a, Literal) for a in atoms), "operands")
                which = {known[atom] for known, atom in zip(names, atoms)}
                _check(len(which) == 1, "operands")

        bind(*(p.constvars for p in programs))
        bind(*(p.invars for p in programs))
        _check(len({len(p.eqns) for p in programs}) == 1, "their operations")
        for number, equations in enumerate(zip(*(p.eqns for p in programs))):
            where = (*path, number)
            primitives = {equation.primitive for equation in equations}
            _check(len(primitives) == 1, "their operations")
            use(where, *(equation.invars for equation in equations))
            self._compare_parameters(where, equations)
            bind(*(equation.outvars for equation in equations))
        use((*path, "out"), *(p.outvars for p in programs))

    def _compare_parameters(self, path: Path, equations: Sequence[Any]) -> None:
        one = equations[0]
        kind, before = one.primitive.name, len(self.numbers)
        for name, first in one.params.items():
            values = [equation.params[name] for equation in equations]
            where, what = (*path, name), f"{name} of {kind}"
            if isinstance(first, ClosedJaxpr):
                self.compare_closed(where, values)
            elif isinstance(first, Jaxpr):
                self._compare(where, values)
            elif isinstance(first, tuple) and any(
                isinstance(each, ClosedJaxpr) for each in first
            ):
                _check(len({len(value) for value in values}) == 1, what)
                for branch, programs in enumerate(zip(*values)):
                    self.compare_closed((*where, branch), programs)
            elif callable(first):
                # Of calls these are for derivatives, which have been taken; all others,
                # such as callbacks, are what is run.
                same = kind in _CALLS or all(value == first for value in values)
                _check(same, what)
            elif name not in _SAID:
                _check(len({repr(value) for value in values}) == 1, what)
        known = kind in _CALLS | _LOOPS
        _check(known or len(self.numbers) == before, f"within {kind}")


def _plain(value: Any) -> np.ndarray:
    """A constant's numbers; of a key, which nothing can stand in for, an object."""
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        return np.array(np.asarray(jax.random.key_data(value)).tobytes(), object)
    return np.asarray(value)


def _of_literal(atom: Any) -> np.ndarray:
    return np.asarray(atom.val, atom.aval.dtype)


def _scan_counts(parameters: Any, values: list[Any]) -> tuple[int, int]:
    """How many operands of a loop are constants, and how many are carried."""
    if "num_consts" in parameters:
        return parameters["num_consts"], parameters["num_carry"]
    # From JAX 0.12 on they are leaves of three trees.
    consts, carried, _ = parameters["ft_in"].update(values).unpack()
    return len(list(consts)), len(list(carried))


class _Run:
    """Evaluates a program with other numbers in some places."""

    def __init__(self, numbers: Mapping[Path, Any]):
        self._numbers = numbers

    def closed(self, path: Path, program: ClosedJaxpr, values: Any) -> list[Any]:
        consts = [
            self._numbers.get((*path, "const", number), value)
            for number, value in enumerate(program.consts)
        ]
        return self._run(path, program.jaxpr, consts, values)

    def _run(self, path: Path, program: Jaxpr, consts: Any, values: Any) -> list[Any]:
        known: dict[Any, Any] = dict(zip(program.constvars, consts))
        known |= dict(zip(program.invars, values))

        def read(where: Path, atoms: Sequence[Any]) -> list[Any]:
            return [
                self._numbers.get((*where, number), atom.val)
                if isinstance(atom, Literal)
                else known[atom]
                for number, atom in enumerate(atoms)
            ]

        for number, equation in enumerate(program.eqns):
            where = (*path, number)
            operands = read(where, equation.invars)
            found = self._equation(where, equation, operands)
            known |= dict(zip(equation.outvars, found))
        return read((*path, "out"), program.outvars)

    def _equation(self, path: Path, equation: Any, values: list[Any]) -> list[Any]:
        primitive, parameters = equation.primitive, equation.params
        if primitive.name == "cond":
            return self._cond(path, parameters, values)
        if primitive.name == "while":
            return self._while(path, parameters, values)
        if primitive.name == "scan":
            return self._scan(path, parameters, values)
        if primitive.name in _CALLS:
            name = next(name for name in _BODIES if name in parameters)
            body = parameters[name]
            if isinstance(body, ClosedJaxpr):
                return self.closed((*path, name), body, values)
            return self._run((*path, name), body, [], values)
        found = primitive.bind(*values, **parameters)
        return list(found) if primitive.multiple_results else [found]

    def _cond(self, path: Path, parameters: Any, values: list[Any]) -> list[Any]:
        index, *rest = values
        branches = [
            lambda *rest, n=number, each=each: self.closed(
                (*path, "branches", n), each, rest
            )
            for number, each in enumerate(parameters["branches"])
        ]
        return list(jax.lax.switch(index, branches, *rest))

    def _while(self, path: Path, parameters: Any, values: list[Any]) -> list[Any]:
        first = parameters["cond_nconsts"]
        second = first + parameters["body_nconsts"]

        def condition(carry: Any) -> Any:
            program = parameters["cond_jaxpr"]
            where = (*path, "cond_jaxpr")
            return self.closed(where, program, [*values[:first], *carry])[0]

        def body(carry: Any) -> list[Any]:
            program = parameters["body_jaxpr"]
            where = (*path, "body_jaxpr")
            return self.closed(where, program, [*values[first:second], *carry])

        start = [jnp.asarray(value) for value in values[second:]]
        return list(jax.lax.while_loop(condition, body, start))

    def _scan(self, path: Path, parameters: Any, values: list[Any]) -> list[Any]:
        consts, carried = _scan_counts(parameters, values)
        first, second = consts, consts + carried

        def body(carry: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
            operands = [*values[:first], *carry, *slices]
            found = self.closed((*path, "jaxpr"), parameters["jaxpr"], operands)
            return found[: second - first], found[second - first :]

        carry, stacked = jax.lax.scan(
            body,
            [jnp.asarray(value) for value in values[first:second]],
            values[second:],
            length=parameters["length"],
            reverse=parameters["reverse"],
            unroll=parameters["unroll"],
        )
        return [*carry, *stacked]
