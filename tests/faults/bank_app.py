"""The bank as a module for real server processes, told by the environment how to behave."""

from __future__ import annotations

import json
import os
import time

from tests.support.bank import build_bank

bank = build_bank(json.loads(os.environ["BANK_CONFIG"]))
domain = bank.domain
_delay = float(os.environ.get("BANK_DELAY", "0"))
bank.between = lambda event: time.sleep(_delay)
