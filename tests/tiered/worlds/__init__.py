"""Two tiers step by step: what crashes, lost answers and races leave of them."""
