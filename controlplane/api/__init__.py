"""The HTTP edge: routes, handlers, event streams, problem documents."""
