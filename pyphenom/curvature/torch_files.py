"""A user's own model and data from files, with a message for everything that can be wrong with them."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import inspect
import pickle
import sys
import traceback
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pyphenom._arrays import one_of

LOSSES: dict[str, Any] = {
    "mse": "mean_squared",
    "half": "half_squared",
    "cross-entropy": "cross_entropy",
    "bce": nn.BCEWithLogitsLoss(),
}
"""What the command line calls a loss, and what `linearize` takes."""


def load_model(source: str, weights: Path | None = None, trust: bool = False) -> nn.Module:
    """Return the model that a function of a Python file gives, or that a file holds.

    Parameters
    ----------
    source : str
        ``file.py:function``, a function that needs no argument and returns a torch.nn.Module; or the path of a module
        saved by ``torch.save(model, path)``.
    weights : Path, optional
        A file saved by ``torch.save(model.state_dict(), path)``.
    trust : bool
        Whether a saved module may be loaded: it may hold any code, which is then run.

    Returns
    -------
    torch.nn.Module
        On the CPU, in the mode that it comes in.

    Raises
    ------
    ValueError
        If there is no such file or function, or it fails, or gives something else.
    """
    file, colon, name = source.rpartition(":")
    if colon and file.endswith(".py"):
        model = _from_function(Path(file), name)
    elif source.endswith(".py"):
        raise ValueError(
            f"`MODEL` is {source!r}; expected a function too, as in {source}:model, that takes no argument and returns "
            f"a torch.nn.Module.{_offer(Path(source))}"
        )
    else:
        model = _from_save(Path(source), trust)
    if weights is not None:
        _load_weights(model, weights)
    return model.to("cpu")


def load_data(path: Path, inputs: str = "X", targets: str = "y", loss: str = "") -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and targets from an .npz file, checked.

    Parameters
    ----------
    path : Path
        As ``numpy.savez(path, X=..., y=...)`` writes it.
    inputs, targets : str
        Names of the two arrays.
    loss : str, optional
        One of `LOSSES`: the targets have to suit it.

    Returns
    -------
    X, y : array (n, ...)

    Raises
    ------
    ValueError
        If the file, an array or an entry is not as expected.
    """
    if not path.is_file():
        raise ValueError(f"`DATA` is {str(path)!r}, which is no file; expected an .npz file of numpy.savez")
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            names = list(getattr(file, "files", ()))
            arrays = {name: file[name] for name in (inputs, targets) if name in names}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        # NumPy takes a file that is none of its own for a pickle, and would offer to load it.
        told = "it is no file of NumPy" if "pickled" in str(error) else _told(error)
        what = "holds Python objects" if "Object arrays" in str(error) else f"cannot be read ({told})"
        raise ValueError(
            f"`DATA` {path.name} {what}; expected an .npz file with arrays of numbers, as of "
            "numpy.savez(path, X=..., y=...)"
        ) from None
    for option, name in (("--inputs", inputs), ("--targets", targets)):
        if name not in arrays:
            raise ValueError(
                f"`DATA` {path.name} holds {', '.join(names) or 'one array without a name'}; expected {name!r}. Name "
                f"the array with {option}, or write it with numpy.savez(path, X=..., y=...)"
            )
    X, y = arrays[inputs], arrays[targets]
    for name, values in ((inputs, X), (targets, y)):
        _check_numbers(name, values)
    if X.ndim == 0 or y.ndim == 0 or len(X) != len(y) or len(X) == 0:
        raise ValueError(
            f"`{inputs}` and `{targets}` have the shapes {X.shape} and {y.shape}; expected as many samples along the "
            "first axis of both, at least one"
        )
    if loss:
        _check_targets(targets, y, one_of("--loss", loss, tuple(LOSSES)))
    return X, y


def check_fit(model: nn.Module, X: NDArray[Any]) -> None:
    """Try the model on the first samples, so that inputs which do not fit are reported as such.

    Raises
    ------
    ValueError
        If the forward pass fails.
    """
    first = next((p for p in model.parameters()), None)
    sample = torch.from_numpy(np.ascontiguousarray(X[:2]))
    if first is not None and sample.is_floating_point():
        sample = sample.to(first.dtype)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            copy.deepcopy(model)(sample)  # batch norm moves its statistics
    except Exception as error:
        whole = " Whole numbers stay whole, as an embedding needs them; write X.astype('float32') for others."
        raise ValueError(
            f"`MODEL` fails on inputs of shape (2, {', '.join(map(str, X.shape[1:]))}) and dtype {X.dtype}: "
            f"{_told(error)}. Expected a model that takes a batch of X, whose shape is {X.shape}."
            + (whole if X.dtype.kind in "iub" else "")
        ) from None


def _from_function(path: Path, name: str) -> nn.Module:
    if not path.is_file():
        raise ValueError(f"`MODEL` names {str(path)!r}, which is no file; expected file.py:function")
    module = _imported(path)
    function = getattr(module, name, None)
    if not callable(function):
        close = difflib.get_close_matches(name, _functions(module), 1)
        hint = f" Did you mean {close[0]}?" if close else _offer(path, module)
        raise ValueError(f"`MODEL`: {path.name} has no function {name!r}.{hint}")
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ValueError(
            f"`MODEL`: {name} of {path.name} cannot be called without arguments ({error}). Write a function that fills "
            "them in"
        ) from None
    model = _run(path, f"{name}()", function)
    if isinstance(model, type):
        raise ValueError(f"`MODEL`: {name}() gives the class {model.__name__}; expected an instance of it")
    if not isinstance(model, nn.Module):
        raise ValueError(f"`MODEL`: {name}() gives a {type(model).__name__}; expected a torch.nn.Module")
    return model


def _imported(path: Path) -> ModuleType:
    """Run a file as a module of its own name, with its folder on the path, as Python runs a script."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"user_model_{path.stem}", path)
    assert spec is not None  # a .py file has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look there
    _run(path, "the file", spec.loader.exec_module, module)
    return module


def _run(path: Path, what: str, function: Any, *arguments: Any) -> Any:
    """Call what the user wrote, and say where it failed."""
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
        line = own[-1].lineno if own else getattr(error, "lineno", None)
        where = f"{path.name}, line {line}" if line else path.name
        raise ValueError(f"`MODEL`: {what} failed in {where}: {_told(error)}") from None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(".").removesuffix(": ")


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def _offer(path: Path, module: ModuleType | None = None) -> str:
    if module is None and not path.is_file():
        return f" There is no file {str(path)!r} either"
    names = _functions(module or _imported(path))
    return f" It has {', '.join(names)}" if names else " It defines none"


def _from_save(path: Path, trust: bool) -> nn.Module:
    if not path.is_file():
        raise ValueError(
            f"`MODEL` is {str(path)!r}, which is no file; expected file.py:function, or a module saved by torch.save"
        )
    if not trust:
        raise ValueError(
            f"`MODEL` is {path.name}, a saved module: loading one runs whatever code its file holds. Pass --trust if "
            "you know where it comes from; or give file.py:function and --weights with a state dict, which is data only"
        )
    sys.path.insert(0, str(path.resolve().parent))  # the classes of a saved module are found by import
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(
            f"`MODEL` {path.name} needs code that is not here ({_told(error)}); expected the file that defines its "
            "class beside it. Or save model.state_dict(), and give file.py:function and --weights"
        ) from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"`MODEL` {path.name} cannot be read ({_told(error)}); expected a file of torch.save(model, path)"
        ) from None
    if isinstance(model, Mapping):
        raise ValueError(
            f"`MODEL` {path.name} holds a {type(model).__name__}, such as a state dict; expected a torch.nn.Module. "
            "Give file.py:function as the model, and this file as --weights"
        )
    if not isinstance(model, nn.Module):
        raise ValueError(f"`MODEL` {path.name} holds a {type(model).__name__}; expected a torch.nn.Module")
    return model


def _load_weights(model: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"`--weights` is {str(path)!r}, which is no file; expected a saved state dict")
    expected = "expected a file of torch.save(model.state_dict(), path)"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"`--weights` {path.name} cannot be read as data alone ({reason}); {expected}") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        what = f"entries {', '.join(map(str, state))}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise ValueError(f"`--weights` {path.name} holds {what}; {expected}")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"`--weights` {path.name} does not fit the model: {' '.join(str(error).split())}") from None


def _check_numbers(name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind not in "fiub":
        raise ValueError(f"`{name}` has dtype {values.dtype}; expected real numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        wrong = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ValueError(
            f"`{name}` holds {values[wrong]} at index {wrong}; expected finite numbers. Remove or impute such entries"
        )


def _check_targets(name: str, y: NDArray[Any], loss: str) -> None:
    if loss == "cross-entropy" and y.dtype.kind == "f" and y.ndim == 1:
        raise ValueError(
            f"`{name}` has dtype {y.dtype} and shape {y.shape}; expected whole numbers, the classes, for the loss "
            f"cross-entropy, or probabilities (n, classes). Write {name}.astype('int64'), or take --loss mse"
        )
    if loss == "bce" and (y.min() < 0 or y.max() > 1):
        raise ValueError(f"`{name}` lies in [{y.min():g}, {y.max():g}]; expected [0, 1] for the loss bce")
