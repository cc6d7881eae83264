"""Feature flags in an application: its own copy, and the OpenFeature provider."""
