"""Reading weights and models safely."""
