"""The stats as a picture: one HTML page that works offline."""
