"""What travels: the canonical request, the canonical events, and the frames of a stream."""
