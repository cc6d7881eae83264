"""The house rules as functions: a file in, complaints out."""
