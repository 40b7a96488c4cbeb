"""Studies are found by their entry points, ours and a user's own alike."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from .study import Study

GROUP = "pyphenom.studies"


class UnknownStudy(LookupError):  # noqa: N818
    """No installed package declares a study of this name."""


class BrokenStudy(ImportError):  # noqa: N818
    """A package declares this study, but it cannot be loaded."""


def available() -> tuple[str, ...]:
    """Return the names of the installed studies, sorted; none of them is loaded.

    A package offers a study by an entry point in the group ``pyphenom.studies``::

        [project.entry-points."pyphenom.studies"]
        my-study = "my_package.my_module:study"
    """
    return tuple(sorted(_declared()))


def load(name: str) -> Study:
    """Return an installed study.

    Parameters
    ----------
    name : str
        One of :func:`available`.

    Returns
    -------
    Study

    Raises
    ------
    UnknownStudy
        If no package declares the name; the message lists those that are declared.
    BrokenStudy
        If importing it raises, or if what is imported is not a study of this name.
    """
    declared = _declared()
    if name not in declared:
        close = get_close_matches(name, declared, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UnknownStudy(f"no study is called {name!r}; {hint}installed: {', '.join(sorted(declared)) or 'none'}")
    source = declared[name].value
    try:
        study = declared[name].load()
    except Exception as error:
        raise BrokenStudy(f"the study {name!r} cannot be loaded from {source}: {error!r}") from error
    if not isinstance(study, Study) or study.name != name:
        raise BrokenStudy(f"{source} is {study!r}, expected a Study with the name {name!r}")
    return study


def _declared() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
