-- Idempotency keys are forgotten by age.
CREATE INDEX keys_idempotency_age ON keys (claimed_at) WHERE space = 'idempotency';
