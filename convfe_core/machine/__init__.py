"""What this machine is and has: memory, processor, libraries, TensorFlow, whose turn it is."""
