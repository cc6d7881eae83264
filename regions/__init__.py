"""Places that fail, and what can be agreed across them."""
