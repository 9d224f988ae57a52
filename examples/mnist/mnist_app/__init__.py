"""Handwritten digits, learnt by sites that each see mostly a few of them."""
