-- Orders about the keys of repositories; keys: a list in JSON.
ALTER TABLE package_order DROP CONSTRAINT package_order_kind_check;
ALTER TABLE package_order ADD CONSTRAINT package_order_kind_check CHECK (kind IN ('remove', 'list', 'roll', 'keys'));
ALTER TABLE package_order ADD COLUMN keys TEXT COLLATE "C" NOT NULL DEFAULT '[]';
