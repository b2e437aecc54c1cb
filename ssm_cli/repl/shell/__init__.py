"""What a prompt adds to the commands: pipes, files, numbers of results, programs, settings."""
