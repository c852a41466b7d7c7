"""Self-supervised models: two paths and two views, masked autoencoding, teachers."""
