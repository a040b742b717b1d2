"""Sphinx settings of the documentation site; `make docs` builds it with warnings as errors.

The site works without a network: no references to other sites are fetched, formulas are MathML
that the browser draws itself, and fonts are the system's.
"""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

project = "scanrank"
author = "the scanrank developers"
release = version = version_of("scanrank")
language = "en"
smartquotes = False  # an option's two hyphens are two hyphens

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "mathml",
    "names",
    "commands",
    "http_reference",
]
exclude_patterns = ["_build", "_extensions"]

# -- pages in Markdown -------------------------------------------------------------------------

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3  # links to sections are checked

# -- the reference, from docstrings ------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_maximum_signature_line_length = 88
# Their constructors take what only their makers have.
made_by_others = frozenset(
    {"scanner_adapter.SymbolRanker", "scanner_adapter.Scan", "bandit.OpenScan"}
)
# Every name in their `__all__` must be documented.
documented_packages = ["scanner_adapter", "scanner_adapter.replay", "bandit", "features"]
default_role = "backtick"  # a link where the name is documented, code otherwise
numpydoc_show_class_members = False  # autodoc lists them; twice would be once too many
numpydoc_xref_param_type = False  # "array, shape (n,)" is prose

# -- references ---------------------------------------------------------------------------------

# Every reference that a page makes must lead somewhere. What annotations and single backticks may
# leave without a link is said in _extensions/names.py.
nitpicky = True

# -- the look -----------------------------------------------------------------------------------

html_theme = "furo"
html_title = "scanrank"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

# TA-Lib and numpy may warn while they are imported; that is not the documentation's.
warnings.filterwarnings("ignore", category=DeprecationWarning)
