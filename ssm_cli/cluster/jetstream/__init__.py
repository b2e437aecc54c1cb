"""NATS with JetStream behind the ports: raw publishes, reads and subscriptions, and no more."""
