"""Scores and embeddings in, indices out."""

from robustjax.selection.badge import badge as badge
from robustjax.selection.ccal import ccal as ccal
from robustjax.selection.coverage_centric import coverage_centric as coverage_centric
from robustjax.selection.entropy_propagation import (
    propagate_entropy as propagate_entropy,
)
from robustjax.selection.greedy import Selection as Selection
from robustjax.selection.greedy import budget_from_fraction as budget_from_fraction
from robustjax.selection.k_center import k_center as k_center
from robustjax.selection.log_det import log_det_cmi as log_det_cmi
from robustjax.selection.neighborhood_confidence import (
    neighborhood_confidence as neighborhood_confidence,
)
from robustjax.selection.prototype_distance import (
    prototype_distances as prototype_distances,
)
from robustjax.selection.prune4rel import prune4rel as prune4rel
from robustjax.selection.prune4rel import prune4rel_bytes as prune4rel_bytes
from robustjax.selection.prune4rel import prune4rel_estimate as prune4rel_estimate
from robustjax.selection.pruning import PRUNING_METHODS as PRUNING_METHODS
from robustjax.selection.pruning import PruningMethod as PruningMethod
from robustjax.selection.pruning import check_pruning as check_pruning
from robustjax.selection.pruning import select as select
from robustjax.selection.pruning_rules import confidence_of as confidence_of
from robustjax.selection.ranking import rank_by_class as rank_by_class
from robustjax.selection.submodular import (
    facility_location_cg as facility_location_cg,
)
from robustjax.selection.submodular import (
    facility_location_cmi as facility_location_cmi,
)
from robustjax.selection.top import fast_argmax as fast_argmax
from robustjax.selection.top import top_available as top_available
