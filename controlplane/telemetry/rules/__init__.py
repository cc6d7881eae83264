"""Recording and alert rules for Prometheus, made from templates; deploy/prometheus has them."""
