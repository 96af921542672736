"""What holds of two tiers, beyond what every backend promises."""
