"""What all pages stand on: session, guards, navigation."""
