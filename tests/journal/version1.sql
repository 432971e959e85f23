BEGIN TRANSACTION;
CREATE TABLE journal_audit (
            seq INTEGER PRIMARY KEY, time_ms BIGINT NOT NULL, event TEXT NOT NULL, who TEXT NOT NULL, tool TEXT,
            exchange TEXT, account TEXT, mode TEXT, client_order_id TEXT, facts TEXT NOT NULL, prev TEXT NOT NULL,
            hash TEXT NOT NULL);
INSERT INTO "journal_audit" VALUES(1,1728043200000,'attempt','tester','trade_create_order',NULL,NULL,NULL,NULL,'{}','0000000000000000000000000000000000000000000000000000000000000000','a7fcd13da03c8230073d43bceceb400bc2c9900df217a65db219d94cb177f127');
INSERT INTO "journal_audit" VALUES(2,1728043200000,'reserved','tester','trade_create_order','kraken','main','live','client-a','{"intent":1,"kind":"create","notionalUsd":"100.000000000000000001","request":{"amount":"0.10","side":"buy","symbol":"BTC/USDT"}}','a7fcd13da03c8230073d43bceceb400bc2c9900df217a65db219d94cb177f127','c86f9a6a33b2d70acebbf11e220baf43f6d4194c01fb6c555b993fa809df0e9d');
INSERT INTO "journal_audit" VALUES(3,1728043200000,'halted','operator',NULL,NULL,NULL,NULL,NULL,'{"scope":"*","why":"upgrade"}','c86f9a6a33b2d70acebbf11e220baf43f6d4194c01fb6c555b993fa809df0e9d','3fb958cc326187688e56af0a7bbfd304bce3a79ab722272d39056448b81177aa');
CREATE TABLE journal_halts (
            scope TEXT PRIMARY KEY, "by" TEXT NOT NULL, why TEXT NOT NULL, since_ms BIGINT NOT NULL);
INSERT INTO "journal_halts" VALUES('*','operator','upgrade',1728043200000);
CREATE TABLE journal_intents (
            id INTEGER PRIMARY KEY AUTOINCREMENT, exchange TEXT NOT NULL, account TEXT NOT NULL, mode TEXT NOT NULL, kind TEXT NOT NULL,
            client_order_id TEXT NOT NULL, sent_id TEXT NOT NULL, order_id TEXT, fingerprint TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('open', 'accepted', 'rejected', 'unknown')),
            raises_risk BOOLEAN NOT NULL, notional_usd TEXT, notional_micros BIGINT, request TEXT NOT NULL,
            "order" TEXT, error TEXT, who TEXT NOT NULL, tool TEXT NOT NULL, created_ms BIGINT NOT NULL,
            updated_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, owner TEXT NOT NULL, claimed_by TEXT,
            claimed_until_ms BIGINT, attempts INTEGER NOT NULL, note TEXT, ticket TEXT,
            UNIQUE (exchange, account, client_order_id));
INSERT INTO "journal_intents" VALUES(1,'kraken','main','live','create','client-a','sent-a',NULL,'print-a','open',1,'100.000000000000000001',100000001,'{"amount":"0.10","side":"buy","symbol":"BTC/USDT"}',NULL,NULL,'tester','trade_create_order',1728043200000,1728043200000,1728043200000,'{"host":"host","pid":22589,"start":"350011","token":"36759337ec714ee9"}',NULL,NULL,0,NULL,NULL);
CREATE TABLE journal_marks (
            exchange TEXT NOT NULL, account TEXT NOT NULL, day INTEGER NOT NULL, value TEXT NOT NULL,
            PRIMARY KEY (exchange, account, day));
CREATE TABLE journal_tickets (
            code TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, exchange TEXT NOT NULL, account TEXT NOT NULL,
            who TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('waiting', 'approved', 'declined', 'used', 'expired')),
            facts TEXT NOT NULL, asked_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, decided_by TEXT, how TEXT,
            used_by BIGINT);
CREATE TABLE journal_version (version INTEGER NOT NULL);
INSERT INTO "journal_version" VALUES(1);
CREATE UNIQUE INDEX journal_intents_sent ON journal_intents (exchange, account, sent_id) WHERE sent_id <> '';
CREATE INDEX journal_intents_time ON journal_intents (exchange, account, created_ms);
CREATE INDEX journal_intents_order ON journal_intents (exchange, account, order_id);
CREATE INDEX journal_intents_in_flight ON journal_intents (exchange, account)
            WHERE state IN ('open', 'unknown');
CREATE INDEX journal_audit_intent ON journal_audit (client_order_id);
CREATE INDEX journal_tickets_alive ON journal_tickets (fingerprint)
            WHERE state IN ('waiting', 'approved');
CREATE TRIGGER journal_audit_no_update BEFORE UPDATE ON journal_audit
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER journal_audit_no_delete BEFORE DELETE ON journal_audit
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER journal_audit_no_replace BEFORE INSERT ON journal_audit
            WHEN EXISTS (SELECT 1 FROM journal_audit WHERE seq = NEW.seq)
            BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('journal_intents',1);
COMMIT;
