"""The newest documents are kept for one edition, as one leader says it, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.document import canonical
from config.revision import Revision
from controlplane.api import newest_documents
from controlplane.api.newest_documents import Edition, NewestDocuments

AT = Edition(number=3, version=40, epoch=2)
NEXT = Edition(number=4, version=41, epoch=2)
ONE, OTHER = (Revision(name, 1, canonical({"n": 1})) for name in ("a", "b"))
TWO = replace(ONE, version=2, data=canonical({"n": 2}))


def kept() -> NewestDocuments:
    newest = NewestDocuments()
    newest.keep(AT, [ONE, OTHER])
    return newest


def test_nothing_is_known_at_first() -> None:
    assert NewestDocuments().at(Edition()) is None


@pytest.mark.parametrize(
    "other", [NEXT, replace(AT, version=39), replace(AT, number=4), replace(AT, epoch=3)]
)
def test_another_edition_is_not_known(other: Edition) -> None:
    newest = kept()
    assert newest.at(AT) == (ONE, OTHER)
    assert newest.at(other) is None


def test_an_edit_on_top_of_what_is_known_is_known() -> None:
    newest = kept()
    newest.edited(AT, NEXT, TWO, None)
    assert newest.at(NEXT) == (TWO, OTHER)
    assert newest.at(AT) is None


def test_what_is_forgotten_by_an_edit_is_gone() -> None:
    newest = kept()
    newest.edited(AT, NEXT, TWO, OTHER)
    assert newest.at(NEXT) == (TWO,)


def test_an_edit_of_what_is_not_known_or_by_another_leader_makes_nothing_known() -> None:
    newest = kept()
    newest.edited(replace(AT, version=39), NEXT, TWO, None)
    assert newest.at(NEXT) is None
    later = replace(NEXT, epoch=3)
    newest.edited(AT, later, TWO, None)
    assert newest.at(later) is None


def test_too_much_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_documents, "KEPT_BYTES_MAX", 2 * len(ONE.data) - 1)
    newest = kept()
    assert newest.at(AT) is None
    newest.edited(AT, NEXT, TWO, None)
    assert newest.at(NEXT) is None
