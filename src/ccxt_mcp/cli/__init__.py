"""The command line for people: call, tools, doctor, demo and simulator, and how each looks in a terminal."""
