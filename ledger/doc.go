// Package ledger keeps append-only RFC 6962 Merkle logs of opaque entries, and an index of keys over them, in one directory
// (an embedded Pebble database).
//
// # Logs, scopes and keys
//
// A [DB] holds logs, each named by its origin. A log is never empty: entry 0 is given when it is created. Entries are numbered from
// 0, never change and never go away. The ledger knows nothing of what they say.
//
// A log belongs to a scope: the space in which keys are unique and state is counted. A registry is a scope; its closed logs and its
// open one share it. Scopes do not see each other.
//
// A [Key] is a hash with an ordinal. The entries under one hash are numbered 0, 1, 2… across all logs of the scope, in the order
// they were appended, and an entry says which number it expects to get. So "this must be new" is {hash, 0}, "I have seen one and this
// is the second" is {hash, 1}, and two callers who decided on the same evidence cannot both succeed. [Next] takes any number.
// Lists are expected to be short (tens): they are read from their beginning.
//
// # Epochs
//
// State entries are those that callers fold into what they admit by (identities, enrolments). The scope's epoch is the number of
// state entries in its logs. A caller reads [Log.Epoch], then folds [Log.StateEntries] of the scope's logs, and appends with that
// epoch; if any state entry came in between, Append returns [ErrEpoch] and the caller folds and decides again. A batch is one
// instant: its entries are all admitted by the state before it.
//
// # Durability and order
//
// Append is one transaction, durable when it returns: entries, keys, state marks and tree hashes are all there or none is, after any
// crash. One Append runs at a time per scope; readers do not wait for it, and see its entries only once they are durable.
//
// A checkpoint is what the caller had signed over a prefix of the log: opaque bytes, with the size and root they are about.
// [Log.StoreCheckpoint] keeps only the largest, and none whose root is not the tree's. A new log has none until the first is stored:
// [Checkpoint].Size is then 0. [Log.Tile] and [Log.EntryBundle], which serve the public, never show anything beyond the stored
// checkpoint; the other methods show all that is durable.
//
// # What is verified
//
// [Open] refuses a log whose tree does not have the stored checkpoint's root at its size, whose entries after the checkpoint do not
// hash to what is stored, or whose counts disagree. [Log.Check] reads every entry again and compares everything. Both return a
// [*CorruptError]. There is no repair: a ledger that disagrees with itself is replaced by a good copy, because a repaired one would
// be another history under the same key.
//
// When the disk fails under a commit, nobody knows what it holds: the process panics, and what was durable is found by the next
// Open. When background writing or a block's checksum fails, all later writes are refused until the ledger is opened again.
//
// # For other stores
//
// A shared store (several processes, SQL) can follow the same contract: Append is a serialisable transaction that compares the
// epoch and inserts under unique (scope, hash, ordinal) and (log, index); StoreCheckpoint is a conditional update. Size, Epoch and
// Checkpoint are the latest this process knows of, at least what its own calls made; another process may be ahead, which Append and
// StoreCheckpoint find out.
package ledger
