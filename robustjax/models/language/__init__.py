"""Language models of the Llama architecture, as pure functions over their weights."""

from robustjax.models.language._config import LLAMA_2_7B as LLAMA_2_7B
from robustjax.models.language._config import SMOLLM2_135M as SMOLLM2_135M
from robustjax.models.language._config import LlamaConfig as LlamaConfig
from robustjax.models.language._folder import (
    load_language_model as load_language_model,
)
from robustjax.models.language._folder import (
    save_language_model as save_language_model,
)
from robustjax.models.language._head import log_likelihoods as log_likelihoods
from robustjax.models.language._head import logits as logits
from robustjax.models.language._llama import LanguageModel as LanguageModel
from robustjax.models.language._llama import hidden_states as hidden_states
from robustjax.models.language._llama import init_language_model as init_language_model
from robustjax.models.language._lora import Lora as Lora
from robustjax.models.language._lora import init_adapters as init_adapters
from robustjax.models.language._lora import merge_adapters as merge_adapters
