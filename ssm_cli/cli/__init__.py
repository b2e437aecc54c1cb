"""The command line: Typer commands over `NodeApi`, and the place where everything is composed."""
