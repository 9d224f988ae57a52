"""What is in the ConfigMaps with the evidence of a run, which the controller writes and `panal evidence` reads. `panal.api.names` has their
names."""

from __future__ import annotations

COMPONENT, RECEIPTS = "evidence", "receipts"  # the component, as a label: of the record and what seals it, and of receipts

# Of `<run>-evidence`.
KEY_RECORD = "record"  # canonical JSON; in a part of a long record a piece of it
KEY_PARTS = "parts"  # JSON: the names of the parts, if it is long
KEY_DIGEST = "sha256"  # of the record
KEY_RECORDED = "recorded"  # when it was made
KEY_ASKED = "asked"  # JSON: the clusters that are to countersign it
KEY_SIGNATURE = "signature"  # the hub's, of all that but the record itself, which its digest stands for (`stored`)

# Of `<run>-evidence-sealed`.
KEY_ENTRY = "entry"  # canonical JSON: that of the hub's ledger
KEY_CLOSING = "countersigning"  # JSON: `content` and `signature` of what is sealed about the receipts

# Of `<run>-evidence-receipts-N`, by cluster: JSON with `receipt`, `signature`, `key`, and
STORED_BY = "storedBy"  # the hub's signature: it has got the receipt from that cluster (`stored`)

PUBLIC_KEY = "key.pub"  # PEM: the hub's

# Of `panal-evidence` in the controller's namespace, which has PUBLIC_KEY as well.
LAST = "last"  # canonical JSON: the last entry of the hub's ledger
FORMER = "former"  # JSON: the public keys that the hub had before
