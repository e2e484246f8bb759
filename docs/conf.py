"""Sphinx's settings for the site, built by `make docs` from the pages that `tools.website` lays out."""

from pplug import __version__

project, author, release = "pplug", "The pplug authors", __version__
extensions = [
    "myst_nb",  # Markdown pages and notebooks
    "sphinx.ext.autodoc",  # the reference, from docstrings
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",  # Google's docstrings
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = "pplug"
html_static_path, html_css_files = ["_static"], ["site.css"]
html_show_copyright = False  # the licence has a page

nb_execution_mode = "off"  # the committed outputs are shown
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell gives are tables
myst_enable_extensions = ["dollarmath"]  # formulas in the lessons
myst_heading_anchors = 3  # links to headings, as GitHub has them

default_role = "code"  # `names` in docstrings, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = False  # the modules have pages
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # a class's attributes are said once, in its docstring
