"""Learns from arrays which arms to choose next; knows neither what an arm means nor pandas."""
