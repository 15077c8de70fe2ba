"""Do classes of an OOD set occur among the target's, as far as names tell?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

# Words for one thing that common data sets name differently. Deliberately few:
# whether a robin is a bird, no list of names can tell.
_SYNONYMS = {
    "aeroplane": "airplane",
    "aircraft": "airplane",
    "plane": "airplane",
    "auto": "automobile",
    "car": "automobile",
    "motorcar": "automobile",
    "bike": "bicycle",
    "boat": "ship",
    "kitten": "cat",
    "kitty": "cat",
    "lorry": "truck",
    "motorbike": "motorcycle",
    "pony": "horse",
    "puppy": "dog",
}
_IRREGULAR = {
    "calves": "calf",
    "geese": "goose",
    "leaves": "leaf",
    "men": "man",
    "mice": "mouse",
    "people": "person",
    "wolves": "wolf",
    "women": "woman",
}


def check_no_class_overlap(
    target_names: Iterable[str],
    ood_names: Iterable[str],
    *,
    allow: Collection[tuple[str, str]] = (),
) -> None:
    """Checks by their names that no OOD class is one of the target's.

    An OOD set that shows a target class teaches the network to forget it (Park et al.,
    NeurIPS 2021, exclude ImageNet's birds and vehicles beside CUB and Cars; their code
    does not). Two names overlap if they agree, or one occurs in the other as whole
    words ("cat" in "tabby cat"), after: words split at everything but letters and
    digits and at capitals inside, lower case, plurals made singular, numbers dropped
    beside words ("001.Laysan_Albatross"), and a short table of synonyms (car, auto and
    motorcar are an automobile; plane, aeroplane and aircraft an airplane; boat a ship;
    lorry a truck; kitten and kitty a cat; puppy a dog; pony a horse; bike a bicycle;
    motorbike a motorcycle). So digits "0" … "9" never meet words. Kinds ("robin" and
    "bird") and compounds ("bullfrog" and "frog") are not found: leave those out by
    hand.

    Args:
      target_names: names of the target's classes.
      ood_names: names of the OOD set's.
      allow: pairs (target name, OOD name) that only look alike, such as ("dog",
        "hot dog").

    Raises:
      ValueError: overlapping names, listed as pairs.
    """
    allowed = set(allow)
    targets = [(name, _words(name)) for name in map(str, target_names)]
    others = [(name, _words(name)) for name in map(str, ood_names)]
    found = [
        (target, name)
        for target, words in targets
        for name, other in others
        if (target, name) not in allowed and _overlap(words, other)
    ]
    if found:
        shown = ", ".join(f"{a!r} ~ {b!r}" for a, b in found[:10])
        more = f" … ({len(found)} in all)" if len(found) > 10 else ""
        raise ValueError(
            f"ood_names: classes overlap with the target's ({shown}{more}); leave "
            "them out of the OOD set, or allow pairs that only look alike"
        )


def _words(name: str) -> list[set[str]]:
    """The words of a class name, each as the forms under which it is compared."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    parts = re.findall(r"[^\W_]+", spaced.lower())
    words = [part for part in parts if not part.isdigit()]
    if not words:
        # "7" and "07" are one digit.
        return [{part.lstrip("0") or "0"} for part in parts]
    return [_forms(word) for word in words]


def _forms(word: str) -> set[str]:
    """A word and what its singular may be, synonyms made one.

    All candidates rather than one guess: "houses" is "house", "buses" is "bus".
    """
    forms = {word, _IRREGULAR.get(word, word)}
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        forms.add(word[:-2])
    if len(word) > 4 and word.endswith("ies"):
        forms.add(word[:-3] + "y")
    return {_SYNONYMS.get(form, form) for form in forms}


def _overlap(first: list[set[str]], second: list[set[str]]) -> bool:
    """Whether the shorter name occurs in the longer one, words in a row."""
    short, long = sorted((first, second), key=len)
    places = range(len(long) - len(short) + 1) if short else ()
    return any(
        all(a & b for a, b in zip(short, long[start : start + len(short)]))
        for start in places
    )
