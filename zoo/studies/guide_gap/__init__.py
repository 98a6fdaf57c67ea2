"""What a guide loses: the approximation and the amortisation gap."""
