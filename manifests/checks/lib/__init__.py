"""What several check scripts share. It is copied into the image beside them, and uses the standard library alone."""
