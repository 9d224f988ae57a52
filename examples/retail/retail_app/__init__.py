"""The demand of the next weeks, forecast by trees that stores grow together."""
