"""The one grammar: what is typed at the prompt, put in a script, or passed as `ssm VERB`."""
