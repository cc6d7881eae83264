"""Following a group from version to version when stores, lanes or nodes fail on the way."""

from __future__ import annotations

from controlplane.requests import Written
from tests.node.test_store_changes import led_rig


def test_what_could_not_be_carried_over_at_once_is_stood_for_again() -> None:
    rig = led_rig()
    n1 = rig.seats["n1"]
    rig.forget("s3")
    rig.until(lambda: n1.group.version == 2)
    rig.step_until(n1, lambda: "a" in n1.group.led)
    for store in ("s1", "s2"):
        rig.disconnect("n1", store)  # the question is lost at both
        rig.connect("n1", store)
    rig.until(lambda: n1.serves("a"))
    number = n1.put("a", "y")
    rig.run(300)
    assert isinstance(n1.answers[number], Written)
