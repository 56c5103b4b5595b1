"""Drawing samples, guided or not, and the ledger of what that costs."""
