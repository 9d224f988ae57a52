"""The add-on on the hub, by which clusters take part and get their certificates: `panal.addon` decides, and this does.

`controller` is the loop over clusters, `signing` answers their requests for certificates, `authorities` keeps the two authorities and asks
them for signatures, `authority_store` is the Secret in which one is kept.
"""
