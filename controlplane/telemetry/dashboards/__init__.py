"""Dashboards for Grafana, made from code; deploy/grafana has them."""
