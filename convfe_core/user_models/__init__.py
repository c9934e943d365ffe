"""A model file of the user's becomes a network like those of the catalog."""
