"""Guarantees about the labels that no person checks, which hold however often people look at them."""
