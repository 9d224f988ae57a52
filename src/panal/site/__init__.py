"""The policy of a site: what its owner allows, and every decision about it, without input or output.

`panal.site_controller` runs at the site, and applies these decisions.
"""
