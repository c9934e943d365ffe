"""What is trained for the study besides its trials: earlier stages of a backbone, and detectors as a whole."""
