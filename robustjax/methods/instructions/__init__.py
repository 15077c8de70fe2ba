"""Instruction selection: which answers are worth training a language model on."""

from robustjax.methods.instructions._baselines import alpagasus as alpagasus
from robustjax.methods.instructions._baselines import high_quality as high_quality
from robustjax.methods.instructions._baselines import longest as longest
from robustjax.methods.instructions._baselines import low_quality as low_quality
from robustjax.methods.instructions._baselines import max_cover as max_cover
from robustjax.methods.instructions._baselines import min_cover as min_cover
from robustjax.methods.instructions._baselines import random_records as random_records
from robustjax.methods.instructions._baselines import token_counts as token_counts
from robustjax.methods.instructions._choice_questions import (
    ChoiceQuestion as ChoiceQuestion,
)
from robustjax.methods.instructions._choice_questions import (
    ChoiceQuestions as ChoiceQuestions,
)
from robustjax.methods.instructions._choice_questions import (
    load_choice_questions as load_choice_questions,
)
from robustjax.methods.instructions._diagnostics import NonRankable as NonRankable
from robustjax.methods.instructions._diagnostics import ShareKept as ShareKept
from robustjax.methods.instructions._diagnostics import answer_ranks as answer_ranks
from robustjax.methods.instructions._diagnostics import (
    covering_radius as covering_radius,
)
from robustjax.methods.instructions._diagnostics import non_rankable as non_rankable
from robustjax.methods.instructions._diagnostics import share_kept as share_kept
from robustjax.methods.instructions._endpoint import Constraint as Constraint
from robustjax.methods.instructions._endpoint import Endpoint as Endpoint
from robustjax.methods.instructions._endpoint_reply import (
    EndpointError as EndpointError,
)
from robustjax.methods.instructions._in_clusters import cluster_random as cluster_random
from robustjax.methods.instructions._in_clusters import cluster_score as cluster_score
from robustjax.methods.instructions._in_clusters import fp_instruction as fp_instruction
from robustjax.methods.instructions._in_clusters import (
    instruction_groups as instruction_groups,
)
from robustjax.methods.instructions._kemeny import kemeny_order as kemeny_order
from robustjax.methods.instructions._local_teacher import LocalModel as LocalModel
from robustjax.methods.instructions._local_teacher import (
    load_local_model as load_local_model,
)
from robustjax.methods.instructions._model_folder import (
    unpack_language_model as unpack_language_model,
)
from robustjax.methods.instructions._multiple_choice import (
    MultipleChoice as MultipleChoice,
)
from robustjax.methods.instructions._multiple_choice import (
    choice_prompt as choice_prompt,
)
from robustjax.methods.instructions._multiple_choice import (
    multiple_choice as multiple_choice,
)
from robustjax.methods.instructions._oracle_ranker import OracleRanker as OracleRanker
from robustjax.methods.instructions._pairwise import PairwiseResult as PairwiseResult
from robustjax.methods.instructions._pairwise import judge_pairs as judge_pairs
from robustjax.methods.instructions._pool import InstructionPool as InstructionPool
from robustjax.methods.instructions._pool import (
    InstructionSelection as InstructionSelection,
)
from robustjax.methods.instructions._position_bias import Call as Call
from robustjax.methods.instructions._position_bias import CallAgreement as CallAgreement
from robustjax.methods.instructions._position_bias import (
    agreement_by_calls as agreement_by_calls,
)
from robustjax.methods.instructions._position_bias import combine_calls as combine_calls
from robustjax.methods.instructions._position_bias import (
    first_by_position as first_by_position,
)
from robustjax.methods.instructions._position_bias import (
    presentation_orders as presentation_orders,
)
from robustjax.methods.instructions._prompted_ranker import Form as Form
from robustjax.methods.instructions._prompted_ranker import (
    PromptedRanker as PromptedRanker,
)
from robustjax.methods.instructions._prompted_ranker import (
    TeacherReport as TeacherReport,
)
from robustjax.methods.instructions._question import Answer as Answer
from robustjax.methods.instructions._question import Asker as Asker
from robustjax.methods.instructions._question import AskReport as AskReport
from robustjax.methods.instructions._question import Message as Message
from robustjax.methods.instructions._question import Question as Question
from robustjax.methods.instructions._ranker import Outcome as Outcome
from robustjax.methods.instructions._ranker import Ranker as Ranker
from robustjax.methods.instructions._ranker import Ranking as Ranking
from robustjax.methods.instructions._ranking_grammar import (
    ParsedRanking as ParsedRanking,
)
from robustjax.methods.instructions._ranking_grammar import (
    format_ranking as format_ranking,
)
from robustjax.methods.instructions._ranking_grammar import (
    parse_decision as parse_decision,
)
from robustjax.methods.instructions._ranking_grammar import (
    parse_ranking as parse_ranking,
)
from robustjax.methods.instructions._ranking_prompt import PromptStyle as PromptStyle
from robustjax.methods.instructions._ranking_prompt import (
    possible_answers as possible_answers,
)
from robustjax.methods.instructions._ranking_prompt import (
    ranking_messages as ranking_messages,
)
from robustjax.methods.instructions._ranking_prompt import (
    singleton_messages as singleton_messages,
)
from robustjax.methods.instructions._record_scores import RecordScores as RecordScores
from robustjax.methods.instructions._record_scores import record_scores as record_scores
from robustjax.methods.instructions._replay_ranker import ReplayRanker as ReplayRanker
from robustjax.methods.instructions._replay_ranker import save_rankings as save_rankings
from robustjax.methods.instructions._request_pace import BudgetError as BudgetError
from robustjax.methods.instructions._request_pace import Estimate as Estimate
from robustjax.methods.instructions._request_pace import Prices as Prices
from robustjax.methods.instructions._training_texts import Template as Template
from robustjax.methods.instructions._training_texts import (
    TrainingTexts as TrainingTexts,
)
from robustjax.methods.instructions._training_texts import (
    load_tokenizer as load_tokenizer,
)
from robustjax.methods.instructions._training_texts import (
    prompt_tokens as prompt_tokens,
)
from robustjax.methods.instructions._training_texts import (
    training_texts as training_texts,
)
