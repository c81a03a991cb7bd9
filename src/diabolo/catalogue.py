"""What there is to choose from: the tasks, the variants, and the parameters of every class that has some."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from diabolo.errors import InvalidParameter, suggestion
from diabolo.params import Params, assign
from diabolo.tasks import TASKS, load
from diabolo.tasks.task import Task
from diabolo.thresholds import THRESHOLDS
from diabolo.trainer import Trainer
from diabolo.variants import named


def known() -> dict[str, type[Params]]:
    """Every class that a parameter can name, or that can be shown, by its name."""
    return {each.__name__: each for each in (*TASKS.values(), *named().values(), Trainer, *THRESHOLDS)}


def look_up(what: str | None) -> Mapping[str, Any]:
    """The entry of ``tasks``, ``variants``, the name of a task or class, or a model file; of everything for None.

    Raises InvalidParameter for a name that leads to nothing.

    >>> list(look_up("tasks"))
    ['detect', 'impute', 'denoise', 'embed', 'cluster', 'synthesize']
    """
    lists = {"tasks": TASKS, "variants": named()}
    if what is None:
        return {name: {key: sentence(each) for key, each in classes.items()} for name, classes in lists.items()}
    if what in lists:
        return {key: sentence(each) for key, each in lists[what].items()}
    if what in TASKS or what in known():
        return description((TASKS | known())[what])
    if Path(what).exists() or Path(what).suffix:
        return load(what).card()
    everything = [*lists, *TASKS, *known()]
    raise InvalidParameter(
        f"There is neither a model file nor anything else called {what!r}.{suggestion(what, everything)} "
        f"There are: {', '.join(everything)}."
    )


def description(of: type[Params]) -> dict[str, Any]:
    """A class in one sentence, and for each of its parameters default, allowed values and meaning."""
    return {
        "name": of.__name__,
        "what": sentence(of),
        "parameters": {name: _row(each) for name, each in of.parameters().items()},
    }


def _row(parameter: Any) -> dict[str, Any]:
    return {"default": repr(parameter.default), "allowed": parameter.allowed, "meaning": parameter.doc}


def sentence(of: type) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(of) or "").split("\n\n")[0].replace("``", "").split())


def chosen(name: str, settings: Iterable[str], seed: int) -> Task:
    """The task of this name with its parameters set from texts such as ``variant.latent=4``, and checked.

    A text that sets a whole part is taken before those that set its parameters. Raises InvalidParameter.

    >>> chosen("detect", ["variant.latent=4", "variant=VAE"], seed=0).variant
    VAE(latent=4)
    """
    if name not in TASKS:
        raise InvalidParameter(f"There is no task {name!r}.{suggestion(name, TASKS)} There are: {', '.join(TASKS)}.")
    task = TASKS[name](random_state=seed)
    for path, text in sorted(map(_setting, settings), key=lambda each: each[0].count(".")):
        assign(task, path, text, known())
    task.check_params()
    return task


def _setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals:
        raise InvalidParameter(f"-p {text} has no value. Write -p NAME=VALUE, such as -p variant.latent=4.")
    return path.strip(), value.strip()
