"""Published methods, assembled from the floors below; one file each."""

from robustjax.methods import simclr as simclr
from robustjax.methods.active_label_correction import (
    ActiveLabelCorrection as ActiveLabelCorrection,
)
from robustjax.methods.active_label_correction import Propagation as Propagation
from robustjax.methods.correction_arms import ARM_NAMES as ARM_NAMES
from robustjax.methods.correction_arms import ArmOptions as ArmOptions
from robustjax.methods.correction_arms import make_arm as make_arm
from robustjax.methods.correction_loop import Budget as Budget
from robustjax.methods.correction_loop import CorrectionRun as CorrectionRun
from robustjax.methods.correction_loop import CorrectionState as CorrectionState
from robustjax.methods.correction_loop import selection_accuracy as selection_accuracy
from robustjax.methods.correction_loop import simulated_oracle as simulated_oracle
from robustjax.methods.curation import Corrected as Corrected
from robustjax.methods.curation import LabelExchange as LabelExchange
from robustjax.methods.curation import correct_labels as correct_labels
from robustjax.methods.dalc import Dalc as Dalc
from robustjax.methods.hard_detection import HardDetection as HardDetection
from robustjax.methods.label_ranking import RankedLabels as RankedLabels
from robustjax.methods.label_ranking import rank_labels as rank_labels
from robustjax.methods.o2u_net import O2UNet as O2UNet
from robustjax.methods.round_training import ClassifierSettings as ClassifierSettings
from robustjax.methods.round_training import RoundTrainer as RoundTrainer
from robustjax.methods.simifeat import SimiFeat as SimiFeat
