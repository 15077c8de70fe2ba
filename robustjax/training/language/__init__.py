"""Supervised fine-tuning of language models, whole or by low-rank adapters."""

from robustjax.training.language._answers import AnswerLosses as AnswerLosses
from robustjax.training.language._answers import answer_losses as answer_losses
from robustjax.training.language._answers import (
    next_token_log_likelihoods as next_token_log_likelihoods,
)
from robustjax.training.language._fine_tune import FineTuned as FineTuned
from robustjax.training.language._fine_tune import fine_tune as fine_tune
from robustjax.training.language._gradients import (
    per_example_lora_gradients as per_example_lora_gradients,
)
from robustjax.training.language._objective import Average as Average
from robustjax.training.language._objective import Form as Form
from robustjax.training.language._objective import Objective as Objective
from robustjax.training.language._recipes import RECIPES as RECIPES
from robustjax.training.language._recipes import FineTuningRecipe as FineTuningRecipe
from robustjax.training.language._rows import TokenRows as TokenRows
from robustjax.training.language._rows import TokenText as TokenText
from robustjax.training.language._rows import packed_rows as packed_rows
from robustjax.training.language._rows import padded_rows as padded_rows
from robustjax.training.language._text_losses import sequence_logits as sequence_logits
