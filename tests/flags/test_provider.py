"""The OpenFeature provider: types, reasons, errors, events, as an OpenFeature client sees them."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from controlplane.flags.provider import LeadplaneProvider
from tests.flags.test_following import STALE_S, PaperNode, answer, serving

WAIT_S = 20.0
FLAGS: dict[str, Any] = {
    "truth": {"default": "on"},
    "text": {"variants": {"a": "x", "off": "y"}, "default": "a"},
    "whole": {"variants": {"a": 3, "off": 0}, "default": "a"},
    "number": {"variants": {"a": 3.5, "off": 0}, "default": "a"},
    "object": {"variants": {"a": {"b": [1]}, "off": {}}, "default": "a"},
    "list": {"variants": {"a": [1], "off": []}, "default": "a"},
    "killed": {"enabled": False, "default": "on"},
    "split": {"split": [{"serve": "on", "percent": 100}]},
    "ruled": {"default": "off", "rules": [{"when": {"plan": {"equals": "gold"}}, "serve": "on"}]},
    "newer": {"default": "on", "schedule": {}},
}


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with serving(PaperNode()) as served:
        served.says(answer(**FLAGS), "one")
        yield served


@pytest.fixture
def client(node: PaperNode) -> Iterator[OpenFeatureClient]:
    """OpenFeature's client with our provider behind it."""
    provider = LeadplaneProvider(node.url, stale_after_s=STALE_S)
    set_ready(provider)
    try:
        yield api.get_client()
    finally:
        api.shutdown()
        api.clear_providers()


def set_ready(provider: LeadplaneProvider) -> None:
    """Have OpenFeature use a provider; it is ready when this returns."""
    ready: queue.Queue[EventDetails] = queue.Queue()
    api.add_handler(ProviderEvent.PROVIDER_READY, ready.put)
    api.set_provider(provider)
    while api.get_client().get_provider_status() is not ProviderStatus.READY:
        ready.get(timeout=WAIT_S)
    api.remove_handler(ProviderEvent.PROVIDER_READY, ready.put)


def test_flags_are_had_by_their_type(client: OpenFeatureClient) -> None:
    assert client.get_boolean_value("truth", False) is True
    assert client.get_string_value("text", "-") == "x"
    assert client.get_integer_value("whole", 0) == 3
    assert client.get_float_value("number", 0.0) == 3.5
    whole = client.get_float_value("whole", 0.0)
    assert (whole, type(whole)) == (3.0, float)
    assert client.get_object_value("object", {}) == {"b": [1]}
    assert client.get_object_value("list", []) == [1]


def test_a_flag_of_another_type_is_an_error_and_the_default_counts(
    client: OpenFeatureClient,
) -> None:
    asked = [
        client.get_boolean_details("whole", False),
        client.get_string_details("truth", "-"),
        client.get_integer_details("number", 7),
        client.get_integer_details("truth", 7),
        client.get_float_details("truth", 7.5),
        client.get_object_details("text", {}),
    ]
    assert [each.value for each in asked] == [False, "-", 7, 7, 7.5, {}]
    assert {each.error_code for each in asked} == {ErrorCode.TYPE_MISMATCH}


def test_reasons_and_errors_are_those_of_openfeature(client: OpenFeatureClient) -> None:
    ada = EvaluationContext("ada", {"plan": "gold"})
    found = client.get_boolean_details("ruled", False, ada)
    assert (found.value, found.variant, found.reason) == (True, "on", Reason.TARGETING_MATCH)
    assert found.flag_metadata == {"document": "flags.web", "version": 1}
    reasons = {name: client.get_boolean_details(name, False, ada).reason for name in
               ("truth", "killed", "split")}  # fmt: skip
    assert reasons == {"truth": "STATIC", "killed": "DISABLED", "split": "SPLIT"}
    errors = {name: client.get_boolean_details(name, True).error_code for name in
              ("none", "split", "newer")}  # fmt: skip
    assert errors == {
        "none": ErrorCode.FLAG_NOT_FOUND,
        "split": ErrorCode.TARGETING_KEY_MISSING,
        "newer": ErrorCode.PARSE_ERROR,
    }


def test_a_caller_may_change_the_object_it_got(client: OpenFeatureClient) -> None:
    mine: Any = client.get_object_value("object", {})
    mine["b"].append(2)
    assert client.get_object_value("object", {}) == {"b": [1]}


def test_changes_and_silence_are_told_and_the_last_copy_stays(
    node: PaperNode, client: OpenFeatureClient
) -> None:
    told: queue.Queue[tuple[str, EventDetails]] = queue.Queue()
    for event in ProviderEvent:
        if event is not ProviderEvent.PROVIDER_READY:
            client.add_handler(event, lambda details, name=event.value: told.put((name, details)))  # type: ignore[misc]
    node.says(answer(version=2, **FLAGS | {"truth": {"default": "off"}}), "two")
    name, details = told.get(timeout=WAIT_S)
    assert (name, details.flags_changed) == ("PROVIDER_CONFIGURATION_CHANGED", ["truth"])
    assert client.get_boolean_value("truth", True) is False
    node.body = None
    assert told.get(timeout=WAIT_S)[0] == "PROVIDER_STALE"
    assert client.get_provider_status() is ProviderStatus.STALE
    assert client.get_boolean_value("truth", True) is False
    ready: queue.Queue[EventDetails] = queue.Queue()
    node.says(answer(version=3, **FLAGS), "three")
    assert told.get(timeout=WAIT_S)[1].flags_changed == ["truth"]
    client.add_handler(ProviderEvent.PROVIDER_READY, ready.put)
    assert ready.get(timeout=WAIT_S).provider_name == "leadplane"


def test_an_application_loads_nothing_of_a_node_with_the_provider() -> None:
    program = "import sys, controlplane.flags.provider; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    packages = {name.partition(".")[0] for name in loaded.stdout.decode().split()}
    assert packages.isdisjoint({"aiohttp", "jsonschema", "pydantic", "redis", "regions", "shards"})


def test_without_any_node_the_application_has_its_own_defaults() -> None:
    provider = LeadplaneProvider("http://127.0.0.1:1", ready_s_max=0.05)
    with pytest.raises(ProviderNotReadyError, match=r"within 0\.05 s"):
        provider.initialize(EvaluationContext())
    try:
        found = provider.resolve_boolean_details("truth", True)
        assert (found.value, found.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    finally:
        provider.shutdown()
    with pytest.raises(ValueError, match="address"):
        LeadplaneProvider([])
