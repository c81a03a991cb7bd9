"""Synthesizer: new rows like those it learned from, as many as you ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batch, Batches, by_weight, drawn, in_blocks
from diabolo.bottlenecks import Discrete
from diabolo.errors import InvalidData, InvalidParameter
from diabolo.networks import Features, Given
from diabolo.params import Count, Natural, accepts
from diabolo.priors import Autoregressive
from diabolo.randomness import seeded, uniform_like
from diabolo.tasks.codes import codes, guesses, outputs, places
from diabolo.tasks.conditions import Conditions, all_told, nameless, told
from diabolo.tasks.measures import learned, told_apart, within
from diabolo.tasks.mixture import Mixture, fewest
from diabolo.tasks.task import TRIALS, Task
from diabolo.tasks.tensors import filled, group
from diabolo.variants import Variant

LEARNED = 20_000  # training rows whose codes the prior is fitted to
COMPONENTS = (1, 2, 4, 8, 16, 32, 64)  # Gaussians that are tried where their number is not given
ROWS = 4096  # new rows drawn at once
SLOWLY = 256  # the same where codes are drawn one token after the other
FEW = 20  # training rows that a Gaussian needs at least
PATTERNS = 4096  # training rows whose gaps are kept
CANDIDATES = 16  # codes drawn for each row of which values are given
TINY, FLAT = 1e-12, 1e-4  # of lengths, and of the sine of an angle that is none
TRIES = 8  # draws of a category until it is one that has a name
Drawn = tuple[Tensor, Tensor | None]  # codes, and the conditions that they are drawn under


class Synthesizer(Task):
    r"""Draw new rows: a code from the prior, then each value from what the decoder says of it.

    ::

        z ~ p(z)          prior="fitted": learned from the codes of the training rows once the autoencoder is trained:
                          Gaussians for numbers (Ghosh et al., 2020, arXiv:1903.12436), a network that draws one token
                          after the other for tokens (van den Oord et al., 2017, arXiv:1711.00937); "own": the
                          bottleneck's, as a VAE learns it
        x ~ p(x | z)      the likelihood, so that rows vary as the data do around their reconstructions

    Numbers stay within the range of the training rows, categories are known ones, and columns that were set aside (ids,
    free text) are missing. With ``gaps`` new rows lack values as training rows do, in patterns drawn apart from the
    values.

    With ``given`` columns all of it is ``p(z | given)`` and ``p(x | z, given)``: the Gaussians are fitted to conditions
    and codes together. New rows have the conditions of training rows, the given columns of a row together, or those of
    ``sample(n, given={...})``.

    New rows are no anonymous rows: nothing here bounds what they tell of a person who is in the training rows. Check
    with ``diabolo.evaluate.copying`` whether they lie closer to training rows than to others; that finds copies, and
    proves no privacy.

    Examples
    --------
    >>> import numpy as np
    >>> from diabolo import Synthesizer
    >>> t = np.random.default_rng(0).normal(size=(500, 1))
    >>> rows = np.hstack([t, 2 * t, -t, 3 * t])
    >>> new = Synthesizer("Linear", random_state=0).fit(rows).sample(1000)
    >>> new.shape, bool(np.corrcoef(new.T)[0, 1] > 0.95)
    ((1000, 4), True)
    """

    draws: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    measure: ClassVar[str] = (
        "share of held-out rows, and of as many new ones, whose nearest neighbour is of their own kind: 0.5 where the "
        "two cannot be told apart, 1 where they can"
    )

    variant: Annotated[
        Variant | str | Mapping[str, Any], "the autoencoder: a Variant, its name, or parameters of the default one"
    ] = "Vanilla"
    prior: Annotated[
        Literal["fitted", "own"], "what codes are drawn from: what is fitted to codes, or the bottleneck's own prior"
    ] = "fitted"
    components: Annotated[Count | None, "Gaussians fitted to codes; None: as many as suit the held-out rows"] = None
    gaps: Annotated[bool, "whether new rows lack values as the training rows do"] = False

    def sample(self, n: int, seed: int = 0, given: Mapping[str, Any] | None = None) -> Any:
        """``n`` new rows, of the type of the rows of the fit.

        Equal seeds give equal rows, and the first rows are the same however many are drawn. ``given`` fixes the values
        of columns, such as ``{"kind": "old"}``: codes are drawn from the prior, 16 for each row, and those kept that
        make these values probable (importance resampling: Rubin, 1987), so the other columns follow
        ``p(others | given)`` of the same model, the better the more codes there are. Of values that it hardly ever
        makes few codes remain, and rows are alike. Columns that were given in fit need no resampling: the model is told
        them. Raises InvalidParameter for a number below 0, and for a column or a category that the model does not know.
        """
        return self._new(torch.cat(list(self._blocks(n, seed, given))), given)

    def combine(self, X: Any, weights: Any, given: Mapping[str, Any] | None = None) -> Any:
        """What sums of codes stand for: row i is decoded from ``sum_j weights[i, j] code(X[j])``, (m, n) weights.

        ``weights=[[1, -1, 1]]`` is the first row without what the second has and with what the third has (Radford et
        al., 2016, arXiv:1511.06434). Every value is the best guess, not a draw. What lies between codes of tokens is
        no code of tokens. ``given`` holds the given columns of the new rows, if the fit had any. Raises
        InvalidParameter where there is not one weight per row, or ``given`` is missing.

        >>> import numpy as np
        >>> from diabolo import Synthesizer
        >>> rows = np.outer(np.random.default_rng(0).normal(size=300), [1, 2, -1, 3])
        >>> synthesizer = Synthesizer("Linear", random_state=0).fit(rows)
        >>> new = synthesizer.combine(rows[:3], [[1, -1, 1]])
        >>> np.allclose(new, rows[0] - rows[1] + rows[2], atol=0.01)
        True
        """
        z = self._codes(self._prepared(X))
        try:
            weight = np.asarray(weights, dtype=np.float32)
        except (ValueError, TypeError):
            weight = np.empty(0, np.float32)
        if weight.ndim != 2 or weight.shape[1] != len(z) or not np.isfinite(weight).all():
            raise InvalidParameter(
                f"weights must be numbers, none missing, of the shape (m, {len(z)}). Got {weights!r:.80}."
            )
        return self._decoded(torch.tensor(weight) @ z, given)

    def interpolate(
        self,
        first: Any,
        last: Any,
        steps: int = 8,
        path: Literal["straight", "sphere"] = "straight",
        given: Mapping[str, Any] | None = None,
    ) -> Any:
        """``steps`` rows on the way from each row of ``first`` to that of ``last``, the ends included, pair by pair.

        Codes go straight, or turn from one direction to the other at an even pace while their length changes evenly
        (White, 2016, arXiv:1609.04468), which suits priors whose codes lie near a sphere. ``given`` holds the given
        columns of the new rows, if the fit had any. Raises InvalidParameter.

        >>> import numpy as np
        >>> from diabolo import Synthesizer
        >>> rows = np.outer(np.random.default_rng(0).normal(size=300), [1, 2, -1, 3])
        >>> way = Synthesizer("Linear", random_state=0).fit(rows).interpolate(rows[:1], rows[1:2], steps=3)
        >>> np.allclose(way, [rows[0], (rows[0] + rows[1]) / 2, rows[1]], atol=0.01)
        True
        """
        start, end = (self._codes(self._prepared(each)) for each in (first, last))
        if not accepts(Count, steps) or steps < 2 or len(start) != len(end) or path not in ("straight", "sphere"):
            told = f"{steps!r} steps, {path!r}, {len(start)} and {len(end)} rows"
            raise InvalidParameter(f"Give 2 or more steps, a path 'straight' or 'sphere', rows in pairs. Got {told}.")
        share = torch.linspace(0, 1, steps)[None, :, None]
        between = (straight if path == "straight" else turning)(start[:, None], end[:, None], share)
        return self._decoded(between.flatten(0, 1), given)

    def batches(self, n: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
        """The rows of ``sample`` in Arrow batches, of which one at a time is in memory."""
        for x in self._blocks(n, seed):
            like = None if self.fields_.kind == "array" else self.fields_.blank(self.preparation_.schema_, len(x))
            table = self.preparation_.inverse_transform(x, like=like).combine_chunks()
            yield from table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """As many new rows as the batch has; of its values nothing is used."""
        self._prepared(batch)  # refuses what is not of the columns of the fit
        new = pa.Table.from_batches(self.batches(max(len(batch), 1))).combine_chunks().to_batches()[0]
        return new.slice(0, len(batch))

    def _blocks(self, n: int, seed: int, given: Mapping[str, Any] | None = None) -> Iterator[Tensor]:
        """New prepared rows; a block is drawn whole, so that its first rows are the same if fewer are needed."""
        check_is_fitted(self, "autoencoder_")
        if not accepts(Natural, n):
            raise InvalidParameter(f"The number of new rows must be an int >= 0. Got {n!r}.")
        if not accepts(int, seed):
            raise InvalidParameter(f"The seed of new rows must be an int. Got {seed!r}.")
        size = ROWS if not isinstance(self.prior_, Autoregressive) else SLOWLY
        known = None if given is None else told(self.preparation_, self.fields_, given)[0]
        for start in range(0, max(n, 1), size):
            with seeded(self.seed_, int(seed), start), torch.inference_mode():
                x = self._gapped(self._values(self.autoencoder_, *self._codes_for(size, known)))[: n - start]
                yield x if known is None else torch.where(known.isnan(), x, known.double())

    def _codes_for(self, n: int, known: Tensor | None) -> Drawn:
        """Codes for ``n`` rows of which some values may be known."""
        if known is None or not (~known.isnan() & learned(self.preparation_.schema_, known[None])).any():
            return self._drawn(n, known)
        return self._likely(n, known)

    def _drawn(self, n: int, known: Tensor | None = None) -> Drawn:
        """Codes from the prior, and the conditions that they are drawn under."""
        x = None if self.conditions_ is None else self.conditions_.draw(n, known)
        return self._prior(n, x), x

    def _likely(self, n: int, known: Tensor) -> Drawn:
        """``n`` codes drawn from many of the prior by how probable they make the known values."""
        many, conditions = zip(*(self._drawn(n, known) for _ in range(CANDIDATES)), strict=True)
        z, x = torch.cat(many), None if conditions[0] is None else torch.cat(conditions)
        rows, likelihood = self.autoencoder_.apart(known[None])[0], self.autoencoder_.likelihood
        here, rows = ~rows.isnan(), rows.nan_to_num(0.0)

        def cost(block: Tensor) -> Tensor:
            said = outputs(self.autoencoder_, z[block], None if x is None else x[block])
            return (likelihood.errors(said, rows.expand(len(block), *rows.shape[1:])) * here).flatten(1).sum(1)

        weight = (-in_blocks(torch.arange(len(z)), cost)).double().softmax(0)
        chosen = torch.multinomial(weight, n, replacement=True)
        return z[chosen], None if x is None else x[chosen]

    def _decoded(self, z: Tensor, given: Mapping[str, Any] | None) -> Any:
        """The best guess at what codes stand for, as rows."""
        x = guesses(self.autoencoder_, z, all_told(self.preparation_, self.fields_, given, len(z)))
        return self._new(x, given)

    def _prior(self, n: int, x: Tensor | None) -> Tensor:
        """Codes from the prior, under the conditions in ``x``."""
        bottleneck = self.autoencoder_.bottleneck
        if self.prior_ is None:
            return bottleneck.sample(n, places(self.autoencoder_)).flatten(1)
        if isinstance(self.prior_, Mixture):
            return self.prior_.sample(n, self._numbers(x))
        return cast(Discrete, bottleneck).look_up(self.prior_.sample(n)).flatten(1)

    def _numbers(self, x: Tensor | None) -> Tensor | None:
        """The conditions of prepared rows as numbers."""
        return None if x is None else self.autoencoder_.apart(x)[1]

    def _values(self, autoencoder: Autoencoder, z: Tensor, like: Tensor | None) -> Tensor:
        """New prepared rows (n, columns, *grid) without gaps, with the given columns of ``like``."""
        said = autoencoder.likelihood(outputs(autoencoder, z, like))
        columns = tuple(column for column in self.preparation_.schema_.columns if not column.given)
        x = said.sample()
        for _ in range(TRIES):
            if not (strange := nameless(columns, x)).any():
                break
            x = torch.where(strange, said.sample(), x)
        x = torch.where(nameless(columns, x), 0.0, x).double()  # 0: the most frequent category
        return autoencoder.whole(within(columns, x), like)

    def _gapped(self, x: Tensor) -> Tensor:
        """The rows with the gaps of training rows, drawn apart from the values."""
        if not self.gaps:
            return x
        chosen = (uniform_like(x.flatten(1)[:, 0]) * len(self.patterns_)).long()
        return torch.where(self.patterns_[chosen] & learned(self.preparation_.schema_, x), torch.nan, x)

    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        first = next(train.ordered(1)).x
        outputs(self.autoencoder_, self._codes(first), first)  # says so where there is no one code
        rows, some = (drawn(train, count, self.seed_) for count in (LEARNED, PATTERNS))
        judged = by_weight(held_out.some(TRIALS), self.seed_).x
        schema = self.preparation_.schema_
        self.conditions_ = Conditions.of(schema, some, complete=not self.gaps) if schema.conditional else None
        self.prior_ = self._fitted(self.autoencoder_, rows, judged) if self.prior == "fitted" else None
        self._linear_prior = self._gaussians(self.linear_, rows, judged)
        self.patterns_ = by_weight(some, self.seed_).x.isnan() if self.gaps else torch.empty(0).bool()

    def _fitted(self, autoencoder: Autoencoder, rows: Batch, judged: Tensor) -> Mixture | Autoregressive:
        """What suits the codes of the rows: Gaussians, or a network for tokens."""
        if not isinstance(autoencoder.bottleneck, Discrete):
            return self._gaussians(autoencoder, rows, judged)
        if autoencoder.conditions is not None:
            raise InvalidParameter(
                "The prior of tokens (prior='fitted') knows no conditions. Set prior='own', or take a variant whose "
                "code is numbers, or leave given out."
            )
        with seeded(self.seed_):
            prior = Autoregressive(autoencoder.bottleneck.letters, places(autoencoder))
        learned_from = tokens(autoencoder, by_weight(rows, self.seed_).x)
        return prior.fit(learned_from, tokens(autoencoder, judged), self.seed_).eval()

    def _gaussians(self, autoencoder: Autoencoder, rows: Batch, judged: Tensor) -> Mixture:
        """Gaussians of the codes of the rows, as many as make held-out codes most probable."""
        found = Batch(codes(autoencoder, rows.x), rows.weight, autoencoder.apart(rows.x)[1])
        held_out = codes(autoencoder, judged), autoencoder.apart(judged)[1]
        most = max(1, min(fewest(found.x), len(rows) // FEW))
        counts = [self.components] if self.components else [each for each in COMPONENTS if each <= most]
        tried = (Mixture.of_gaussians(found, count, self.seed_, starts=1) for count in counts)
        return max(tried, key=lambda mixture: float(mixture.log_density(*held_out).mean()))

    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, like = self._drawn(len(x))
        deep = self._values(self.autoencoder_, z, like)
        linear = self._values(self.linear_, self._linear_prior.sample(len(x), self._numbers(like)), like)
        return self._told_apart(x, deep), self._told_apart(x, linear)

    def _told_apart(self, x: Tensor, new: Tensor) -> Tensor:
        """For each row, and the new one beside it, whether the nearest neighbour is of its kind: 0, 1/2 or 1."""
        rows = (x, torch.where(x.isnan(), torch.nan, new.float()))
        features = Features(self.preparation_.schema_)
        points = (features(each).flatten(1).numpy() for each in rows)
        return torch.from_numpy(told_apart(*points))

    def _verdict(self, x: Tensor) -> Tensor:
        trip = self.autoencoder_(x)
        cost = trip.nll.double() + sum(trip.code.costs.values())
        if self.prior_ is None:
            return cost
        code = self.autoencoder_.encode(x)
        if isinstance(self.prior_, Autoregressive):
            return cost - self.prior_.log_prob(cast(Tensor, code.tokens)).double()
        return cost - self.prior_.log_density(code.z.flatten(1), self._numbers(x))

    def _state(self) -> dict[str, Tensor]:
        prior: Mapping[str, Tensor] = {}
        if self.prior_ is not None:
            prior = self.prior_.state_dict() if isinstance(self.prior_, Autoregressive) else self.prior_.state()
        conditions = {} if self.conditions_ is None else self.conditions_.state(self.preparation_.schema_)
        parts = {"prior": prior, "conditions": conditions}
        kept = {f"{part}.{name}": each for part, held in parts.items() for name, each in held.items()}
        return {"patterns": self.patterns_} | kept

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        schema, bottleneck = self.preparation_.schema_, self.autoencoder_.bottleneck
        prior, shape = group(state, "prior"), schema.shape
        self.conditions_ = Conditions.restored(group(state, "conditions"), schema) if schema.conditional else None
        if self.prior == "own":
            self.prior_ = None
        elif isinstance(bottleneck, Discrete):
            letters, grid = bottleneck.letters, places(self.autoencoder_)
            self.prior_ = filled(lambda: Autoregressive(letters, grid), prior)
        else:
            width = self._codes(self.probe_[:1]).shape[1] + Given(schema).width
            self.prior_ = Mixture.restored(prior, width)
        self.patterns_ = state["patterns"]
        if self.gaps and self.patterns_.shape[1:] != shape:
            raise InvalidData(f"The file keeps gaps of rows of shape {tuple(self.patterns_.shape[1:])}, not {shape}.")


def tokens(autoencoder: Autoencoder, x: Tensor) -> Tensor:
    """The tokens of prepared rows, (n, heads, *grid)."""
    return in_blocks(x, lambda block: cast(Tensor, autoencoder.encode(block).tokens))


def straight(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """The points between, on a line."""
    return start + share * (end - start)


def turning(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """The points between, on an arc; on a line where both point the same way.

    >>> turning(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.5))
    tensor([0.7071, 0.7071])
    """
    lengths = [each.norm(dim=-1, keepdim=True).clamp_min(TINY) for each in (start, end)]
    one, other = start / lengths[0], end / lengths[1]
    angle = (one * other).sum(-1, keepdim=True).clamp(-1, 1).acos()
    arc = (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / angle.sin().clamp_min(TINY)
    direction = torch.where(angle.sin() < FLAT, straight(one, other, share), arc)
    return direction * straight(lengths[0], lengths[1], share)
