"""The built-in kinds of documents: a schema each, and what holds before anybody has edited it."""
