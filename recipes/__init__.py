"""Recipes: one YAML file that says what a CI job converts, within which budget, and where it is published."""
