"""The documentation site: sphinx-build -W --keep-going -n docs build/docs, with pyphenom installed.

Nothing of it needs the network: no inventories of other projects, and the figures are drawn here.
"""

import pydoc
import sys
from pathlib import Path

import pyphenom

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import plots  # noqa: E402
import reference  # noqa: E402

project = "pyphenom"
author = "The pyphenom developers"
version = release = pyphenom.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
html_theme = "furo"
html_title = f"pyphenom {version}"
html_show_copyright = False
exclude_patterns = ["figures"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# Docstrings name arguments and functions alike in single backticks: what can be imported becomes a link.
default_role = "autolink"
autodoc_typehints = "none"  # numpydoc's sections say them, with shapes and units
autosummary_generate = False
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False


def generate(app):
    """Write the reference and draw the figures."""
    generated = HERE / "_generated"
    reference.write(pyphenom, generated / "reference")
    plots.draw(generated / "figures")


def is_inherited(app, what, name, value, skip, options):
    """Leave out what scikit-learn adds to an estimator; it is documented there."""
    return True if getattr(value, "__module__", "").startswith("sklearn") else None


def resolve(app, env, node, content):
    """Find what a docstring names by the name that its module imports it under."""
    value = pydoc.locate(f"{node.get('py:module')}.{node['reftarget']}")
    if value is None:
        return None
    if not hasattr(value, "__qualname__"):  # a constant or a symbol has no place of its own to link to
        return content
    # A private module has no page: the name is on that of a public one which has it too.
    own = [module for name, module in sys.modules.items() if name.startswith("pyphenom.")]
    public = [module.__name__ for module in own if getattr(module, value.__name__, None) is value]
    names = [f"{module}.{value.__qualname__}" for module in (value.__module__, *public)]
    find = env.domains.python_domain.resolve_xref
    found = (find(env, node["refdoc"], app.builder, "obj", name, node, content) for name in names)
    return next(filter(None, found), None)


def setup(app):
    """Generate before the sources are read."""
    app.connect("builder-inited", generate)
    app.connect("autodoc-skip-member", is_inherited)
    app.connect("missing-reference", resolve)
