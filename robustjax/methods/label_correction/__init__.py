"""Active label correction: whose label to ask for next, and learning meanwhile."""

from robustjax.methods.label_correction._active_label_correction import (
    GRAPH_SPACES as GRAPH_SPACES,
)
from robustjax.methods.label_correction._active_label_correction import (
    ActiveLabelCorrection as ActiveLabelCorrection,
)
from robustjax.methods.label_correction._active_label_correction import (
    Propagation as Propagation,
)
from robustjax.methods.label_correction._alc import (
    ForwardCorrectedAlc as ForwardCorrectedAlc,
)
from robustjax.methods.label_correction._correction_loop import Budget as Budget
from robustjax.methods.label_correction._correction_loop import (
    CorrectionMethod as CorrectionMethod,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionRun as CorrectionRun,
)
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState as CorrectionState,
)
from robustjax.methods.label_correction._correction_loop import (
    selection_accuracy as selection_accuracy,
)
from robustjax.methods.label_correction._correction_loop import (
    simulated_oracle as simulated_oracle,
)
from robustjax.methods.label_correction._cost_budget import CostBudget as CostBudget
from robustjax.methods.label_correction._cross_validation import (
    cross_validated_probabilities as cross_validated_probabilities,
)
from robustjax.methods.label_correction._cross_validation import (
    stratified_folds as stratified_folds,
)
from robustjax.methods.label_correction._curation import Corrected as Corrected
from robustjax.methods.label_correction._curation import (
    correct_labels as correct_labels,
)
from robustjax.methods.label_correction._dalc import Dalc as Dalc
from robustjax.methods.label_correction._entries import (
    make_correction_method as make_correction_method,
)
from robustjax.methods.label_correction._hard_detection import (
    HardDetection as HardDetection,
)
from robustjax.methods.label_correction._held_out import LabelIssues as LabelIssues
from robustjax.methods.label_correction._label_exchange import (
    LabelExchange as LabelExchange,
)
from robustjax.methods.label_correction._label_ranking import (
    RankedLabels as RankedLabels,
)
from robustjax.methods.label_correction._label_ranking import rank_labels as rank_labels
from robustjax.methods.label_correction._o2u_net import O2UNet as O2UNet
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings as ClassifierSettings,
)
from robustjax.methods.label_correction._round_training import (
    EpochReport as EpochReport,
)
from robustjax.methods.label_correction._round_training import (
    RoundTrainer as RoundTrainer,
)
from robustjax.methods.label_correction._simifeat import SimiFeat as SimiFeat
