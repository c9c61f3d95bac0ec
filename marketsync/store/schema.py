"""The schema in numbered migrations: each runs in one transaction with its version row, so a killed one restarts
(failure 65). Every key begins with the merchant, the key by which the data could one day be spread (design D10)."""

from __future__ import annotations

OPEN_SEQ = 9223372036854775807
"""`claims.settled_seq` of a claim that reports must still be held against."""

_LIFE = (
    "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE sequence (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)",
    # Guarded updates compare the holder's epoch with this row: a zombie changes nothing (A7).
    "CREATE TABLE lease (merchant TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL)",
    "CREATE TABLE tokens (credential TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL)",
    """CREATE TABLE connections (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, role TEXT NOT NULL,
        paused TEXT NOT NULL, paused_by TEXT NOT NULL, traits TEXT NOT NULL,
        PRIMARY KEY (merchant, connection)
    ) WITHOUT ROWID""",
    """CREATE TABLE maps (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (merchant, connection, kind, source)
    ) WITHOUT ROWID""",
    """CREATE TABLE history (
        merchant TEXT NOT NULL, id INTEGER NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL,
        event TEXT NOT NULL, detail TEXT NOT NULL,
        PRIMARY KEY (merchant, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX history_of ON history (merchant, subject, id)",
)

_ORDERS = (
    """CREATE TABLE orders (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, order_id TEXT NOT NULL,
        ref TEXT NOT NULL, back_office TEXT NOT NULL, document BLOB NOT NULL, content_hash TEXT NOT NULL,
        read_begin_seq INTEGER NOT NULL, read_end_seq INTEGER NOT NULL, arrival_seq INTEGER NOT NULL,
        revision INTEGER NOT NULL, external INTEGER NOT NULL, open INTEGER NOT NULL,
        imported_at INTEGER NOT NULL, pushed_at INTEGER, read_at INTEGER NOT NULL,
        PRIMARY KEY (merchant, connection, order_id)
    ) WITHOUT ROWID""",
    # A reference names one order: two orders under one would be one record in the shop.
    "CREATE UNIQUE INDEX orders_ref ON orders (merchant, ref)",
    "CREATE INDEX orders_arrival ON orders (merchant, arrival_seq)",
    "CREATE INDEX orders_pushed ON orders (merchant, back_office, ref) WHERE open = 1 AND pushed_at IS NOT NULL",
    "CREATE INDEX orders_unread ON orders (merchant, connection, read_at) WHERE open = 1",
    # Buyers' data, apart from everything else: what is encrypted and purged.
    """CREATE TABLE parties (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, order_id TEXT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (merchant, connection, order_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE raws (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, order_id TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (merchant, connection, order_id)
    )""",
    """CREATE TABLE payloads (
        merchant TEXT NOT NULL, delivery INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (merchant, delivery)
    )""",
    """CREATE TABLE shipments (
        merchant TEXT NOT NULL, ref TEXT NOT NULL, shipment_id TEXT NOT NULL,
        content_hash TEXT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (merchant, ref, shipment_id)
    ) WITHOUT ROWID""",
)

_DELIVERIES = (
    """CREATE TABLE deliveries (
        id INTEGER NOT NULL, merchant TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, subject TEXT NOT NULL,
        order_ref TEXT NOT NULL, lane INTEGER NOT NULL, state TEXT NOT NULL,
        wanted INTEGER NOT NULL, sent INTEGER NOT NULL, done INTEGER NOT NULL,
        attempt INTEGER NOT NULL, step INTEGER NOT NULL, unsettled INTEGER NOT NULL,
        payload_hash TEXT NOT NULL, checkpoint TEXT NOT NULL, due_at REAL NOT NULL,
        first_departure_at REAL, last_departure_at REAL,
        doubt_boot TEXT NOT NULL, doubt_since REAL NOT NULL, doubt_wait_seconds REAL NOT NULL,
        send_by REAL NOT NULL, second_probe_at REAL, failures INTEGER NOT NULL, error TEXT NOT NULL,
        created_seq INTEGER NOT NULL, sent_seq INTEGER, done_seq INTEGER,
        PRIMARY KEY (merchant, id),
        CHECK (state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked', 'done', 'cancelled')),
        CHECK (order_ref <> ''),
        CHECK (attempt >= 0 AND step >= 0 AND sent <= wanted AND done <= wanted),
        -- What may be on the wire has left under a number and a deadline (A2, A3).
        CHECK (state <> 'sent' OR (attempt > 0 AND send_by > 0 AND sent_seq IS NOT NULL)),
        -- A doubt without its boot could end too early after a restart (A5).
        CHECK (state <> 'in_doubt' OR (unsettled = 1 AND attempt > 0 AND doubt_boot <> '')),
        -- An attempt that may still land is never simply sent again, and never over (A16, A18).
        CHECK (state NOT IN ('queued', 'done', 'cancelled') OR unsettled = 0),
        CHECK (state <> 'done' OR done = wanted)
    ) WITHOUT ROWID""",
    # Ids come from the one global sequence; people and parked items name a delivery by its id alone.
    "CREATE UNIQUE INDEX deliveries_id ON deliveries (id)",
    # One live row for each record that we keep (D5): a second one would send it twice.
    "CREATE UNIQUE INDEX deliveries_subject ON deliveries (merchant, target, subject, kind)",
    # One in flight for each order and target (A1): the database refuses what a race in the dispatcher would let through.
    """CREATE UNIQUE INDEX deliveries_in_flight ON deliveries (merchant, target, order_ref)
        WHERE state IN ('sent', 'waiting', 'in_doubt')""",
    "CREATE INDEX deliveries_due ON deliveries (merchant, target, lane, due_at, id) WHERE state = 'queued'",
    """CREATE INDEX deliveries_unfinished ON deliveries (merchant, target, order_ref, created_seq, id, state, kind)
        WHERE state IN ('queued', 'sent', 'waiting', 'in_doubt', 'parked')""",
    "CREATE INDEX deliveries_of_order ON deliveries (merchant, order_ref, target)",
    """CREATE INDEX deliveries_second_probe ON deliveries (merchant, target, second_probe_at)
        WHERE second_probe_at IS NOT NULL""",
    """CREATE VIEW delivery_rows AS SELECT
        d.id, d.merchant, d.kind, d.target, d.subject, d.order_ref, d.lane, d.state, d.wanted, d.sent, d.done,
        d.attempt, d.step, d.unsettled,
        (SELECT p.body FROM payloads p WHERE p.merchant = d.merchant AND p.delivery = d.id) AS payload,
        d.payload_hash, d.checkpoint, d.due_at, d.first_departure_at, d.last_departure_at,
        d.doubt_boot, d.doubt_since, d.doubt_wait_seconds, d.send_by, d.second_probe_at, d.failures, d.error,
        d.created_seq, d.sent_seq, d.done_seq
        FROM deliveries d""",
    """CREATE TABLE batch_items (
        merchant TEXT NOT NULL, delivery INTEGER NOT NULL, subject TEXT NOT NULL, quantity INTEGER NOT NULL,
        settled INTEGER NOT NULL, error TEXT NOT NULL,
        PRIMARY KEY (merchant, delivery, subject)
    ) WITHOUT ROWID""",
    # Insert-only and never pruned (A8, A24): an old resync must find what was written.
    """CREATE TABLE links (
        merchant TEXT NOT NULL, target TEXT NOT NULL, subject TEXT NOT NULL, kind TEXT NOT NULL, remote_id TEXT NOT NULL,
        PRIMARY KEY (merchant, target, subject, kind, remote_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX links_remote ON links (merchant, target, remote_id)",
    """CREATE TABLE parked (
        merchant TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, connection TEXT NOT NULL,
        reason TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (merchant, kind, item)
    ) WITHOUT ROWID""",
    "CREATE INDEX parked_newest ON parked (merchant, at)",
    # Many to many: several causes may hold one item, one cause may hold many.
    """CREATE TABLE parked_causes (
        merchant TEXT NOT NULL, cause TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL,
        PRIMARY KEY (merchant, cause, kind, item)
    ) WITHOUT ROWID""",
    "CREATE INDEX parked_causes_of ON parked_causes (merchant, item, kind)",
)

_READING = (
    """CREATE TABLE coverage (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, axis TEXT NOT NULL,
        lo INTEGER NOT NULL, hi INTEGER NOT NULL, read_at INTEGER NOT NULL,
        PRIMARY KEY (merchant, connection, axis, lo, hi),
        CHECK (lo <= hi)
    ) WITHOUT ROWID""",
    """CREATE TABLE holes (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, axis TEXT NOT NULL,
        lo INTEGER NOT NULL, hi INTEGER NOT NULL, cause TEXT NOT NULL,
        PRIMARY KEY (merchant, connection, axis, lo, hi),
        CHECK (lo <= hi)
    ) WITHOUT ROWID""",
    """CREATE TABLE resyncs (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, id INTEGER NOT NULL, axis TEXT NOT NULL,
        lo INTEGER NOT NULL, hi INTEGER NOT NULL, done_to INTEGER, finished_at INTEGER,
        PRIMARY KEY (merchant, connection, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX resyncs_open ON resyncs (merchant, connection, id) WHERE finished_at IS NULL",
    "CREATE UNIQUE INDEX resyncs_id ON resyncs (id)",
)

_STOCK = (
    """CREATE TABLE articles (
        merchant TEXT NOT NULL, back_office TEXT NOT NULL, sku TEXT NOT NULL,
        document BLOB NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (merchant, back_office, sku)
    ) WITHOUT ROWID""",
    """CREATE TABLE reports (
        merchant TEXT NOT NULL, pool TEXT NOT NULL, sku TEXT NOT NULL, location TEXT NOT NULL,
        value INTEGER NOT NULL, begin_seq INTEGER NOT NULL, end_seq INTEGER NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (merchant, pool, sku, location),
        -- A read is numbered around its request (C1); the other way round it would prove what it cannot have seen.
        CHECK (begin_seq <= end_seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE claims (
        merchant TEXT NOT NULL, ref TEXT NOT NULL, line_id TEXT NOT NULL, sku TEXT NOT NULL, location TEXT NOT NULL,
        pool TEXT NOT NULL, connection TEXT NOT NULL, arrival_seq INTEGER NOT NULL,
        target INTEGER NOT NULL, held INTEGER NOT NULL, allocated INTEGER NOT NULL,
        needs_acceptance INTEGER NOT NULL, accepted INTEGER NOT NULL, closed INTEGER NOT NULL,
        settled_seq INTEGER NOT NULL,
        PRIMARY KEY (merchant, ref, line_id, sku, location),
        CHECK (target >= 0 AND held >= 0)
    ) WITHOUT ROWID""",
    # A closed claim still counts against reports that began before its last event was certain (C11).
    "CREATE INDEX claims_of_sku ON claims (merchant, pool, sku, settled_seq)",
    """CREATE INDEX claims_waiting ON claims (merchant, pool, arrival_seq)
        WHERE needs_acceptance = 1 AND accepted = 0 AND closed = 0""",
    """CREATE TABLE claim_steps (
        merchant TEXT NOT NULL, ref TEXT NOT NULL, line_id TEXT NOT NULL, sku TEXT NOT NULL, location TEXT NOT NULL,
        id INTEGER NOT NULL, delivery INTEGER NOT NULL, event TEXT NOT NULL,
        taken_before INTEGER NOT NULL, taken_after INTEGER NOT NULL, held_after INTEGER,
        sent_seq INTEGER, done_seq INTEGER, mature_seq INTEGER, in_doubt INTEGER NOT NULL,
        PRIMARY KEY (merchant, ref, line_id, sku, location, id),
        CHECK (done_seq IS NULL OR sent_seq IS NOT NULL),
        -- Only what is committed can become certain (C7).
        CHECK (mature_seq IS NULL OR done_seq IS NOT NULL)
    ) WITHOUT ROWID""",
    "CREATE INDEX claim_steps_of_delivery ON claim_steps (merchant, delivery)",
    "CREATE INDEX claim_steps_unmatured ON claim_steps (merchant, delivery, done_seq) WHERE mature_seq IS NULL",
    """CREATE TABLE claim_parcels (
        merchant TEXT NOT NULL, ref TEXT NOT NULL, line_id TEXT NOT NULL, sku TEXT NOT NULL, location TEXT NOT NULL,
        shipment_id TEXT NOT NULL, quantity INTEGER NOT NULL, seq INTEGER NOT NULL, mature_seq INTEGER,
        PRIMARY KEY (merchant, ref, line_id, sku, location, shipment_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX claim_parcels_unmatured ON claim_parcels (merchant, seq) WHERE mature_seq IS NULL",
    """CREATE TABLE listings (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, sku TEXT NOT NULL,
        value INTEGER, compute_seq INTEGER NOT NULL, done_at INTEGER, presumed INTEGER,
        state TEXT NOT NULL, event_seq INTEGER NOT NULL, delivery INTEGER NOT NULL, dirty INTEGER NOT NULL,
        error TEXT NOT NULL,
        PRIMARY KEY (merchant, connection, sku)
    ) WITHOUT ROWID""",
    "CREATE INDEX listings_of_sku ON listings (merchant, sku)",
    "CREATE INDEX listings_dirty ON listings (merchant, connection, sku) WHERE dirty = 1",
    """CREATE INDEX listings_in_flight ON listings (merchant, connection, sku)
        WHERE state IN ('in_flight', 'in_doubt')""",
)

VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL)"
)
# How often each listing was written on its marketplace's day, for those that count.
_LISTING_WRITES = (
    """CREATE TABLE listing_writes (
        merchant TEXT NOT NULL, connection TEXT NOT NULL, sku TEXT NOT NULL, day TEXT NOT NULL, writes INTEGER NOT NULL,
        PRIMARY KEY (merchant, connection, sku)
    ) WITHOUT ROWID""",
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (*_LIFE, *_ORDERS, *_DELIVERIES, *_READING, *_STOCK),
    _LISTING_WRITES,
)
