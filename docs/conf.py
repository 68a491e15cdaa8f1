"""How the site is built: `make docs`. Every warning is an error there, a link or anchor to nowhere too."""

from __future__ import annotations

from tidings.nats.version import __version__

project = "tidings"
author = "the tidings authors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"tidings {__version__}"
html_show_copyright = False
html_copy_source = False
exclude_patterns = ["_build"]

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]

# A name in single backticks is a link where it is something of the reference, and code elsewhere.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
maximum_signature_line_length = 90
