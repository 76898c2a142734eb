"""Speech: a text becoming sound, in whichever encoding the caller asked for."""
