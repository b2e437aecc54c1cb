"""Where what outlives the process is kept: a folder with a database, and its twin in memory."""
