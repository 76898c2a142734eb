"""The databases: what must outlive the process. All awaits on them are here."""
