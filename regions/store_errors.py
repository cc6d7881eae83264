"""Why a server must not be used as a store as it is, one class for each reason.

All are StoreUnsuitable: whoever only wants to know whether a store can be used catches that.
"""

from __future__ import annotations

from regions.errors import RegionsError, StoreUnsuitable


class ServerTooOld(StoreUnsuitable):
    """The server is older than what the function library needs."""

    code = "server-too-old"
    hint = "run Valkey 8 or later, or Redis 7.0 or later"


class ServerMisconfigured(StoreUnsuitable):
    """A setting would let the store forget what it has acknowledged; each is named."""

    code = "server-misconfigured"
    hint = "set what the message names in the server's configuration file, then restart it"


class ServerReplicated(StoreUnsuitable):
    """The server is a replica or has one. A replica that is promoted has forgotten the latest."""

    code = "server-replicated"
    hint = "run each store alone: copies are made by Leadplane itself, on a majority of stores"


class ServerClustered(StoreUnsuitable):
    """The server runs in cluster or sentinel mode."""

    code = "server-clustered"
    hint = "give Leadplane a plain server of its own, with cluster-enabled no"


class ForeignData(StoreUnsuitable):
    """The server holds keys that are not Leadplane's."""

    code = "foreign-data"
    hint = "give Leadplane a server of its own, or remove what is not Leadplane's"


class LibraryDiffers(StoreUnsuitable):
    """The function library of the store is not the one of this program."""

    code = "library-differs"
    hint = "run the same release everywhere; `FUNCTION DELETE leadplane` lets this one load its own"


class StoreForgot(StoreUnsuitable):
    """The store holds nothing, not even its identity."""

    code = "store-forgot"
    hint = "if it is new, initialise its fleet; if it lost its data, it must be admitted anew"


class WrongStore(StoreUnsuitable):
    """The store is not the one that is expected at this address."""

    code = "wrong-store"
    hint = "correct the address in the topology; a store that lost its data must be admitted anew"


class OtherIncarnation(WrongStore):
    """The store at this address lost its data since, and has begun anew."""

    code = "other-incarnation"
    hint = "nothing: it is admitted anew by itself; if not, ask `leadplane status` why"


class AccessDenied(StoreUnsuitable):
    """The server does not let Leadplane in, or not do what it must."""

    code = "access-denied"
    hint = "correct the store's user name and password, or what its user may do"


class BootstrapRefused(RegionsError):
    """A fleet cannot be initialised: some store is not empty, or not reachable. All are named."""

    code = "bootstrap-refused"
    hint = "every store must be reachable and empty: mend or empty those named, then try again"
