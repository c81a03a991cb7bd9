"""How good a model is: scores, clusters and codes against labels, rows against a likelihood, codes by themselves.

detection                scores and decisions against labels
clustering, embedding    clusters and codes against labels
copying                  new rows against those they were learned from
importance_bound         -log p of rows
usage                    how many tokens a discrete code uses
fidelity, atoms, ...     dictionaries
"""

from __future__ import annotations

from diabolo.evaluate.atoms import Fidelity, atoms, fidelity, mean_max_cosine, sparse_probing
from diabolo.evaluate.bound import importance_bound
from diabolo.evaluate.estimates import Estimate
from diabolo.evaluate.representation import clustering, copying, embedding
from diabolo.evaluate.scores import anomalies, detection
from diabolo.evaluate.tasks import judged, read
from diabolo.evaluate.tokens import Usage, usage

__all__ = [
    "Estimate",
    "Fidelity",
    "Usage",
    "anomalies",
    "atoms",
    "clustering",
    "copying",
    "detection",
    "embedding",
    "fidelity",
    "importance_bound",
    "judged",
    "mean_max_cosine",
    "read",
    "sparse_probing",
    "usage",
]
