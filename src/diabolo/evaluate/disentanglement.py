"""Whether each code number tells one known factor: five published measures, each with its protocol and its flaws.

``codes`` (n, latent) are numbers, the means where they are drawn; ``factors`` (n, factors) are levels or names, one
column per factor. Where there are more rows than a protocol takes, ``seed`` draws some. All raise InvalidData for rows
that do not match, fewer than two code numbers or factors, values that are not finite, or a factor of one level.

On other data than images that were made, factors are hardly ever known. No measure is more than a comparison between
codes of the same data, over five seeds or more: seeds differ as much as methods do (Locatello et al., 2019,
arXiv:1811.12359).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diabolo.errors import InvalidData, InvalidParameter

if TYPE_CHECKING:
    from jaxtyping import Float

POINTS = 10_000  # rows that are learned from, or counted
JUDGED = 5_000  # rows that are judged
VOTES = (10_000, 5_000)  # to learn from and to judge
TOGETHER = 64  # rows that agree in one factor and give one vote
IDLE = 0.05  # share of the largest spread below which a code number is idle
NEIGHBOURS = 10
CELLS = 4_000_000  # values held at once


class DCI(NamedTuple):
    """Disentanglement, completeness and informativeness, each from 0 to 1."""

    disentanglement: float
    completeness: float
    informativeness: float


class InfoMEC(NamedTuple):
    """Modularity, explicitness and compactness; 1 is best."""

    modularity: float
    explicitness: float
    compactness: float


def mutual_information_gap(codes: Any, factors: Any, *, bins: int = 20, seed: int = 0) -> float:
    """MIG: how much more the best code number tells of a factor than the second best (Chen et al., 2018,
    arXiv:1802.04942).

    ``mean over factors k of (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)`` with a, b the two numbers that tell most; these are
    cut into ``bins`` of equal width, over 10,000 rows. It lies in 0 to 1.

    Flaws: a factor with more levels than ``bins`` cannot reach 1; one outlier widens all bins; a number that tells
    several factors is not held against it; a factor spread over two numbers gets 0, however well these are apart from
    the other factors.

    >>> factors = np.random.default_rng(0).integers(4, size=(500, 3))
    >>> round(mutual_information_gap(factors, factors), 2), mutual_information_gap(factors[:, [0, 0, 1, 1]], factors)
    (0.99, 0.0)
    """
    codes, factors = _some(*_checked(codes, factors), POINTS, seed)
    cut = np.stack([_binned(each, bins) for each in codes.T], 1)
    told = np.sort(_informations(cut, factors), 0)
    return float(((told[-1] - told[-2]) / _entropies(factors)).mean())


def sap(codes: Any, factors: Any, *, continuous: bool = False, seed: int = 0) -> float:
    """SAP: how much better the best code number predicts a factor than the second best (Kumar et al., 2018,
    arXiv:1711.00848).

    The mean over the factors of the difference of two scores. A number's score is the accuracy of a linear support
    vector machine (C = 0.01, classes weighed alike) that reads it alone, learned from 10,000 rows and judged on 5,000
    others; with ``continuous`` factors it is their squared correlation, of names that of their places in the alphabet.

    Flaws: accuracies start at chance, so that a factor of K even levels reaches 1 - 1/K at best; lines cannot tell a
    level in the middle from its neighbours; values are small (0.01 to 0.1 on dSprites) and close to each other. In the
    published code they change with the scale of the codes; here these are standardised first.

    >>> factors = np.random.default_rng(0).integers(2, size=(600, 2))
    >>> 0.4 < sap(factors, factors) < 0.6, sap(factors, factors, continuous=True) > 0.9
    (True, True)
    """
    train, test = _parted(*_checked(codes, factors, ranked=not continuous), seed)
    if continuous:
        scores = _correlations(*train) ** 2
    else:
        scores = np.array([[_accuracy(train, test, i, k) for k in range(train[1].shape[1])] for i in _each(train[0])])
    scores = np.sort(scores, 0)
    return float((scores[-1] - scores[-2]).mean())


def dci(codes: Any, factors: Any, *, trees: int = 100, seed: int = 0) -> DCI:
    """Whether a code number tells one factor, a factor is told by one number, and all are told (Eastwood & Williams,
    2018, "A framework for the quantitative evaluation of disentangled representations").

    Gradient boosted ``trees`` (scikit-learn's defaults) learn each factor k from the codes of 10,000 rows; R_ik is the
    importance of number i for it. ``disentanglement = sum_i w_i (1 - H(R_i. / sum) / log factors)`` with w_i the share
    of number i in all importance, ``completeness`` the same along the other axis, ``informativeness`` the mean accuracy
    on 5,000 other rows.

    Flaws: the figures depend on the learner, and importances of trees on noise are not 0; a number of little weight may
    mix all factors unnoticed; and it is slow, as a factor of K levels takes K * ``trees`` trees (minutes for the levels
    of dSprites).

    >>> factors = np.random.default_rng(0).integers(2, size=(300, 2))
    >>> DCI(*(round(each, 2) for each in dci(factors, factors, trees=5)))
    DCI(disentanglement=1.0, completeness=1.0, informativeness=1.0)
    """
    from sklearn.ensemble import GradientBoostingClassifier

    train, test = _parted(*_checked(codes, factors), seed)
    weights, right = [], []
    for told, true in zip(train[1].T, test[1].T, strict=True):
        model = GradientBoostingClassifier(n_estimators=trees, random_state=seed).fit(train[0], told)
        weights.append(model.feature_importances_)
        right.append((model.predict(test[0]) == true).mean())
    importance = np.stack(weights, 1)
    return DCI(_pure(importance), _pure(importance.T), float(np.mean(right)))


def factor_vae_score(codes: Any, factors: Any, *, seed: int = 0) -> float:
    """Whether the code number that varies least tells which factor was held fixed (Kim & Mnih, 2018, arXiv:1802.05983).

    A vote takes 64 rows that agree in one factor, and names the number whose variance among them, over that among all
    rows, is least; numbers whose spread is below 5 % of the largest are left out. A table learned from 10,000 votes
    says which factor a number stands for; the score is its accuracy on 5,000 others. It lies in 1/factors to 1.

    The 64 rows are drawn from those given, repeats allowed: give some 64 or more for each level of a factor.

    Flaws: noise scores 1/factors or more; a code that mixes factors a little still scores 1, as each factor need only
    dominate a number; a number that takes few values may have no variance by chance and win votes.

    >>> factors = np.random.default_rng(0).integers(4, size=(2000, 3))
    >>> factor_vae_score(factors, factors)
    1.0
    """
    codes, factors = _checked(codes, factors)
    spread = codes.std(0)
    used = codes[:, spread >= IDLE * spread.max()]
    dice = np.random.default_rng(seed)
    learned, judged = (_votes(used, factors, count, dice) for count in VOTES)
    meaning = learned.argmax(0)
    return float(judged[meaning, np.arange(judged.shape[1])].sum() / judged.sum())


def infomec(codes: Any, factors: Any, *, discrete: bool = False, seed: int = 0) -> InfoMEC:
    """InfoM, InfoE and InfoC: one factor per number, factors told, few numbers per factor (Hsu et al., 2023,
    arXiv:2305.18378).

    With ``N_ki = I(v_k; z_i) / H(v_k)`` of 10,000 rows over the numbers that are not idle, ``modularity`` is the mean
    over i of ``max_k N_ki / sum_k N_ki``, brought from 1/factors..1 to 0..1, ``compactness`` the same over k.
    ``explicitness`` is the mean over k of ``1 - H(v_k | z) / H(v_k)``, in which H(v_k | z) is what logistic regression
    on all numbers leaves open, on the rows that it was learned from. Information is estimated from 10 nearest
    neighbours (Ross, 2014); counted where codes are ``discrete``, which are then read as categories. A number is idle
    whose range is below 5 % of the largest.

    Flaws: ratios of small numbers are large by chance, so that modularity and compactness mean nothing where
    explicitness is near 0; explicitness asks for lines; judged on its own rows it flatters wide codes of few rows.

    >>> factors = np.random.default_rng(0).integers(3, size=(600, 2))
    >>> InfoMEC(*(round(each, 1) for each in infomec(factors, factors, discrete=True)))
    InfoMEC(modularity=1.0, explicitness=1.0, compactness=1.0)
    """
    codes, factors = _some(*_checked(codes, factors), POINTS, seed)
    once = [np.bincount(each).max() < 2 for each in factors.T]
    if any(once):
        raise InvalidData(f"Factor {once.index(True)} has another value in every row. Give it levels that occur again.")
    used = np.ptp(codes, 0) > (0 if discrete else IDLE * np.ptp(codes, 0).max())
    if not used.any():
        return InfoMEC(0.0, 0.0, 0.0)
    own = codes[:, used]
    told = _informations(_ranked(own), factors) if discrete else _neighbourly(own, factors, seed)
    told = (told / _entropies(factors)).clip(0)
    return InfoMEC(_alone(told), _explicitness(codes, factors, discrete), _alone(told.T))


def _checked(codes: Any, factors: Any, *, ranked: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Codes as numbers, factors as whole numbers from 0 on; numbers as they are where they are not to be ``ranked``."""
    codes, factors = np.asarray(codes, dtype=np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or min(codes.shape[1], factors.shape[1]) < 2:
        raise InvalidData(
            "Disentanglement needs codes (n, 2 or more numbers) and factors (n, 2 or more) of the same rows. "
            f"Got {codes.shape} and {factors.shape}."
        )
    if not np.isfinite(codes).all():
        raise InvalidData(f"The code of row {int((~np.isfinite(codes)).any(1).argmax())} holds NaN or infinity.")
    missing = _missing(factors)
    if missing.any():
        place = int(missing.any(1).argmax())
        raise InvalidData(f"Factor {int(missing[place].argmax())} of row {place} is missing or infinite: leave it out.")
    levels = _ranked(factors)
    if (levels.max(0) == 0).any():
        raise InvalidData(f"Factor {int((levels.max(0) == 0).argmax())} has one level only: leave it out.")
    return codes, levels if ranked or factors.dtype.kind not in "biuf" else factors.astype(np.float64)


def _missing(factors: np.ndarray) -> np.ndarray:
    if factors.dtype.kind == "O":
        return np.array([[each is None or each != each for each in row] for row in factors.tolist()])
    return ~np.isfinite(factors) if factors.dtype.kind == "f" else np.zeros(factors.shape, bool)


def _ranked(columns: np.ndarray) -> np.ndarray:
    """Each column's values by their rank among the different ones."""
    return np.stack([np.unique(each, return_inverse=True)[1].ravel() for each in columns.T], 1)


def _some(codes: np.ndarray, factors: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``count`` rows, in an order of ``seed``."""
    order = np.random.default_rng(seed).permutation(len(codes))[:count]
    return codes[order], factors[order]


def _parted(codes: np.ndarray, factors: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Two thirds of the rows to learn from and one to judge, standardised."""
    codes, factors = _some(codes, factors, POINTS + JUDGED, seed)
    codes = (codes - codes.mean(0)) / np.maximum(codes.std(0), np.finfo(float).tiny)
    cut = len(codes) * 2 // 3
    if any(len(np.unique(each)) < 2 for each in factors[:cut].T) or cut == len(codes):
        raise InvalidData(f"There are too few rows to learn every factor from: {len(codes)}. Give more.")
    return (codes[:cut], factors[:cut]), (codes[cut:], factors[cut:])


def _each(codes: np.ndarray) -> range:
    return range(codes.shape[1])


def _binned(numbers: np.ndarray, bins: int) -> np.ndarray:
    if bins < 2:
        raise InvalidParameter(f"bins must be an int >= 2. Got {bins}.")
    low, high = numbers.min(), numbers.max()
    share = (numbers - low) / (high - low) if high > low else np.zeros(len(numbers))
    return np.minimum((share * bins).astype(np.int64), bins - 1)


def _informations(one: np.ndarray, other: np.ndarray) -> Float[np.ndarray, "one other"]:
    """The mutual information of each column of the one with each of the other, in nats; both whole numbers."""
    return np.array([[_information(a, b) for b in other.T] for a in one.T])


def _information(a: np.ndarray, b: np.ndarray) -> float:
    both = a * (b.max() + 1) + b
    return float(_entropy(a) + _entropy(b) - _entropy(np.unique(both, return_inverse=True)[1].ravel()))


def _entropies(factors: np.ndarray) -> np.ndarray:
    return np.array([_entropy(each) for each in factors.T])


def _entropy(levels: np.ndarray) -> float:
    share = np.bincount(levels) / len(levels)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def _neighbourly(codes: np.ndarray, factors: np.ndarray, seed: int) -> Float[np.ndarray, "latent factors"]:
    from sklearn.feature_selection import mutual_info_classif

    told = [mutual_info_classif(codes, each, n_neighbors=NEIGHBOURS, random_state=seed) for each in factors.T]
    return np.stack(told, 1)


def _correlations(codes: np.ndarray, factors: np.ndarray) -> Float[np.ndarray, "latent factors"]:
    spread = np.maximum(factors.std(0), np.finfo(float).tiny)
    codes = (codes - codes.mean(0)) / np.maximum(codes.std(0), np.finfo(float).tiny)
    return codes.T @ ((factors - factors.mean(0)) / spread) / len(codes)


def _accuracy(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], number: int, factor: int
) -> float:
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    model.fit(train[0][:, [number]], train[1][:, factor])
    return float((model.predict(test[0][:, [number]]) == test[1][:, factor]).mean())


def _pure(importance: np.ndarray) -> float:
    """How far each row of importances lies on one column, rows weighed by their share of all."""
    share = importance / np.maximum(importance.sum(1, keepdims=True), np.finfo(float).tiny)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    weight = importance.sum(1) / max(importance.sum(), np.finfo(float).tiny)
    return float((weight * (1 - entropy / np.log(importance.shape[1]))).sum())


def _votes(codes: np.ndarray, factors: np.ndarray, count: int, dice: np.random.Generator) -> np.ndarray:
    """How often each code number varied least while each factor was fixed, (factors, latent)."""
    votes = np.zeros((factors.shape[1], codes.shape[1]), np.int64)
    fixed = dice.integers(factors.shape[1], size=count)
    whole = np.maximum(codes.var(0), np.finfo(float).tiny)
    step = max(1, CELLS // (TOGETHER * codes.shape[1]))
    for factor, times in enumerate(np.bincount(fixed, minlength=len(votes))):
        for done in range(0, times, step):
            rows = _agreeing(factors[:, factor], min(step, times - done), dice)
            least = (codes[rows].var(1) / whole).argmin(1)
            votes[factor] += np.bincount(least, minlength=codes.shape[1])
    return votes


def _agreeing(levels: np.ndarray, count: int, dice: np.random.Generator) -> np.ndarray:
    """``count`` times the numbers of 64 rows of one level, which is that of a row drawn from all."""
    order = np.argsort(levels, kind="stable")
    sizes = np.bincount(levels)
    level = levels[dice.integers(len(levels), size=count)]
    place = (dice.random((count, TOGETHER)) * sizes[level][:, None]).astype(np.int64)
    return order[(sizes.cumsum() - sizes)[level][:, None] + place]


def _alone(told: np.ndarray) -> float:
    """The mean over the rows of the largest share of a row, brought from 1/columns..1 to 0..1; of a single column 1."""
    if told.shape[1] == 1:
        return 1.0
    total = told.sum(1)
    share = np.where(total > 0, told.max(1) / np.where(total > 0, total, 1.0), 1 / told.shape[1])
    return float((share.mean() - 1 / told.shape[1]) / (1 - 1 / told.shape[1]))


def _explicitness(codes: np.ndarray, factors: np.ndarray, discrete: bool) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x = (OneHotEncoder() if discrete else StandardScaler()).fit_transform(codes)
    shares = []
    for levels in factors.T:
        model = LogisticRegression(C=1e3, max_iter=5000).fit(x, levels)
        shares.append(1 - log_loss(levels, model.predict_proba(x)) / _entropy(levels))
    return float(np.mean(shares))
