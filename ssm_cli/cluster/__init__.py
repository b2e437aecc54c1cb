"""Remote children: subtrees on other computers, supervised over NATS JetStream."""
