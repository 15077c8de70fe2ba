"""Scores from outputs and labels."""

from robustjax.scores.confident_learning import calibrate_joint as calibrate_joint
from robustjax.scores.confident_learning import class_thresholds as class_thresholds
from robustjax.scores.confident_learning import confident_joint as confident_joint
from robustjax.scores.confident_learning import estimate_joint as estimate_joint
from robustjax.scores.given_labels import check_probabilities as check_probabilities
from robustjax.scores.label_disagreement import label_loss as label_loss
from robustjax.scores.label_disagreement import loss_minus_entropy as loss_minus_entropy
from robustjax.scores.label_disagreement import loss_plus_entropy as loss_plus_entropy
from robustjax.scores.label_issues import FILTERS as FILTERS
from robustjax.scores.label_issues import find_label_issues as find_label_issues
from robustjax.scores.label_quality import QUALITY_METHODS as QUALITY_METHODS
from robustjax.scores.label_quality import label_quality_scores as label_quality_scores
from robustjax.scores.mixture import TwoGaussians as TwoGaussians
from robustjax.scores.mixture import fit_two_gaussians as fit_two_gaussians
from robustjax.scores.mixture import min_max_normalize as min_max_normalize
from robustjax.scores.mixture import posterior_of_lower as posterior_of_lower
from robustjax.scores.uncertainty import entropy as entropy
from robustjax.scores.uncertainty import least_confidence as least_confidence
from robustjax.scores.uncertainty import margin_uncertainty as margin_uncertainty
