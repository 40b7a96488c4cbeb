"""Pages of the reference: one for each public module, with every name that its `__all__` lists."""

import importlib
import inspect

ON_DEMAND = {"pyphenom.theory": ["symbolic"]}
"""Public modules that their package does not import by itself."""


def public_names(module):
    """Return what `__all__` lists, or without one what the module itself defines in public."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


def page(module):
    """Return the text of the page of a module, and the modules that it makes public."""
    name, title = module.__name__, module.__name__.rpartition(".")[2]
    inner = {child: getattr(module, child) for child in public_names(module)}
    modules = [value for value in inner.values() if inspect.ismodule(value)]
    modules += [importlib.import_module(f"{name}.{child}") for child in ON_DEMAND.get(name, ())]
    lines = [title, "=" * len(title), "", f".. automodule:: {name}", "   :no-members:", ""]
    for child, value in inner.items():
        if inspect.isclass(value) and not issubclass(value, BaseException):
            lines += [f".. autoclass:: {name}.{child}", "   :members:", ""]
        elif inspect.isclass(value):
            lines += [f".. autoexception:: {name}.{child}", ""]
        elif inspect.isfunction(value):
            lines += [f".. autofunction:: {name}.{child}", ""]
        elif not inspect.ismodule(value):
            lines += [f".. autodata:: {name}.{child}", ""]
    if modules:
        lines += [".. toctree::", "", *(f"   {child.__name__}" for child in modules), ""]
    return "\n".join(lines), modules


def write(package, folder):
    """Write the pages of a package and of everything that it makes public, and an index of them."""
    folder.mkdir(parents=True, exist_ok=True)
    roots = [importlib.import_module(f"{package.__name__}.{name}") for name in package.__all__ if name != "__version__"]
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        text, modules = page(module)
        (folder / f"{module.__name__}.rst").write_text(text, encoding="utf-8")
        waiting += modules
    entries = [f"   {root.__name__}" for root in roots]
    index = ["Reference", "=========", "", ".. toctree::", "   :maxdepth: 2", "", *entries, ""]
    (folder / "index.rst").write_text("\n".join(index), encoding="utf-8")
