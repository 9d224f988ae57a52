"""`initialize.py URI FOLDER`, as KServe calls its storage initializer."""

import logging
import sys

from kserve_storage import Storage

logging.basicConfig(level=logging.INFO)
Storage.download(sys.argv[1], sys.argv[2])
