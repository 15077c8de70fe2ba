"""How data goes wrong: label-noise models and their transition matrices."""

from robustjax.corruption import transitions as transitions
from robustjax.corruption._estimation import anchor_transition as anchor_transition
from robustjax.corruption._estimation import trusted_transition as trusted_transition
from robustjax.corruption._label_noise import COUNTS as COUNTS
from robustjax.corruption._label_noise import NoisyLabels as NoisyLabels
from robustjax.corruption._label_noise import asymmetric as asymmetric
from robustjax.corruption._label_noise import class_flip as class_flip
from robustjax.corruption._label_noise import from_transition as from_transition
from robustjax.corruption._label_noise import instance_dependent as instance_dependent
from robustjax.corruption._label_noise import pairflip as pairflip
from robustjax.corruption._label_noise import symmetric as symmetric
from robustjax.corruption._open_set import OpenSetPool as OpenSetPool
from robustjax.corruption._open_set import cross_dataset as cross_dataset
from robustjax.corruption._open_set import draw_classes as draw_classes
from robustjax.corruption._open_set import draw_initial as draw_initial
from robustjax.corruption._open_set import open_set_labels as open_set_labels
from robustjax.corruption._open_set import split_dataset as split_dataset
