"""A running scan seen from outside: its status is published, what operators ask of it comes back."""
