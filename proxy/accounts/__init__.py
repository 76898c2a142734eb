"""May you? Keys and, with the ledger, credit and limits. Pure: no clock, no chance, no I/O."""
