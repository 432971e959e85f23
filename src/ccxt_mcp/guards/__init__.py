"""What stands between a caller and an exchange: cache, breaker, limiter, batching, meters and redaction."""
