"""Other ways to personalise, a file each, and what each costs."""
