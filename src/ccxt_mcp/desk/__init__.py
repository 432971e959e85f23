"""The write route: every order goes through the Desk, and what it does can be found out again after any accident."""
