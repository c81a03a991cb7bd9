"""Choose a variant for a table, see how it does beside PCA, fit it, and look at what speaks against the fit."""

from __future__ import annotations

from sklearn.datasets import load_wine

from diabolo import choose

rows = load_wine(as_frame=True).data
advice = choose(rows, "embed")
print(advice)
for line in advice.table():
    print(*(f"{cell:24}" for cell in line))

embedder = advice.task(random_state=0).fit(rows)
findings = embedder.diagnose()
print(*findings or ["Nothing speaks against the fit."], sep="\n")

later = rows.assign(alcohol=rows["alcohol"] * 10)  # in other units than those of the fit
print(*embedder.diagnose(later), sep="\n")
