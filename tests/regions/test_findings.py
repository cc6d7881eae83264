"""Findings, as people and programs read them."""

from __future__ import annotations

from regions.findings import Finding, Severity, has_errors, pointer_to


def test_a_pointer_escapes_what_would_divide_it() -> None:
    assert pointer_to("groups", 0, "region/eu~1") == "/groups/0/region~1eu~01"
    assert pointer_to() == ""


def test_a_finding_reads_as_a_sentence_with_a_place() -> None:
    finding = Finding(Severity.ERROR, "/stores/0", "it is gone", "bring it back", line=7)
    assert str(finding) == "error: line 7, /stores/0: it is gone (bring it back)"
    whole = Finding(Severity.WARNING, "", "it is odd", "look at it")
    assert str(whole) == "warning: /: it is odd (look at it)"


def test_warnings_forbid_nothing() -> None:
    warning = Finding(Severity.WARNING, "", "odd", "look")
    assert not has_errors([warning, warning])
    assert has_errors([warning, Finding(Severity.ERROR, "", "wrong", "mend")])
