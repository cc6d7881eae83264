"""The OpenFeature provider: flags evaluated in the application, from its own copy.

    from openfeature import api
    from controlplane.flags.provider import LeadplaneProvider

    api.set_provider(LeadplaneProvider(["http://127.0.0.1:7101", "http://127.0.0.1:7102"]))
    api.get_client().get_boolean_value("new-checkout", False, context)

An evaluation sends nothing and waits for nothing. While no node can be reached the last copy is
evaluated, and the application is told that it is stale. Needs the extra `flags`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from config.flags import Evaluation
from controlplane.flags.following import Follower, LocalCopy, News, Source, Told

NAME: Final = "leadplane"
READY_S_MAX: Final = 10.0
_REASONS: Final = {reason.value: reason for reason in Reason}
_ERRORS: Final = {code.value: code for code in ErrorCode}
_EVENTS: Final = {
    News.READY: ProviderEvent.PROVIDER_READY,
    News.CHANGED: ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
    News.STALE: ProviderEvent.PROVIDER_STALE,
    News.ERROR: ProviderEvent.PROVIDER_ERROR,
}
_NOTHING: Final[Mapping[str, Any]] = {}


class LeadplaneProvider(AbstractProvider):
    """Flags by way of nodes of the application's own region, given by their addresses.

    `region` is that of the first node that answers, if it is not given. `stale_after_s` without an
    answer the copy is called stale. `ready_s_max` is how long it may take until it can be evaluated
    at all; it goes on trying after that.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        region: str | None = None,
        token: str | None = None,
        cacert: str | None = None,
        stale_after_s: float = 30.0,
        ready_s_max: float = READY_S_MAX,
    ) -> None:
        super().__init__()
        addresses = (urls,) if isinstance(urls, str) else tuple(urls)
        if not addresses:
            raise ValueError("name the address of a node at least")
        self._source = Source(addresses, region, token, cacert, stale_after_s)
        self._ready_s_max = ready_s_max
        self._follower: Follower | None = None
        self.copy = LocalCopy(region)

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(NAME)

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Get the first copy. Raises ProviderNotReadyError when nobody gives it in time."""
        self._follower = Follower(self._source, self.copy, self._told)
        if not self._follower.start(self._ready_s_max):
            raise ProviderNotReadyError(
                f"no node told its flags within {self._ready_s_max:g} s: {self._follower.why}"
            )

    def shutdown(self) -> None:
        """Follow no longer; what was heard can still be evaluated."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """A flag that is true or false."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_boolean)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """A flag that is a text."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_string)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """A flag that is a whole number."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_integer)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """A flag that is a number."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Any,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """A flag that is an object or a list; each caller gets one of its own."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_object)

    def _resolve(
        self,
        flag: str,
        default: Any,
        context: EvaluationContext | None,
        read: Callable[[Any], Any],
    ) -> FlagResolutionDetails[Any]:
        flags = self.copy.flags
        if flags is None:
            return _failed(default, ErrorCode.PROVIDER_NOT_READY, "no node told its flags yet")
        if context is None:
            found = flags.evaluate(flag, None, _NOTHING)
        else:
            found = flags.evaluate(flag, context.targeting_key, context.attributes)
        if found.error is not None:
            return _failed(default, _ERRORS[found.error], found.message, found)
        value = read(found.value)
        if value is None:
            message = f"{flag} is a flag of another type"
            return _failed(default, ErrorCode.TYPE_MISMATCH, message, found)
        return FlagResolutionDetails(
            value, None, None, _REASONS[found.reason], found.variant, found.metadata
        )

    def _told(self, told: Told) -> None:
        """Pass news on to the application."""
        code = ErrorCode.GENERAL if told.news is News.ERROR else None
        details = ProviderEventDetails(
            flags_changed=list(told.flags) or None, message=told.why or None, error_code=code
        )
        self.emit(_EVENTS[told.news], details)


def _failed(
    default: Any, code: ErrorCode, message: str, found: Evaluation | None = None
) -> FlagResolutionDetails[Any]:
    metadata = found.metadata if found is not None else _NOTHING
    return FlagResolutionDetails(default, code, message, Reason.ERROR, flag_metadata=metadata)


def _as_boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _as_string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _as_float(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _as_object(value: Any) -> Any:
    return deepcopy(value) if isinstance(value, dict | list) else None
