"""The front door and the ledger behind it."""
