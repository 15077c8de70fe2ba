"""Which classes are IN in the published trials of open-set active learning.

The trials of Park et al., "Meta-Query-Net" (NeurIPS 2022), from the authors' public
code: five of CIFAR-10 and CIFAR-100 (fine labels), one of ImageNet (positions in the
sorted list of synsets). All other classes are OOD.
"""

from __future__ import annotations

Splits = tuple[tuple[int, ...], ...]

# fmt: off
CIFAR10: Splits = (
    (2, 4, 5, 7),
    (1, 2, 5, 7),
    (2, 3, 4, 6),
    (1, 3, 8, 9),
    (2, 3, 5, 9),
)

CIFAR100: Splits = (
    (1, 3, 4, 5, 7, 8, 18, 20, 21, 22, 25, 27, 30, 33, 34, 43, 46, 48, 50, 55, 57, 60,
     62, 63, 66, 68, 69, 72, 74, 75, 76, 77, 81, 82, 83, 86, 88, 89, 93, 98),
    (3, 10, 11, 13, 18, 20, 22, 23, 26, 27, 29, 30, 33, 35, 37, 39, 45, 47, 49, 50, 53,
     60, 61, 62, 67, 68, 70, 72, 73, 74, 75, 79, 82, 86, 88, 89, 90, 92, 94, 96),
    (2, 5, 8, 10, 11, 13, 14, 16, 20, 22, 25, 26, 28, 35, 38, 39, 42, 43, 46, 48, 50,
     52, 53, 54, 55, 58, 59, 60, 61, 66, 67, 70, 71, 73, 74, 77, 78, 80, 90, 91),
    (0, 1, 3, 7, 8, 10, 11, 12, 17, 23, 25, 26, 27, 30, 37, 42, 45, 47, 52, 53, 54, 56,
     57, 60, 61, 65, 74, 75, 76, 84, 86, 87, 90, 91, 93, 94, 96, 97, 98, 99),
    (0, 1, 4, 5, 7, 9, 12, 19, 21, 22, 23, 24, 38, 41, 42, 43, 46, 47, 48, 51, 55, 59,
     60, 62, 68, 73, 75, 78, 79, 80, 81, 85, 86, 90, 91, 94, 95, 96, 97, 98),
)

IMAGENET50: Splits = (
    (5, 11, 42, 54, 68, 85, 91, 95, 100, 106, 173, 184, 226, 246, 263, 297, 304, 367,
     406, 429, 445, 487, 497, 503, 516, 523, 528, 533, 548, 572, 574, 579, 584, 650,
     669, 676, 689, 744, 781, 826, 831, 859, 886, 919, 924, 936, 955, 958, 967, 983),
)
# fmt: on

CLASS_SPLITS: dict[str, tuple[int, Splits]] = {
    "cifar10": (10, CIFAR10),
    "cifar100": (100, CIFAR100),
    "imagenet50": (1000, IMAGENET50),
}
"""Name -> the number of classes that the data set must have, and the trials."""
