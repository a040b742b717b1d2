"""A running scan seen from outside: its status goes out, what operators ask comes back."""
