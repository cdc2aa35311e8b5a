"""Ends with 0 when Plantree's clients may connect, for Docker's health check."""

import os
import sys
import urllib.error
import urllib.request

PORT = os.environ.get("PLANTREE_HTTP__PORT", "8080")

try:
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=3).close()
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"not healthy: {error}")
