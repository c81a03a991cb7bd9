"""How good a model is: scores, clusters and codes against labels or known factors, rows against a likelihood, new rows
against real ones, codes by themselves.

detection                        scores and decisions against labels
clustering, embedding            clusters and codes against labels
mutual_information_gap, sap,     codes against known factors, such as those of ``shapes``
dci, factor_vae_score, infomec
stability                        codes of several fits against each other
generation                       new rows against real ones
copying                          new rows against those they were learned from
association                      how strongly columns go together
importance_bound                 -log p of rows
compression                      bits of rows, beside zlib and lzma
activity, usage                  how much of a random or a discrete code is in use
fidelity, atoms, ...             dictionaries
"""

from __future__ import annotations

from diabolo.evaluate.agreement import linear_cka, matched_correlation, stability
from diabolo.evaluate.associations import association
from diabolo.evaluate.atoms import Fidelity, atoms, fidelity, mean_max_cosine, sparse_probing
from diabolo.evaluate.bits import Compression, compression
from diabolo.evaluate.bound import importance_bound
from diabolo.evaluate.collapse import Activity, active_units, activity
from diabolo.evaluate.disentanglement import (
    DCI,
    InfoMEC,
    dci,
    factor_vae_score,
    infomec,
    mutual_information_gap,
    sap,
)
from diabolo.evaluate.estimates import Estimate
from diabolo.evaluate.factors import Shapes, shapes
from diabolo.evaluate.likeness import (
    DensityCoverage,
    Generation,
    PrecisionRecall,
    density_coverage,
    frechet_distance,
    generation,
    precision_recall,
)
from diabolo.evaluate.representation import clustering, copying, embedding
from diabolo.evaluate.scores import anomalies, detection
from diabolo.evaluate.tasks import judged, read
from diabolo.evaluate.tokens import Usage, usage

__all__ = [
    "DCI",
    "Activity",
    "Compression",
    "DensityCoverage",
    "Estimate",
    "Fidelity",
    "Generation",
    "InfoMEC",
    "PrecisionRecall",
    "Shapes",
    "Usage",
    "active_units",
    "activity",
    "anomalies",
    "association",
    "atoms",
    "clustering",
    "compression",
    "copying",
    "dci",
    "density_coverage",
    "detection",
    "embedding",
    "factor_vae_score",
    "fidelity",
    "frechet_distance",
    "generation",
    "importance_bound",
    "infomec",
    "judged",
    "linear_cka",
    "matched_correlation",
    "mean_max_cosine",
    "mutual_information_gap",
    "precision_recall",
    "read",
    "sap",
    "shapes",
    "sparse_probing",
    "stability",
    "usage",
]
