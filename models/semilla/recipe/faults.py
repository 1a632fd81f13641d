"""The one error the recipe raises on bad input: a sentence for the person at the keyboard."""


class RecipeFault(Exception):
    """What is wrong, where, and what to do. The entry point prints it and leaves with status 1."""
