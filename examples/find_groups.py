"""Find groups of flowers without being told their kinds, then look the kinds up."""

from __future__ import annotations

from sklearn.datasets import load_iris

from diabolo import Clusterer
from diabolo.evaluate import clustering

data = load_iris(as_frame=True)
clusterer = Clusterer("Linear", clusters=3, random_state=0).fit(data.data)
print(data.target.groupby(clusterer.labels_).value_counts().unstack(fill_value=0))

for name, figure in clustering(data.target, clusterer.labels_).items():
    print(f"{name:9} {figure.value:.3f}  ({figure.low:.3f} to {figure.high:.3f})")
