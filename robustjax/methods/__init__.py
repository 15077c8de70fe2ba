"""Published methods, assembled from the floors below: a room per family."""

from robustjax.methods import active_learning as active_learning
from robustjax.methods import bias as bias
from robustjax.methods import features as features
from robustjax.methods import instructions as instructions
from robustjax.methods import label_correction as label_correction
from robustjax.methods import label_noise as label_noise
from robustjax.methods import pruning as pruning
from robustjax.methods import registry as registry
from robustjax.methods.active_learning import (
    NetworkPoolClassifier as NetworkPoolClassifier,
)
from robustjax.methods.active_learning import OpenSetBudget as OpenSetBudget
from robustjax.methods.active_learning import OpenSetExchange as OpenSetExchange
from robustjax.methods.active_learning import OpenSetRun as OpenSetRun
from robustjax.methods.active_learning import OpenSetState as OpenSetState
from robustjax.methods.active_learning import ValidationSet as ValidationSet
from robustjax.methods.active_learning import _csi as _csi
from robustjax.methods.active_learning import convert_scores as convert_scores
from robustjax.methods.active_learning import csi as csi
from robustjax.methods.active_learning import csi_optimizer as csi_optimizer
from robustjax.methods.active_learning import fit_mqnet as fit_mqnet
from robustjax.methods.active_learning import iso_score_slope as iso_score_slope
from robustjax.methods.active_learning import learning_loss as learning_loss
from robustjax.methods.active_learning import make_strategy as make_strategy
from robustjax.methods.active_learning import mqnet_scores as mqnet_scores
from robustjax.methods.active_learning import next_meta_model as next_meta_model
from robustjax.methods.active_learning import pool_embeddings as pool_embeddings
from robustjax.methods.active_learning import query_scores as query_scores
from robustjax.methods.active_learning import run_rounds as run_rounds
from robustjax.methods.active_learning import score_surface as score_surface
from robustjax.methods.features import ContrastiveNetwork as ContrastiveNetwork
from robustjax.methods.features import FrozenFeatures as FrozenFeatures
from robustjax.methods.features import _adversarial as _adversarial
from robustjax.methods.features import _feature_debiasing as _feature_debiasing
from robustjax.methods.features import _fine_tuning as _fine_tuning
from robustjax.methods.features import _simclr as _simclr
from robustjax.methods.features import adversarial_accuracy as adversarial_accuracy
from robustjax.methods.features import encode as encode
from robustjax.methods.features import encoder_variables as encoder_variables
from robustjax.methods.features import feature_debiasing as feature_debiasing
from robustjax.methods.features import feature_pass as feature_pass
from robustjax.methods.features import linear_probe as linear_probe
from robustjax.methods.features import mix_match as mix_match
from robustjax.methods.features import network_outputs as network_outputs
from robustjax.methods.features import pgd as pgd
from robustjax.methods.features import simclr as simclr
from robustjax.methods.features import train_simclr as train_simclr
from robustjax.methods.features import with_pretrained as with_pretrained
from robustjax.methods.features import with_roles as with_roles
from robustjax.methods.label_correction import (
    ActiveLabelCorrection as ActiveLabelCorrection,
)
from robustjax.methods.label_correction import Budget as Budget
from robustjax.methods.label_correction import ClassifierSettings as ClassifierSettings
from robustjax.methods.label_correction import Corrected as Corrected
from robustjax.methods.label_correction import CorrectionRun as CorrectionRun
from robustjax.methods.label_correction import CorrectionState as CorrectionState
from robustjax.methods.label_correction import CostBudget as CostBudget
from robustjax.methods.label_correction import Dalc as Dalc
from robustjax.methods.label_correction import HardDetection as HardDetection
from robustjax.methods.label_correction import LabelExchange as LabelExchange
from robustjax.methods.label_correction import LabelIssues as LabelIssues
from robustjax.methods.label_correction import O2UNet as O2UNet
from robustjax.methods.label_correction import Propagation as Propagation
from robustjax.methods.label_correction import RankedLabels as RankedLabels
from robustjax.methods.label_correction import RoundTrainer as RoundTrainer
from robustjax.methods.label_correction import SimiFeat as SimiFeat
from robustjax.methods.label_correction import correct_labels as correct_labels
from robustjax.methods.label_correction import (
    cross_validated_probabilities as cross_validated_probabilities,
)
from robustjax.methods.label_correction import (
    make_correction_method as make_correction_method,
)
from robustjax.methods.label_correction import rank_labels as rank_labels
from robustjax.methods.label_correction import selection_accuracy as selection_accuracy
from robustjax.methods.label_correction import simulated_oracle as simulated_oracle
from robustjax.methods.label_correction import stratified_folds as stratified_folds
from robustjax.methods.label_noise import ROBUST_LOSSES as ROBUST_LOSSES
from robustjax.methods.label_noise import co_teaching as co_teaching
from robustjax.methods.label_noise import co_teaching_optimizer as co_teaching_optimizer
from robustjax.methods.label_noise import corrected_labels as corrected_labels
from robustjax.methods.label_noise import divide_mix as divide_mix
from robustjax.methods.label_noise import elr_plus as elr_plus
from robustjax.methods.label_noise import heteroscedastic as heteroscedastic
from robustjax.methods.label_noise import jocor as jocor
from robustjax.methods.label_noise import noise_adaptation as noise_adaptation
from robustjax.methods.label_noise import robust_loss as robust_loss
from robustjax.methods.label_noise import self_learning as self_learning
from robustjax.methods.label_noise import sop_plus as sop_plus
from robustjax.methods.label_noise import transition_training as transition_training
from robustjax.methods.registry import FAMILIES as FAMILIES
from robustjax.methods.registry import NEEDS as NEEDS
from robustjax.methods.registry import REGISTRY as REGISTRY
from robustjax.methods.registry import ROLES as ROLES
from robustjax.methods.registry import Entry as Entry
from robustjax.methods.registry import Option as Option
from robustjax.methods.registry import entries as entries
from robustjax.methods.registry import entry as entry
