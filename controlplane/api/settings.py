"""Limits of the HTTP edge. Whoever exceeds one is told which, and what it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ApiSettings(BaseModel):
    """How much the edge takes, how long it waits, how much it remembers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    json_bytes_max: int = Field(default=256 * 1024, ge=1_024)
    """The largest JSON body of a client. Values have their own limit, the node's."""
    peer_bytes_max: int = Field(default=4 * 1024 * 1024, ge=1_024)
    """The largest message of another node."""
    header_bytes_max: int = Field(default=8_190, ge=1_024)
    """The longest request line, and the longest header."""
    headers_max: int = Field(default=100, ge=16)
    """How many headers a request may have."""
    first_request_ms: int = Field(default=10_000, ge=10)
    """How long a new connection may take to send the head of its first request."""
    body_timeout_ms: int = Field(default=10_000, ge=10)
    """How long the body of a request may take to arrive."""
    request_timeout_ms: int = Field(default=15_000, ge=10)
    """How long another node may take to answer. What this node does has limits of its own."""
    connect_timeout_ms: int = Field(default=1_000, ge=10)
    """How long the connection to another node may take."""
    dial: dict[str, str] = Field(default_factory=dict)
    """Where to go instead of a node's own host:port: a way around, or a proxy."""
    peer_pause_ms: int = Field(default=500, ge=0)
    """For how long nothing is forwarded to a node that could not be reached."""
    named_wait_ms: int = Field(default=1_000, ge=0)
    """For how long a request is held that came because this node was named as the next leader."""
    peer_connections_max: int = Field(default=256, ge=1)
    """Connections kept to any one other node."""
    route_kept_ms: int = Field(default=50, ge=0)
    """For how long the answer to /v1/route may be given again; a new leader ends it at once."""
    streams_max: int = Field(default=256, ge=0)
    """How many event streams are served at once."""
    heartbeat_ms: int = Field(default=10_000, ge=10)
    """After how much silence a stream sends a sign of life."""
    stall_ms: int = Field(default=30_000, ge=10)
    """For how long a client of a stream may not read before it is let go."""
    table_interval_ms: int = Field(default=50, ge=0)
    """The least time between two looks at the routing table for its watchers."""
    table_changes_max: int = Field(default=2_000, ge=1)
    """How many changes of the routing table are kept for watchers that come back."""
    events_max: int = Field(default=10_000, ge=1)
    """How many life-cycle events are kept for watchers that come back."""
    replays_max: int = Field(default=4_096, ge=1)
    """How many outcomes of orders are remembered by their idempotency key."""
    replay_ms: int = Field(default=600_000, ge=1)
    """For how long they are."""
    shutdown_ms: int = Field(default=5_000, ge=0)
    """How long requests under way may still take when the server stops."""
