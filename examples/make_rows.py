"""Make new rows, train a classifier on them alone, and test it on real rows; then ask whether rows were copied."""

from __future__ import annotations

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from diabolo import Synthesizer
from diabolo.evaluate import copying

cells = load_breast_cancer(as_frame=True).frame
cells["kind"] = cells.pop("target").map({0: "malignant", 1: "benign"})
train, test = train_test_split(cells, random_state=0)

synthesizer = Synthesizer(random_state=0).fit(train)
new = synthesizer.sample(len(train))
print(new[["mean radius", "mean texture", "kind"]].head(3).to_string(index=False))

for name, rows in {"real rows": train, "new rows": new}.items():
    forest = RandomForestClassifier(random_state=0).fit(rows.drop(columns="kind"), rows["kind"])
    print(f"trained on {name:9} {forest.score(test.drop(columns='kind'), test['kind']):.3f} of real rows told")

closer = copying(synthesizer, new, train, test)["closer_to_training"]
print(f"nearer to a training row than to an unseen one: {closer.value:.2f} ({closer.low:.2f} to {closer.high:.2f})")
