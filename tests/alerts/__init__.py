"""Alerts fired by real faults of a real fleet, and dashboards with what came of them."""
