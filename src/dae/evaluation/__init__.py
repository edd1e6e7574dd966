"""What is measured on validation and test images."""
