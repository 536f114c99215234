"""The rules, as pure functions of facts and the time. Imports the standard library only."""
