"""Which variant a task trains: the one given, the one named, or one that suits the rows, with parameters told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import clone

from diabolo.errors import InvalidParameter, suggestion
from diabolo.variants import Variant, named


def resolve(variant: Variant | str | Mapping[str, Any] | None, usual: Sequence[Variant] = ()) -> Variant:
    """The variant itself, the default one of that name, or the first of the ``usual`` ones that has what is told of it.

    Raises InvalidParameter for an unknown name, parameters that none has, and values that are not allowed.
    """
    if isinstance(variant, Variant):
        return variant
    if isinstance(variant, str):
        return _of_name(variant)
    told = variant or {}
    for each in usual:
        if told.keys() <= each.parameters().keys():
            made = clone(each).set_params(**told)
            made.check_params()
            return made
    known = dict.fromkeys(name for each in usual for name in each.parameters())
    wrong = next((name for name in told if name not in known), "")
    raise InvalidParameter(
        f"{' or '.join(dict.fromkeys(type(each).__name__ for each in usual))}, used where no variant is named, cannot "
        f"be told {', '.join(map(repr, told))}.{suggestion(wrong, known)} It has: {', '.join(known)}."
    )


def _of_name(name: str) -> Variant:
    if name not in named():
        raise InvalidParameter(
            f"There is no variant {name!r}.{suggestion(name, named())} There are: {', '.join(named())}."
        )
    return named()[name]()
