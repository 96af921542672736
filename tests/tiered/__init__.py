"""What holds of two tiers: what crashes, lost answers, races and moves leave of them."""
