"""Published methods, assembled from the floors below; one file each."""

from robustjax.methods import adversarial as adversarial
from robustjax.methods import csi as csi
from robustjax.methods import feature_debiasing as feature_debiasing
from robustjax.methods import fine_tuning as fine_tuning
from robustjax.methods import simclr as simclr
from robustjax.methods.active_label_correction import (
    ActiveLabelCorrection as ActiveLabelCorrection,
)
from robustjax.methods.active_label_correction import Propagation as Propagation
from robustjax.methods.co_teaching import co_teaching as co_teaching
from robustjax.methods.co_teaching import co_teaching_optimizer as co_teaching_optimizer
from robustjax.methods.correction_arms import ARM_NAMES as ARM_NAMES
from robustjax.methods.correction_arms import ArmOptions as ArmOptions
from robustjax.methods.correction_arms import make_arm as make_arm
from robustjax.methods.correction_loop import Budget as Budget
from robustjax.methods.correction_loop import CorrectionRun as CorrectionRun
from robustjax.methods.correction_loop import CorrectionState as CorrectionState
from robustjax.methods.correction_loop import selection_accuracy as selection_accuracy
from robustjax.methods.correction_loop import simulated_oracle as simulated_oracle
from robustjax.methods.cross_validation import (
    cross_validated_probabilities as cross_validated_probabilities,
)
from robustjax.methods.cross_validation import stratified_folds as stratified_folds
from robustjax.methods.curation import Corrected as Corrected
from robustjax.methods.curation import LabelExchange as LabelExchange
from robustjax.methods.curation import correct_labels as correct_labels
from robustjax.methods.dalc import Dalc as Dalc
from robustjax.methods.divide_mix import divide_mix as divide_mix
from robustjax.methods.elr_plus import elr_plus as elr_plus
from robustjax.methods.hard_detection import HardDetection as HardDetection
from robustjax.methods.heteroscedastic import heteroscedastic as heteroscedastic
from robustjax.methods.jocor import jocor as jocor
from robustjax.methods.label_ranking import RankedLabels as RankedLabels
from robustjax.methods.label_ranking import rank_labels as rank_labels
from robustjax.methods.learning_loss import learning_loss as learning_loss
from robustjax.methods.mix_match import mix_match as mix_match
from robustjax.methods.mqnet_meta import convert_scores as convert_scores
from robustjax.methods.mqnet_meta import fit_mqnet as fit_mqnet
from robustjax.methods.mqnet_meta import mqnet_scores as mqnet_scores
from robustjax.methods.mqnet_rounds import iso_score_slope as iso_score_slope
from robustjax.methods.mqnet_rounds import next_meta_model as next_meta_model
from robustjax.methods.mqnet_rounds import query_scores as query_scores
from robustjax.methods.mqnet_rounds import score_surface as score_surface
from robustjax.methods.noise_adaptation import noise_adaptation as noise_adaptation
from robustjax.methods.o2u_net import O2UNet as O2UNet
from robustjax.methods.open_set_budget import OpenSetBudget as OpenSetBudget
from robustjax.methods.open_set_exchange import OpenSetExchange as OpenSetExchange
from robustjax.methods.open_set_loop import OpenSetRun as OpenSetRun
from robustjax.methods.open_set_loop import OpenSetState as OpenSetState
from robustjax.methods.open_set_simulation import run_rounds as run_rounds
from robustjax.methods.pool_classifier import (
    NetworkPoolClassifier as NetworkPoolClassifier,
)
from robustjax.methods.pool_embeddings import pool_embeddings as pool_embeddings
from robustjax.methods.query_strategies import STRATEGIES as STRATEGIES
from robustjax.methods.query_strategies import make_strategy as make_strategy
from robustjax.methods.query_strategies import strategy_options as strategy_options
from robustjax.methods.robust_losses import ROBUST_LOSSES as ROBUST_LOSSES
from robustjax.methods.robust_losses import robust_loss as robust_loss
from robustjax.methods.round_training import ClassifierSettings as ClassifierSettings
from robustjax.methods.round_training import RoundTrainer as RoundTrainer
from robustjax.methods.self_learning import corrected_labels as corrected_labels
from robustjax.methods.self_learning import self_learning as self_learning
from robustjax.methods.simifeat import SimiFeat as SimiFeat
from robustjax.methods.sop_plus import sop_plus as sop_plus
from robustjax.methods.transition_training import (
    transition_training as transition_training,
)
