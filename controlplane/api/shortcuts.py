"""Finding the handler of a busy path without searching the routes.

aiohttp finds a route by trying: it takes the path apart, matches patterns, and makes a record of
what matched. Most requests name a path without parameters, or a key, and for those a look into a
dictionary says the same. Whatever is not found here (an escaped or unknown path, another method,
a path with parameters, `Expect`) is searched for as ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Final, TypeAlias, cast

from aiohttp import hdrs, web

from controlplane.api.reply import Reply

Answered: TypeAlias = web.StreamResponse | Reply
AppHandler: TypeAlias = Callable[[web.Request], Awaitable[Answered]]
Search: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

PARAMETER_STARTS: Final = "{"


class Shortcuts:
    """Handlers by method and path: of whole paths, and of those that end with the rest of one."""

    __slots__ = ("_by_path", "_by_prefix")

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str], AppHandler] = {}
        self._by_prefix: dict[str, list[tuple[str, AppHandler]]] = {}

    def add(
        self, method: str, path: str, handler: AppHandler, rest_of_path: Container[str]
    ) -> None:
        """Take a route, if it can be found by its path alone."""
        fixed, starts, parameter = path.partition(PARAMETER_STARTS)
        if not starts:
            self._by_path[method, path] = handler
        elif parameter[:-1] in rest_of_path:
            self._by_prefix.setdefault(method, []).append((fixed, handler))

    def find(self, method: str, raw_path: str) -> AppHandler | None:
        """The handler of a path as it was sent, or None when it must be searched for."""
        handler = self._by_path.get((method, raw_path))
        if handler is None:
            for prefix, each in self._by_prefix.get(method, ()):
                if raw_path.startswith(prefix):
                    return each
        return handler

    def before(self, search: Search) -> Search:
        """Handle requests by a shortcut where there is one, and by `search` where there is none."""
        find = self.find

        def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            handler = find(request.method, request.rel_url.raw_path)
            if handler is None or hdrs.EXPECT in request.headers:
                return search(request)
            # The application makes its requests itself, and a Reply is written like a response.
            return cast(Search, handler)(request)

        return handle
