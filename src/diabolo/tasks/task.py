"""Task: what people come for. ``fit`` is check -> prepare -> build -> train -> calibrate, and the same for every task.

X --rows--> Preparation --x--> Variant.build, Variant.train --autoencoder--> _calibrate
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, final

import numpy as np
import pyarrow as pa
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from diabolo import artifact
from diabolo.autoencoder import Autoencoder
from diabolo.batches import Batches, Rows, in_blocks
from diabolo.diagnosis import Case, Finding, cost, disagreement, drifted, examined, looked_at
from diabolo.errors import InvalidArtifact, InvalidParameter
from diabolo.params import Fraction, Params, Seed
from diabolo.preparation import Preparation, Streamed
from diabolo.preparation.fields import Fields
from diabolo.randomness import mix, seeded
from diabolo.readers import Source, as_rows, open_source, tabular
from diabolo.readers.plain import plain
from diabolo.schema import Schema
from diabolo.tasks.cards import card, sparsity
from diabolo.tasks.choices import resolve
from diabolo.tasks.codes import codes
from diabolo.tasks.comparison import compared, line, of_width, used
from diabolo.tasks.conditions import blank
from diabolo.tasks.rows import at_least_two, gathered, too_few, validated
from diabolo.tasks.tensors import alike, group, rebuilt
from diabolo.tasks.weights import checked, counted, shuffled, uncut
from diabolo.thresholds import THRESHOLDS
from diabolo.trainer import EPOCHS, Epoch, Trainer
from diabolo.variants import Variant, named

TRIALS = 2_000  # held-out rows on which the task is compared with a linear autoencoder
PROBE = 16  # rows kept in the model file with what the task says of them
BLOCK = 4096  # rows scored at once: small enough for the caches, large enough for the matrix products
IN_MEMORY = 1 << 30  # bytes of a decoded file that are trained from memory; larger files are streamed


class Task(Params, ABC):
    """A fitted autoencoder put to a use; subclasses add the verb."""

    variant: Annotated[
        Variant | str | Mapping[str, Any] | None,
        "the autoencoder: a Variant, its name, or parameters of the default one, such as {'latent': 4}",
    ] = "Denoising"
    trainer: Annotated[Trainer | None, "how it is trained; None for the defaults"] = None
    likelihoods: Annotated[
        Mapping[str, str] | None, "likelihood by column name, '*' for all others; None: chosen from the data"
    ] = None
    ignore: Annotated[tuple[str, ...], "columns that are not learned from, such as labels"] = ()
    given: Annotated[
        tuple[str, ...],
        "columns that are told, not learned: every other value is judged, coded and made given them",
    ] = ()
    validation: Annotated[Fraction, "share of rows held out to stop training and to calibrate"] = 0.2
    random_state: Annotated[Seed, "seed of everything random; None draws a fresh one"] = None
    usual: ClassVar[Mapping[str, Variant | str]] = {}  # by the kind of rows, where ``variant`` may be None
    by_distance: ClassVar[bool] = False  # whether it matters how far rows lie apart: see ``preparation.units``
    compresses: ClassVar[bool] = True  # whether what is said of rows rests on how they are restored from few numbers
    longest: ClassVar[int] = EPOCHS  # epochs at most, where nobody said how many
    draws: ClassVar[bool] = False  # whether ``run`` makes new rows instead of reading those it is given
    restores: ClassVar[bool] = False  # whether ``run`` gives whole rows back instead of adding columns to them
    judges: ClassVar[bool] = False  # whether values are judged by what the others say of them: see ``comparison.line``
    on_epoch: ClassVar[Any] = None  # a function of an Epoch; no parameter: `watch` sets it, `clone` forgets it

    def watch(self, on_epoch: Callable[[Epoch], None]) -> Self:
        """Call ``on_epoch`` after every epoch of the fits that follow, for a progress bar or a log."""
        self.__dict__["on_epoch"] = on_epoch
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What a copy keeps: all but who watches, which may be any function."""
        return {name: each for name, each in super().__getstate__().items() if name != "on_epoch"}

    @final
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn what is normal in ``X``: an array, a DataFrame, an Arrow table or the path of a file.

        ``y`` is ignored; ``sample_weight`` holds one weight per row. Raises InvalidParameter, InvalidData or
        TrainingFailed.
        """
        self.check_params()
        with self.all_or_nothing():
            rows = self._rows(X, first=True)
            weight = checked(sample_weight, rows)
            self.seed_ = self._seed()
            self.dropped_rows_ = np.empty(0, np.int64)
            self.fields_ = Fields.of(rows, X)
            told = {name: getattr(self, name) for name in ("likelihoods", "ignore", "given")}
            told |= {"units": self.by_distance, "clocks": self.draws}
            self.preparation_ = Preparation(**told).fit(counted(rows, weight))
            self._remember(self.preparation_.schema_, getattr(rows, "named", hasattr(self, "feature_names_in_")))
            parts = self._split(rows, weight)
            self.rows_seen_ = sum({id(each): each.rows for each in parts}.values())
            for round_, (train, valid, held_out) in enumerate(self._rounds(*parts)):
                self.autoencoder_ = self._build()
                trainer = self._trainer(train)
                if round_ < self._rehearsals:
                    trainer.set_params(checkpoint=None)
                self.history_ = self._train(train, valid, trainer)
                self._settle(train, held_out)
            self._look_back(rows)
        return self

    def _look_back(self, rows: np.ndarray | pa.Table | Source) -> None:
        """What a fitted task says of the very rows that it learned from, in their order; most say nothing."""

    def _further(self, X: Any, sample_weight: Any) -> Rows:
        """Rows for a fitted task to learn from, prepared as those before."""
        rows = self.rows(X)
        weight = checked(sample_weight, rows, fewest=1)
        self.dropped_rows_ = np.empty(0, np.int64)
        new = shuffled(self.preparation_.transform(rows), weight, mix(self.seed_, self.rows_seen_))
        self.rows_seen_ += new.rows
        return new

    @property
    def _rehearsals(self) -> int:
        """Rounds before the last, whose trainings have no checkpoint."""
        return 0

    def _rounds(self, train: Batches, held_out: Batches) -> Iterator[tuple[Batches, Batches, Batches]]:
        """Rows to train on, to stop training by and to calibrate with, for each time that ``fit`` learns anew."""
        yield train, held_out, held_out

    def _settle(self, train: Batches, held_out: Batches) -> None:
        """Everything that rests on the trained autoencoder."""
        code = used(self.autoencoder_, held_out.some(TRIALS).x)
        self.linear_ = self._beside(train, code)
        self._calibrate(train, held_out)
        self.comparison_ = self._compared(held_out, code)
        self.findings_ = self._examined(train, held_out)
        self.sparsity_ = sparsity(self.autoencoder_, held_out, code)
        self.card_ = card(self, train.rows, held_out.rows if held_out is not train else 0)
        self._keep_probe(held_out)

    @abstractmethod
    def _calibrate(self, train: Batches, held_out: Batches) -> None:
        """Learn from the rows whatever the verb needs beyond the autoencoder."""

    measure: ClassVar[str]  # what ``_trial`` measures, in words; lower is better

    @abstractmethod
    def _trial(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each prepared row costs this task, and what it costs the linear autoencoder at the same work."""

    @abstractmethod
    def _verdict(self, x: Tensor) -> Tensor:
        """One number per prepared row that the task stands by; kept in the model file as the golden probe."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """What ``_calibrate`` learned, as tensors for the model file."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``_state``."""

    def adds(self, name: str) -> bool:
        """Whether ``run`` gives this name to a column of what it finds."""
        return False

    @abstractmethod
    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the task is for, a batch of rows in and a batch of rows out; order and number of rows are kept."""

    def _rows(self, X: Any, *, first: bool) -> np.ndarray | pa.Table | Source:
        """``X`` checked by scikit-learn's rules and brought to an array, an Arrow table or a file to stream."""
        if isinstance(X, (str, Path)):
            X = open_source(X) if first else open_source(X, None, self.preparation_.schema_, self.fields_.types)
        if isinstance(X, Source):
            if first and X.rows is not None and X.rows < 2:
                raise too_few(X.name, X.rows)
            return X
        if isinstance(X, (pa.RecordBatch, pa.Table)) and not first:
            return plain(X)
        if tabular(X):
            rows = as_rows(X)
            pandas = hasattr(X, "iloc")  # whose columns may be numbers, which scikit-learn takes for no names
            validated(self, X if pandas else rows, first, skip_check_array=True)
            return at_least_two(rows) if first else rows
        dtype = (np.float64, np.float32)
        rules = {"ensure_all_finite": False, "ensure_min_samples": 1 + first, "allow_nd": True}
        return as_rows(validated(self, X, first, dtype=dtype, **rules))

    def _remember(self, schema: Schema, named: bool) -> None:
        """What scikit-learn wants to know of the columns of the fit, their names where the rows had some."""
        self.n_features_in_ = len(schema.sources)
        self.__dict__.pop("feature_names_in_", None)
        if named:
            self.feature_names_in_ = np.array(schema.sources, dtype=object)

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.SeedSequence().generate_state(1)[0])
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        if self.random_state >= 2**63:
            raise InvalidParameter(f"random_state={self.random_state} is too large. Take one below 2^63.")
        return int(self.random_state)

    def _split(self, rows: np.ndarray | pa.Table | Source, weight: Tensor | None) -> tuple[Batches, Batches]:
        """Training rows and held-out rows; the same rows twice where there are too few to hold any out."""
        if isinstance(rows, Source):
            table = gathered(rows, IN_MEMORY)
            if table is None:
                return self._streamed(rows)
            rows = at_least_two(table, rows.name)
        everything = shuffled(self.preparation_.transform(rows), weight, self.seed_)
        count = uncut(everything.all.x, min(int(everything.rows * self.validation), everything.rows - 1))
        return (everything[count:], everything[:count]) if count > 1 else (everything, everything)

    def _streamed(self, source: Source) -> tuple[Batches, Batches]:
        train = Streamed(source, self.preparation_, "train", self.validation, self.seed_)
        held_out = Streamed(source, self.preparation_, "held out", self.validation, self.seed_)
        everything = Streamed(source, self.preparation_)
        return (train, held_out) if min(train.rows, held_out.rows) > 1 else (everything, everything)

    def _build(self) -> Autoencoder:
        with seeded(self.seed_):
            return self._variant().build(self.preparation_.schema_)

    def _trainer(self, train: Batches) -> Trainer:
        """The training asked for, and what was left open as it suits these rows."""
        grid = bool(self.preparation_.schema_.grid)
        return (self.trainer or Trainer()).suited(train.rows, grid=grid, longest=self.longest)

    def _train(self, train: Batches, valid: Batches, trainer: Trainer) -> list[Epoch]:
        apart = valid if valid is not train else None
        return self._variant().train(self.autoencoder_, trainer, train, apart, seed=self.seed_, on_epoch=self.on_epoch)

    def _variant(self) -> Variant:
        return resolve(self.variant, [self._usual(self.preparation_.schema_.kind)])

    def _usual(self, kind: str) -> Variant:
        """The variant for rows of this kind where none is named."""
        return resolve(self.usual.get(kind, self.parameters()["variant"].default))

    def _beside(self, train: Batches, code: int) -> Autoencoder:
        """The closed-form linear autoencoder, as wide as ``comparison.line`` has it, fitted to the same rows."""
        linear = line(code, self.preparation_.schema_, judged=self.judges)
        with seeded(self.seed_):
            autoencoder = linear.build(self.preparation_.schema_)
        linear.train(autoencoder, Trainer(), train, None, seed=self.seed_)
        return autoencoder

    def _compared(self, held_out: Batches, code: int) -> dict[str, Any]:
        """How this task and the linear autoencoder do on held-out rows."""
        x = held_out.some(TRIALS).x
        with seeded(self.seed_), torch.inference_mode():
            deep, linear = (each.double().numpy() for each in self._trial(x))
        about = {"width": self.linear_.bottleneck.latent, "code": code}
        aside = (self.by_distance and self._variant().purpose) or None
        return {"measure": self.measure, **compared(deep, linear), **about, "aside": aside}

    def _examined(self, train: Batches, held_out: Batches) -> tuple[Finding, ...]:
        """What a look at the finished fit finds."""
        rows = [looked_at(each, self.preparation_.schema_, self.seed_) for each in (train, held_out)]
        held = None if held_out is train else rows[1]
        chosen, epochs = frozenset(self.likelihoods or ()), self._trainer(train).epochs or EPOCHS
        case = Case(
            self.preparation_.schema_,
            self.autoencoder_,
            rows[0],
            held,
            self.history_,
            chosen,
            epochs,
            compresses=self.compresses,
            comparison=None if self.by_distance else self.comparison_,
        )
        with seeded(self.seed_), torch.inference_mode():
            return examined(case)

    def diagnose(self, X: Any = None, *, refits: int = 0) -> tuple[Finding, ...]:
        """What should be known of this fit, each with its figures, why it matters and what to change; often nothing.

        Without ``X`` it is what the end of ``fit`` found, which the model file keeps too. With ``X`` it is how these
        rows differ from those of the fit. ``refits`` fits to ``X`` so many times anew, with other seeds, and says
        whether these fits agree on which rows are costly. Raises InvalidParameter for ``refits`` without ``X``.
        """
        check_is_fitted(self, "autoencoder_")
        if X is None:
            if refits:
                raise InvalidParameter(f"refits={refits} needs rows to learn from: diagnose(X, refits={refits}).")
            return self.findings_
        x = self._prepared(X)
        found = drifted(self.preparation_.schema_, x)
        if not refits:
            return found
        apart = {} if self.trainer is None else {"trainer__checkpoint": None}
        others = (clone(self).set_params(random_state=self.seed_ + 1 + i, **apart).fit(X) for i in range(refits))
        told = disagreement([each.costs(X) for each in (self, *others)])
        return found if told is None else (*found, told)

    def costs(self, X: Any) -> np.ndarray:
        """What the autoencoder pays for each row, -log p and the costs of its code, in nats, shape (n,)."""
        return self._each(self._prepared(X), lambda x: cost(self.autoencoder_(x))).numpy()

    def _keep_probe(self, held_out: Batches) -> None:
        """A few rows and what the task says of them, to be said again wherever the model file is loaded."""
        self.probe_ = held_out.some(PROBE).x.clone()

    def card(self) -> dict[str, Any]:
        """What the model is: data, columns, comparison with a linear autoencoder, seed and versions, as JSON."""
        check_is_fitted(self, "autoencoder_")
        return self.card_

    def save(self, path: str | Path) -> None:
        """Write the fitted task to one file: a JSON manifest and tensors, no pickle; the file is whole or not there."""
        check_is_fitted(self, "autoencoder_")
        manifest = {
            "task": self.to_dict(),
            "schema": self.preparation_.schema_.to_dict(),
            "history": [asdict(epoch) for epoch in self.history_],
            "card": self.card_,
            "seed": self.seed_,
            "named": hasattr(self, "feature_names_in_"),
            "fields": self.fields_.to_dict(),
        }
        artifact.write(path, manifest, self._tensors())

    def _tensors(self) -> dict[str, Tensor]:
        groups = {
            "autoencoder": self.autoencoder_.state_dict(),
            "linear": self.linear_.state_dict(),
            "state": self._state(),
            "rows": {"dropped": torch.from_numpy(self.dropped_rows_)},
            "probe": {"x": self.probe_, "verdict": self._each(self.probe_, self._verdict)},
        }
        return {f"{group}.{name}": tensor for group, part in groups.items() for name, tensor in part.items()}

    @staticmethod
    def load(path: str | Path, known: Iterable[type[Params]]) -> Task:
        """The task written by ``save``. Raises InvalidArtifact for any file that is not one."""
        manifest, tensors = artifact.read(path)
        try:
            task = Task.from_dict(manifest["task"], [*known, *named().values(), *THRESHOLDS, Trainer])
            task._revive(manifest, tensors)
            verdict = task._each(task.probe_, task._verdict)
        except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise InvalidArtifact(
                f"{path} does not hold a task that this version can rebuild: {error}\n"
                "Fit again, or load it with the diabolo that wrote it."
            ) from error
        artifact.compare_probe(tensors["probe.verdict"], verdict)
        return task

    def _revive(self, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        schema = Schema.from_dict(manifest["schema"])
        self.preparation_ = Preparation.from_schema(schema)
        self.fields_ = Fields.from_dict(manifest["fields"])
        self._remember(schema, manifest["named"])
        self.history_ = [Epoch(**epoch) for epoch in manifest["history"]]
        self.card_, self.seed_ = manifest["card"], manifest["seed"]
        self.rows_seen_ = self.card_["data"]["seen"]
        self.comparison_, self.findings_ = self.card_["comparison"], Finding.all_of(self.card_["findings"])
        self.sparsity_ = self.card_.get("sparsity", {})
        self.autoencoder_ = rebuilt(self._variant(), schema, group(tensors, "autoencoder"))
        self.linear_ = rebuilt(of_width(self.comparison_["width"]), schema, group(tensors, "linear"))
        self.probe_, self.dropped_rows_ = tensors["probe.x"], tensors["rows.dropped"].numpy()
        self._restore(group(tensors, "state"))

    def rows(self, X: Any) -> np.ndarray | pa.Table:
        """``X`` as this task reads it: an array or an Arrow table, checked against the columns seen in fit."""
        check_is_fitted(self, "autoencoder_")
        rows = self._rows(X, first=False)
        return rows.table() if isinstance(rows, Source) else rows

    def parted(self, X: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """The numbers of the rows that ``fit`` learned from and of those that it held out.

        None where that cannot be told: ``X`` are other rows, or had weights, or none were held out, or the file is
        streamed.
        """
        check_is_fitted(self, "autoencoder_")
        train, held_out = self._split(self._rows(X, first=False), None)
        if not (isinstance(train, Rows) and isinstance(held_out, Rows)) or train is held_out:
            return None
        known = alike(held_out.all.x[: len(self.probe_)], self.probe_)
        same = known and train.rows + held_out.rows == self.rows_seen_
        return (train.numbers.numpy(), held_out.numbers.numpy()) if same else None

    def _prepared(self, X: Any) -> Tensor:
        rows = self.rows(X)  # first, since it says so where there was no fit
        return self.preparation_.transform(rows)

    def _each(self, x: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """``read`` of prepared rows; a row gets the same answer alone and among others, but for rounding."""
        return in_blocks(x, read)

    def encode(self, X: Any) -> np.ndarray:
        """The code of each row, shape (n, latent)."""
        return self._each(self._prepared(X), lambda x: self.autoencoder_.encode(x).z).numpy()

    def reconstruct(self, X: Any) -> Any:
        """What the autoencoder makes of each row, in the units and the type of ``X``."""
        check_is_fitted(self, "autoencoder_")
        return self._rewritten(X, self.autoencoder_.best)

    def _rewritten(self, X: Any, read: Callable[[Tensor], Tensor]) -> Any:
        """``read`` of prepared rows in the units and the type of ``X``; as an Arrow table where ``X`` is a file.

        A value that ``read`` leaves alone is exactly that of ``X``.
        """
        rows = self.rows(X)
        x = self.preparation_.transform(rows)
        new = self._each(x, read)
        like = rows if isinstance(rows, np.ndarray) or isinstance(X, (str, Path, Source)) else X
        return self.preparation_.inverse_transform(new, like=like, keep=new == x)

    def _codes(self, x: Tensor) -> Tensor:
        """The codes of prepared rows, one row of numbers each."""
        return codes(self.autoencoder_, x)

    def _new(self, x: Tensor, given: Mapping[str, Any] | None = None) -> Any:
        """Prepared rows that nobody gave, in the units and the type of the rows of the fit.

        Values that are ``given`` are exactly these.
        """
        like, keep = blank(self.preparation_, self.fields_, len(x), given)
        new = self.preparation_.inverse_transform(x, like=like, keep=keep, rounded=self.draws)
        return self.fields_.given_back(new)

    def check_params(self) -> None:
        super().check_params()
        resolve(self.variant, self._usuals)

    @property
    def _usuals(self) -> tuple[Variant, ...]:
        return tuple(clone(self._usual(kind)) for kind in self.usual or ("table",))

    def stand_ins(self, name: str) -> tuple[Params, ...]:
        return self._usuals if name == "variant" else super().stand_ins(name)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``variant__latent`` is told of the variant named, or of the one that suits the rows."""
        variant = params.get("variant", self.variant)
        nested = {key for key in params if key.startswith("variant__")}
        if nested and isinstance(variant, str):
            params["variant"] = resolve(variant)
        elif nested and not isinstance(variant, Variant):
            own = {key.removeprefix("variant__"): params.pop(key) for key in nested}
            params["variant"] = {**(variant or {}), **own}
        return super().set_params(**params)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
