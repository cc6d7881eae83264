"""Models of the protocol, explored state by state, and what runs them."""
