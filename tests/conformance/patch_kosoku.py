"""Mends a fault of kosoku 0.1.0: cases 12.* and 13.* hash a message that may be str as if it were bytes.

A message that is answered uncompressed, as RFC 7692 allows, reaches onMessage as str (text as it is, binary as Latin-1),
and hashlib refuses it: "Strings must be encoded before hashing". Run by the Python that has kosoku installed.
"""

import pathlib
import sys

import kosoku

path = pathlib.Path(kosoku.__file__).parent / "cases" / "case12_x_x.py"
before = "def onMessage(self, msg, binary):\n"
after = before + "   if isinstance(msg, str):\n      msg = msg.encode('latin-1' if binary else 'utf-8')\n"

text = path.read_text()
if after not in text:
    if text.count(before) != 1:
        sys.exit(f"{path}: not the file this patch is for")
    path.write_text(text.replace(before, after))
