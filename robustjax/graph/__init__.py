"""Neighbour graphs, their Laplacian, and diffusion on them."""

from robustjax.graph._diffusion import ClampedDiffusion as ClampedDiffusion
from robustjax.graph._diffusion import clamped_diffusion as clamped_diffusion
from robustjax.graph._diffusion import diffuse as diffuse
from robustjax.graph._laplacian import NeighborGraph as NeighborGraph
from robustjax.graph._laplacian import graph_from_neighbors as graph_from_neighbors
from robustjax.graph._laplacian import neighbor_graph as neighbor_graph
from robustjax.graph._laplacian import symmetric_edges as symmetric_edges
from robustjax.graph._matvec import SplitRows as SplitRows
from robustjax.graph._matvec import matvec as matvec
from robustjax.graph._matvec import split_rows as split_rows
from robustjax.graph._neighbors import Neighbors as Neighbors
from robustjax.graph._neighbors import mean_pairwise_distance as mean_pairwise_distance
from robustjax.graph._neighbors import nearest_neighbors as nearest_neighbors
