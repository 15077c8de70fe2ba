"""Scores from outputs and labels."""

from robustjax.scores._activations import cross_class_cosine as cross_class_cosine
from robustjax.scores._activations import mean_activation_norm as mean_activation_norm
from robustjax.scores._bias_accuracy import aligned_accuracy as aligned_accuracy
from robustjax.scores._bias_accuracy import cell_accuracies as cell_accuracies
from robustjax.scores._bias_accuracy import conflicting_accuracy as conflicting_accuracy
from robustjax.scores._bias_accuracy import unbiased_accuracy as unbiased_accuracy
from robustjax.scores._bias_accuracy import worst_cell_accuracy as worst_cell_accuracy
from robustjax.scores._bias_conflict import CONFLICT_RULES as CONFLICT_RULES
from robustjax.scores._bias_conflict import CONFLICT_SCOPES as CONFLICT_SCOPES
from robustjax.scores._bias_conflict import CONFLICT_SCORES as CONFLICT_SCORES
from robustjax.scores._bias_conflict import BiasConflicts as BiasConflicts
from robustjax.scores._bias_conflict import SplitQuality as SplitQuality
from robustjax.scores._bias_conflict import bias_conflict_scores as bias_conflict_scores
from robustjax.scores._bias_conflict import bias_swap_score as bias_swap_score
from robustjax.scores._bias_conflict import conflict_threshold as conflict_threshold
from robustjax.scores._bias_conflict import split_quality as split_quality
from robustjax.scores._class_balance import ClassBalance as ClassBalance
from robustjax.scores._class_balance import class_balance as class_balance
from robustjax.scores._class_medians import class_medians as class_medians
from robustjax.scores._class_medians import median_distances as median_distances
from robustjax.scores._confident_learning import calibrate_joint as calibrate_joint
from robustjax.scores._confident_learning import class_thresholds as class_thresholds
from robustjax.scores._confident_learning import confident_joint as confident_joint
from robustjax.scores._confident_learning import estimate_joint as estimate_joint
from robustjax.scores._confident_learning import (
    estimated_noise_rate as estimated_noise_rate,
)
from robustjax.scores._duplicates import NearDuplicates as NearDuplicates
from robustjax.scores._duplicates import exact_duplicates as exact_duplicates
from robustjax.scores._duplicates import near_duplicates as near_duplicates
from robustjax.scores._feature_correlation import (
    feature_correlations as feature_correlations,
)
from robustjax.scores._forgetting import NEVER_LEARNED as NEVER_LEARNED
from robustjax.scores._forgetting import Forgetting as Forgetting
from robustjax.scores._forgetting import forgettability as forgettability
from robustjax.scores._forgetting import forgetting_events as forgetting_events
from robustjax.scores._given_labels import check_probabilities as check_probabilities
from robustjax.scores._gradient_norms import el2n as el2n
from robustjax.scores._gradient_norms import grand as grand
from robustjax.scores._gradient_norms import last_layer_grand as last_layer_grand
from robustjax.scores._label_disagreement import label_loss as label_loss
from robustjax.scores._label_disagreement import (
    loss_minus_entropy as loss_minus_entropy,
)
from robustjax.scores._label_disagreement import loss_plus_entropy as loss_plus_entropy
from robustjax.scores._label_issues import FILTERS as FILTERS
from robustjax.scores._label_issues import find_label_issues as find_label_issues
from robustjax.scores._label_quality import QUALITY_METHODS as QUALITY_METHODS
from robustjax.scores._label_quality import label_quality_scores as label_quality_scores
from robustjax.scores._localization import BoxAccuracy as BoxAccuracy
from robustjax.scores._localization import activation_map as activation_map
from robustjax.scores._localization import boxes_from_maps as boxes_from_maps
from robustjax.scores._localization import class_activation_map as class_activation_map
from robustjax.scores._localization import (
    gt_known_localization as gt_known_localization,
)
from robustjax.scores._localization import max_box_accuracy as max_box_accuracy
from robustjax.scores._localization import normalize_map as normalize_map
from robustjax.scores._localization import resize_map as resize_map
from robustjax.scores._mixture import TwoGaussians as TwoGaussians
from robustjax.scores._mixture import fit_two_gaussians as fit_two_gaussians
from robustjax.scores._mixture import min_max_normalize as min_max_normalize
from robustjax.scores._mixture import posterior_of_lower as posterior_of_lower
from robustjax.scores._ood_detection import DetectionMetrics as DetectionMetrics
from robustjax.scores._ood_detection import energy_uncertainty as energy_uncertainty
from robustjax.scores._ood_detection import (
    max_softmax_uncertainty as max_softmax_uncertainty,
)
from robustjax.scores._ood_detection import (
    ood_detection_metrics as ood_detection_metrics,
)
from robustjax.scores._outliers import Outliers as Outliers
from robustjax.scores._outliers import find_outliers as find_outliers
from robustjax.scores._outliers import local_outlier_factor as local_outlier_factor
from robustjax.scores._outliers import mean_neighbor_distance as mean_neighbor_distance
from robustjax.scores._purity import energy_purity as energy_purity
from robustjax.scores._purity import max_softmax_purity as max_softmax_purity
from robustjax.scores._purity import nearest_in_cosine as nearest_in_cosine
from robustjax.scores._purity import nearest_ood_distance as nearest_ood_distance
from robustjax.scores._purity import react_purity as react_purity
from robustjax.scores._purity import react_threshold as react_threshold
from robustjax.scores._row_order import RowOrder as RowOrder
from robustjax.scores._row_order import row_order as row_order
from robustjax.scores._uncertainty import entropy as entropy
from robustjax.scores._uncertainty import least_confidence as least_confidence
from robustjax.scores._uncertainty import low_max_logit as low_max_logit
from robustjax.scores._uncertainty import margin_uncertainty as margin_uncertainty
