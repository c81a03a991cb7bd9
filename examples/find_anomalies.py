"""Learn one kind of cell from a table, mark those that are not like it, and say why."""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer

from diabolo import AnomalyDetector
from diabolo.evaluate import detection
from diabolo.explain import reasons
from diabolo.thresholds import false_discovery

data = load_breast_cancer(as_frame=True)
benign, malignant = data.data[data.target == 1], data.data[data.target == 0]
new = data.data.drop(benign.index[:257])
truth = data.target[new.index] == 0

detector = AnomalyDetector(random_state=0).fit(benign[:257])
scores = detector.anomaly_score(new)
for name, figure in detection(truth, scores, detector.predict(new) < 0).items():
    print(f"{name:20} {figure.value:.3f}  ({figure.low:.3f} to {figure.high:.3f})")

reported = false_discovery(detector.p_value(new), level=0.05)
benign_share = (~truth[reported]).mean()
print(f"\n{reported.sum()} rows can be reported; 5 % of them are expected to be benign, and {benign_share:.1%} are.")

strangest = new.iloc[[scores.argmax()]]
print(f"\nThe strangest of all:\n{reasons(detector, strangest)[0]}")
