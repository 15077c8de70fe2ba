"""Instruction selection: which answers are worth training a language model on."""

from robustjax.methods.instructions._ranker import Outcome as Outcome
from robustjax.methods.instructions._ranker import Ranker as Ranker
from robustjax.methods.instructions._ranker import Ranking as Ranking
