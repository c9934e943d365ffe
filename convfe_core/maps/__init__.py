"""From a backbone and photographs to feature maps."""
