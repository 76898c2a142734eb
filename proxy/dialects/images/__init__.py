"""Images: from a text, and from other images, whoever makes them."""
