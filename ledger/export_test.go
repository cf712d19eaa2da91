package ledger

func (db *DB) MetricsForTest() string { return db.store.Metrics().String() }
