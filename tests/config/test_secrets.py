"""Secrets are refused where they stand, and never repeated."""

from __future__ import annotations

from typing import Any

import pytest

from config.secrets import find_secrets

KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
BEARER = "Bearer " + "abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"tls": {"key": KEY}}, "/tls/key"),
        ({"env": ["x", f"AWS={AWS}"]}, "/env/1"),
        ({"headers": {"authorization": BEARER}}, "/headers/authorization"),
        ({"db_password": "hunter2hunter2"}, "/db_password"),
        ({"by": {AWS: 1}}, "/by"),
    ],
)
def test_a_secret_is_found_at_its_place_and_not_quoted(content: Any, place: str) -> None:
    (finding,) = find_secrets(content)
    assert finding.pointer == place
    for secret in (KEY, AWS, BEARER, "hunter2"):
        assert secret not in str(finding)


@pytest.mark.parametrize(
    "content",
    [
        {"secret_ref": "vault/path/to/it", "token": "short"},
        {"description": "the bearer of this token may pass", "password": None},
        {"password": {"type": "string"}, "key": "eu-central-1"},
    ],
)
def test_what_only_speaks_of_secrets_is_none(content: Any) -> None:
    assert list(find_secrets(content)) == []
