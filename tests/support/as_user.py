"""`python as_user.py USER PROGRAM WORD…`: run a program as another user, who need not be able to reach the checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.runner_process import become

if __name__ == "__main__":
    become(sys.argv[1], [sys.base_prefix, str(Path(__file__).parents[2])])
    os.execv(sys.argv[2], sys.argv[2:])
