"""Scores from outputs and labels."""

from robustjax.scores.label_disagreement import label_loss as label_loss
from robustjax.scores.label_disagreement import loss_minus_entropy as loss_minus_entropy
from robustjax.scores.label_disagreement import loss_plus_entropy as loss_plus_entropy
from robustjax.scores.uncertainty import entropy as entropy
from robustjax.scores.uncertainty import least_confidence as least_confidence
from robustjax.scores.uncertainty import margin_uncertainty as margin_uncertainty
