"""What do we believe about each arm? State, and the fold over the journal. Start in `belief`."""
