"""The two tiers: what crashes, lost answers and races leave of them."""
