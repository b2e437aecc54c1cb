"""The protocol, as pure steps: what happened and a state in, a state and commands out."""
