"""Neighbour graphs, their Laplacian, and diffusion on them."""

from robustjax.graph.diffusion import ClampedDiffusion as ClampedDiffusion
from robustjax.graph.diffusion import clamped_diffusion as clamped_diffusion
from robustjax.graph.diffusion import diffuse as diffuse
from robustjax.graph.laplacian import NeighborGraph as NeighborGraph
from robustjax.graph.laplacian import graph_from_neighbors as graph_from_neighbors
from robustjax.graph.laplacian import neighbor_graph as neighbor_graph
from robustjax.graph.laplacian import symmetric_edges as symmetric_edges
from robustjax.graph.matvec import SplitRows as SplitRows
from robustjax.graph.matvec import matvec as matvec
from robustjax.graph.matvec import split_rows as split_rows
from robustjax.graph.neighbors import Neighbors as Neighbors
from robustjax.graph.neighbors import mean_pairwise_distance as mean_pairwise_distance
from robustjax.graph.neighbors import nearest_neighbors as nearest_neighbors
