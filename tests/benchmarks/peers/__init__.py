"""This project beside others that roll events up, with equal work: see ``__main__``."""
