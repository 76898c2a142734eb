"""The providers: every byte to and from them passes here."""
