"""What the tests of these pages leave out: how the site is built, and what a build leaves here."""

collect_ignore = ["conf.py", "figures", "_build", "auto_examples", "api/generated", "api/backreferences"]
