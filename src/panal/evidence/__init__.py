"""The evidence of a run: what is sealed with SHA-256 and Ed25519, how it is put into a file, and whether such a file is as it was sealed.
No input or output.

canonical      JSON that has one form               sealed         digests and signatures of a document
ledger         entries, chained and signed          rows           the chained rows of a run's history
receipt        what a site says at the end          file           the file of `panal evidence`
verify         examines it                             maps           the ConfigMaps from which it is made
stored         by what the hub knows its own ones
"""
