"""Instruction selection: which answers are worth training a language model on."""

from robustjax.methods.instructions._baselines import alpagasus as alpagasus
from robustjax.methods.instructions._baselines import high_quality as high_quality
from robustjax.methods.instructions._baselines import longest as longest
from robustjax.methods.instructions._baselines import low_quality as low_quality
from robustjax.methods.instructions._baselines import max_cover as max_cover
from robustjax.methods.instructions._baselines import min_cover as min_cover
from robustjax.methods.instructions._baselines import random_records as random_records
from robustjax.methods.instructions._baselines import token_counts as token_counts
from robustjax.methods.instructions._diagnostics import NonRankable as NonRankable
from robustjax.methods.instructions._diagnostics import ShareKept as ShareKept
from robustjax.methods.instructions._diagnostics import answer_ranks as answer_ranks
from robustjax.methods.instructions._diagnostics import (
    covering_radius as covering_radius,
)
from robustjax.methods.instructions._diagnostics import non_rankable as non_rankable
from robustjax.methods.instructions._diagnostics import share_kept as share_kept
from robustjax.methods.instructions._in_clusters import cluster_random as cluster_random
from robustjax.methods.instructions._in_clusters import cluster_score as cluster_score
from robustjax.methods.instructions._in_clusters import fp_instruction as fp_instruction
from robustjax.methods.instructions._in_clusters import (
    instruction_groups as instruction_groups,
)
from robustjax.methods.instructions._oracle_ranker import OracleRanker as OracleRanker
from robustjax.methods.instructions._pool import InstructionPool as InstructionPool
from robustjax.methods.instructions._pool import (
    InstructionSelection as InstructionSelection,
)
from robustjax.methods.instructions._ranker import Outcome as Outcome
from robustjax.methods.instructions._ranker import Ranker as Ranker
from robustjax.methods.instructions._ranker import Ranking as Ranking
from robustjax.methods.instructions._replay_ranker import ReplayRanker as ReplayRanker
from robustjax.methods.instructions._replay_ranker import save_rankings as save_rankings
