-- Idempotency keys of orders: a principal's second order with the same key is the first one.
ALTER TABLE package_order ADD COLUMN idempotency_key TEXT;
CREATE UNIQUE INDEX package_order_by_key ON package_order (principal, idempotency_key);
