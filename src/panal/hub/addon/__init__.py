"""The add-on on the hub, by which clusters take part and get their certificates. `panal.addon` decides; this package reads and writes.

`controller` is the loop over clusters, `signing` answers certificate requests, `authorities` creates, rotates and uses the two certificate
authorities, and `authority_store` stores one of them in a Secret.
"""
