"""Metrics and traces: the only place that knows a telemetry library."""
