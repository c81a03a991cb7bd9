"""Params: a dataclass whose annotations are its validation, its command line, its documentation and its JSON.

``latent: Annotated[Count, "numbers in the code"] = 8`` declares a parameter once. From that line follow the
constructor, scikit-learn's ``get_params`` / ``clone`` / ``GridSearchCV``, the check at fit, the text form
``-p latent=4``, the row in ``diabolo show`` and in the docs, and the entry in the model file.
"""

from __future__ import annotations

import csv
import math
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import cache
from inspect import isabstract
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Self, Union, dataclass_transform, get_args, get_origin, get_type_hints

import numpy as np
from sklearn.base import BaseEstimator

from diabolo.errors import InvalidParameter, suggestion

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


@dataclass(frozen=True)
class Within:
    """An interval that a number must lie in; ``above`` leaves the lower end out."""

    low: float = -np.inf
    high: float = np.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = f"{'>' if self.above else '>='} {self.low:g}" if self.low > -np.inf else ""
        return " and ".join(part for part in (low, f"<= {self.high:g}" if self.high < np.inf else "") if part)


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Positive = Annotated[float, Within(0, above=True)]
NonNegative = Annotated[float, Within(0)]
Fraction = Annotated[float, Within(0, 1)]
Seed = Natural | np.random.RandomState | None


@dataclass(frozen=True)
class Parameter:
    """One parameter as declared: its annotation, its default and its one-line meaning."""

    name: str
    hint: Any
    default: Any
    doc: str

    @property
    def allowed(self) -> str:
        return describe(self.hint)


@dataclass_transform(eq_default=False)
class Params(BaseEstimator):
    """A class whose constructor only stores; subclassing makes it a dataclass."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(eq=False, repr=False)(cls)

    @classmethod
    def parameters(cls) -> Mapping[str, Parameter]:
        """Every parameter by name, in the order of declaration."""
        return _parameters(cls)  # type: ignore[arg-type]  # classes are hashable, mypy sees Params.__hash__

    def check_params(self) -> None:
        """Raise InvalidParameter for the first parameter outside its annotation."""
        for name, parameter in self.parameters().items():
            value = getattr(self, name)
            if not accepts(parameter.hint, value):
                raise InvalidParameter(
                    f"The '{name}' parameter of {type(self).__name__} must be {parameter.allowed}. Got {value!r}."
                )
            if isinstance(value, Params):
                value.check_params()

    def stand_ins(self, name: str) -> tuple[Params, ...]:
        """A hook: what may stand in for ``name`` where it is None; by default each kind that is allowed."""
        return tuple(each() for each in _params_in(self.parameters()[name].hint) if not isabstract(each))

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``name__parameter`` works also where ``name`` is None: it makes what stands in for it."""
        for name in {key.partition("__")[0] for key in params if "__" in key}.intersection(self.parameters()):
            if params.get(name, getattr(self, name)) is None and (options := self.stand_ins(name)):
                params[name] = options[0]
        return super().set_params(**params)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Attributes set inside stay only where all goes well; after an error, or Ctrl-C, all are as before."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def in_python(self) -> Self:
        """The same with numbers of Python in place of numpy's, which model files and parts of torch do not take."""
        own = {name: getattr(self, name) for name in self.parameters()}
        return type(self)(**{name: each.item() if isinstance(each, np.generic) else each for name, each in own.items()})

    def to_dict(self) -> dict[str, Any]:
        """The class name and every parameter, as JSON can hold them."""
        return {"class": type(self).__name__} | {name: _plain(getattr(self, name)) for name in self.parameters()}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], known: Iterable[type[Params]]) -> Self:
        """The inverse of ``to_dict``; the class is looked up in ``known``, never imported by name."""
        made = _from_plain(dict(entry), {each.__name__: each for each in known})
        if not isinstance(made, cls):
            raise InvalidParameter(f"Expected a {cls.__name__}. Got {entry.get('class')!r}.")
        made.check_params()
        return made


def accepts(hint: Any, value: Any) -> bool:
    """Whether ``value`` is allowed by the annotation ``hint``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [limit for limit in args[1:] if isinstance(limit, Within)]
        return accepts(args[0], value) and all(value is None or value in limit for limit in limits)
    if origin in (Union, types.UnionType):
        return any(accepts(each, value) for each in args)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in args)
    if origin is tuple:
        return isinstance(value, (tuple, list)) and _accepts_items(args, value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(accepts(args[0], k) and accepts(args[1], v) for k, v in value.items())
    return _is_a(hint, value)


def _accepts_items(hints: tuple[Any, ...], values: Any) -> bool:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return all(accepts(hints[0], each) for each in values)
    return len(hints) == len(values) and all(accepts(hint, each) for hint, each in zip(hints, values, strict=True))


def _is_a(hint: Any, value: Any) -> bool:
    if hint in (None, type(None)):
        return value is None
    if hint is Any:
        return True
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    if isinstance(value, (bool, np.bool_)):
        return False
    if hint is int:
        return isinstance(value, Integral)
    if hint is float:
        return isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, hint)


def describe(hint: Any) -> str:
    """The annotation in words: ``an int >= 1``, ``one of 'a', 'b'`` or ``None``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [str(limit) for limit in args[1:] if isinstance(limit, Within)]
        return " ".join([describe(args[0]), *limits])
    if origin in (Union, types.UnionType):
        return " or ".join(describe(each) for each in args)
    if origin is Literal:
        return "one of " + ", ".join(repr(each) for each in args)
    if origin is tuple:
        return "a tuple of " + describe(args[0])
    if origin in (dict, Mapping):
        return f"a mapping from {describe(args[0])} to {describe(args[1])}"
    if hint in (None, type(None)):
        return "None"
    return "anything" if hint is Any else f"{'an' if hint.__name__[0] in 'aeiouAEIOU' else 'a'} {hint.__name__}"


def parse(hint: Any, text: str, known: Mapping[str, type[Params]]) -> Any:
    """The value that ``text``, typed by a user, stands for under the annotation ``hint``.

    Raises InvalidParameter when no reading of the text is allowed.
    """
    for value in _readings(text, known):
        if accepts(hint, value):
            return value
    raise InvalidParameter(f"{text!r} is not {describe(hint)}.")


def _readings(text: str, known: Mapping[str, type[Params]]) -> Iterable[Any]:
    if text.lower() in ("none", "null"):
        yield None
    if text.lower() in ("true", "false"):
        yield text.lower() == "true"
    for kind in (int, float):
        try:
            yield kind(text)
        except ValueError:
            pass
    if text in known:
        yield known[text]()
    yield text
    inner = text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text
    parts = next(csv.reader([inner], skipinitialspace=True), [])  # "a,b",c are two names, the first with a comma
    yield from _tuples([part.strip() for part in parts if part.strip()])  # one item: (16,)


def _tuples(parts: list[str]) -> Iterable[tuple[Any, ...]]:
    for kind in (int, float, str):
        try:
            yield tuple(kind(part) for part in parts)
        except ValueError:
            pass


def assign(params: Params, path: str, text: str, known: Mapping[str, type[Params]]) -> None:
    """Set ``variant.latent`` (a dotted path) or ``likelihoods.price`` (a key of a mapping) of ``params`` from text.

    Raises InvalidParameter when the path names no parameter or the text no allowed value.
    """
    name, _, rest = path.partition(".")
    declared = params.parameters()
    if name not in declared:
        within = next((f" Did you mean '{each}'?" for each in _within(params, name, known)), "")
        raise InvalidParameter(
            f"{type(params).__name__} has no parameter '{name}'.{within or suggestion(name, declared)} "
            f"It has: {', '.join(declared) or 'none'}."
        )
    if not rest:
        try:
            params.set_params(**{name: parse(declared[name].hint, text, known)})
        except InvalidParameter as error:
            raise InvalidParameter(f"The '{name}' parameter of {type(params).__name__}: {error}") from None
        return
    held, own, options = getattr(params, name), rest.partition(".")[0], _options(params, name, known)
    if options:
        inner = next((each for each in options if own in each.parameters()), options[0])
        assign(inner, rest, text, known)
        stands_in = not isinstance(held, (Params, str))
        params.set_params(**({f"{name}__{own}": getattr(inner, own)} if stands_in else {name: inner}))
    elif accepts(declared[name].hint, {rest: text}):
        params.set_params(**{name: {**(held or {}), rest: text}})
    else:
        raise InvalidParameter(f"The '{name}' parameter of {type(params).__name__} has no parameters of its own.")


def _options(params: Params, name: str, known: Mapping[str, type[Params]]) -> tuple[Params, ...]:
    """What ``name`` holds, if that has parameters of its own, or what may stand in for it."""
    held = getattr(params, name)
    if isinstance(held, str) and held in known:
        return (known[held](),)
    if isinstance(held, Params):
        return (held,)
    return params.stand_ins(name) if held is None or isinstance(held, Mapping) else ()


def _within(params: Params, name: str, known: Mapping[str, type[Params]]) -> Iterable[str]:
    """The paths of parameters called ``name`` inside those of ``params``."""
    for outer in params.parameters():
        if any(name in each.parameters() for each in _options(params, outer, known)):
            yield f"{outer}.{name}"


def _params_in(hint: Any) -> Iterable[type[Params]]:
    if get_origin(hint) is Annotated:
        return _params_in(get_args(hint)[0])
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return (each for each in options if isinstance(each, type) and issubclass(each, Params))


@cache
def _parameters(cls: type[Params]) -> Mapping[str, Parameter]:
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in fields(cls):
        hint = hints[field.name]
        notes = [note for note in get_args(hint)[1:] if isinstance(note, str)] if get_origin(hint) is Annotated else []
        default = None if field.default is MISSING else field.default
        found[field.name] = Parameter(field.name, hint, default, notes[-1] if notes else "")
    return types.MappingProxyType(found)


def _plain(value: Any) -> Any:
    if isinstance(value, Params):
        return value.to_dict()
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.random.RandomState):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _from_plain(value: Any, known: Mapping[str, type[Params]]) -> Any:
    if isinstance(value, list):
        return tuple(_from_plain(each, known) for each in value)
    if not isinstance(value, dict):
        return value
    inner = {key: _from_plain(each, known) for key, each in value.items() if key != "class"}
    return _make(value["class"], inner, known) if "class" in value else inner


def _make(name: Any, values: dict[str, Any], known: Mapping[str, type[Params]]) -> Params:
    if name not in known:
        raise InvalidParameter(f"No class named {name!r} is known. Pass it as custom=[{name}] to diabolo.load.")
    unknown = set(values) - set(known[name].parameters())
    if unknown:
        raise InvalidParameter(f"{name} has no parameter {', '.join(sorted(map(repr, unknown)))}.")
    return known[name](**values)
