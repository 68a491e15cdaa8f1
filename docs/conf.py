"""How the site is built: `make docs`. Every warning is an error there, a link or anchor to nowhere too."""

from __future__ import annotations

from pygments.lexers import TextLexer
from sphinx.application import Sphinx

from tidings.nats.version import __version__

project = "tidings"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"tidings {__version__}"
html_show_copyright = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

# Links to headings, as GitHub makes them of their text.
myst_heading_anchors = 4

# A name in single backticks is a link where it is one of the reference, and code elsewhere.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as the source says them
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the fields of a dataclass are described once
maximum_signature_line_length = 90

# A class that is shown on two pages, as an error of the client and of the framework, may be meant by either.
suppress_warnings = ["ref.python"]


def setup(app: Sphinx) -> None:
    """Show diagrams as they are written; GitHub draws them."""
    app.add_lexer("mermaid", TextLexer)
