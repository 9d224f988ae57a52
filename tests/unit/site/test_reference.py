"""The reference page of the SitePolicy says what the schema says."""

from pathlib import Path

from panal.api.reference import renewed
from panal.site.crd import crd

PAGE = Path(__file__).parents[3] / "docs/reference/sitepolicy.md"


def test_the_table_is_that_of_the_schema() -> None:
    page = PAGE.read_text()
    assert "| `privacyBudgets[].epsilon` |" in page
    assert page == renewed(page, crd()), f"run: python -m panal.site.reference {PAGE.name}"
