"""Whether PDFs can be made here: WeasyPrint is a package, Pango is not, and a machine may lack it."""

import pytest


def require_pdf() -> None:
    """Skip the module where Pango is missing; `.ci/run` installs it."""
    try:
        import weasyprint
    except OSError as error:
        pytest.skip(f"no Pango here: {error}", allow_module_level=True)
    assert weasyprint.HTML
