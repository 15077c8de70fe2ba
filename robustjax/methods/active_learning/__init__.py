"""Open-set active learning: what to label in a pool that is full of junk."""

from robustjax.methods.active_learning import _csi as _csi
from robustjax.methods.active_learning._csi import csi as csi
from robustjax.methods.active_learning._csi import csi_optimizer as csi_optimizer
from robustjax.methods.active_learning._entries import make_strategy as make_strategy
from robustjax.methods.active_learning._learning_loss import (
    learning_loss as learning_loss,
)
from robustjax.methods.active_learning._mqnet_meta import (
    convert_scores as convert_scores,
)
from robustjax.methods.active_learning._mqnet_meta import fit_mqnet as fit_mqnet
from robustjax.methods.active_learning._mqnet_meta import mqnet_scores as mqnet_scores
from robustjax.methods.active_learning._mqnet_rounds import (
    iso_score_slope as iso_score_slope,
)
from robustjax.methods.active_learning._mqnet_rounds import (
    next_meta_model as next_meta_model,
)
from robustjax.methods.active_learning._mqnet_rounds import query_scores as query_scores
from robustjax.methods.active_learning._mqnet_rounds import (
    score_surface as score_surface,
)
from robustjax.methods.active_learning._open_set_budget import (
    OpenSetBudget as OpenSetBudget,
)
from robustjax.methods.active_learning._open_set_exchange import OOD_NAME as OOD_NAME
from robustjax.methods.active_learning._open_set_exchange import (
    OpenSetExchange as OpenSetExchange,
)
from robustjax.methods.active_learning._open_set_exchange import (
    check_batch as check_batch,
)
from robustjax.methods.active_learning._open_set_exchange import (
    check_class_names as check_class_names,
)
from robustjax.methods.active_learning._open_set_exchange import (
    exchange_purpose as exchange_purpose,
)
from robustjax.methods.active_learning._open_set_loop import OpenSetRun as OpenSetRun
from robustjax.methods.active_learning._open_set_round import HELD_OUT as HELD_OUT
from robustjax.methods.active_learning._open_set_round import SKIPPED as SKIPPED
from robustjax.methods.active_learning._open_set_round import UNASKED as UNASKED
from robustjax.methods.active_learning._open_set_round import WANTS as WANTS
from robustjax.methods.active_learning._open_set_round import Observation as Observation
from robustjax.methods.active_learning._open_set_round import (
    QueryStrategy as QueryStrategy,
)
from robustjax.methods.active_learning._open_set_round import (
    ValidationSet as ValidationSet,
)
from robustjax.methods.active_learning._open_set_simulation import (
    query_precision as query_precision,
)
from robustjax.methods.active_learning._open_set_simulation import (
    run_rounds as run_rounds,
)
from robustjax.methods.active_learning._open_set_state import (
    OpenSetState as OpenSetState,
)
from robustjax.methods.active_learning._open_set_state import Proposal as Proposal
from robustjax.methods.active_learning._pool_classifier import (
    NetworkPoolClassifier as NetworkPoolClassifier,
)
from robustjax.methods.active_learning._pool_embeddings import (
    pool_embeddings as pool_embeddings,
)
from robustjax.methods.active_learning._query_mqnet import RANKED_BY as RANKED_BY
from robustjax.methods.active_learning._query_mqnet import MQNetNotes as MQNetNotes
from robustjax.methods.active_learning._query_mqnet import MQNetQuery as MQNetQuery
