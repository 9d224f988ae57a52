"""Handwritten digits, learnt by a small convolutional network at sites that each see mostly a few of them."""
