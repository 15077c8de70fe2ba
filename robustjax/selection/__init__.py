"""Scores and embeddings in, indices out."""

from robustjax.selection._badge import badge as badge
from robustjax.selection._ccal import ccal as ccal
from robustjax.selection._class_turns import even_turns as even_turns
from robustjax.selection._coverage_centric import coverage_centric as coverage_centric
from robustjax.selection._entropy_propagation import MODES as MODES
from robustjax.selection._entropy_propagation import (
    propagate_entropy as propagate_entropy,
)
from robustjax.selection._facility_location import (
    facility_location_cg as facility_location_cg,
)
from robustjax.selection._facility_location import (
    facility_location_cmi as facility_location_cmi,
)
from robustjax.selection._facility_location import (
    facility_location_qmi as facility_location_qmi,
)
from robustjax.selection._greedy import Progress as Progress
from robustjax.selection._greedy import Selection as Selection
from robustjax.selection._greedy import budget_from_fraction as budget_from_fraction
from robustjax.selection._greedy import check_features as check_features
from robustjax.selection._k_center import k_center as k_center
from robustjax.selection._log_det import log_det_cmi as log_det_cmi
from robustjax.selection._neighborhood_confidence import (
    neighborhood_confidence as neighborhood_confidence,
)
from robustjax.selection._prototype_distance import (
    prototype_distances as prototype_distances,
)
from robustjax.selection._prune4rel import RANKINGS as RANKINGS
from robustjax.selection._prune4rel import prune4rel as prune4rel
from robustjax.selection._prune4rel import prune4rel_bytes as prune4rel_bytes
from robustjax.selection._prune4rel import prune4rel_estimate as prune4rel_estimate
from robustjax.selection._pruning import BALANCE_LABELS as BALANCE_LABELS
from robustjax.selection._pruning import PRUNING_METHODS as PRUNING_METHODS
from robustjax.selection._pruning import PruningMethod as PruningMethod
from robustjax.selection._pruning import check_pruning as check_pruning
from robustjax.selection._pruning import select as select
from robustjax.selection._pruning_options import CONFIDENCES as CONFIDENCES
from robustjax.selection._pruning_options import KEEPS as KEEPS
from robustjax.selection._pruning_options import (
    check_pruning_option as check_pruning_option,
)
from robustjax.selection._pruning_rules import confidence_of as confidence_of
from robustjax.selection._ranking import rank_by_class as rank_by_class
from robustjax.selection._size_constrained_kmeans import SizedClusters as SizedClusters
from robustjax.selection._size_constrained_kmeans import (
    size_constrained_kmeans as size_constrained_kmeans,
)
from robustjax.selection._top import fast_argmax as fast_argmax
from robustjax.selection._top import top_available as top_available
from robustjax.selection._within_budget import Spending as Spending
from robustjax.selection._within_budget import most_within_budget as most_within_budget
from robustjax.selection._within_budget import top_within_budget as top_within_budget
