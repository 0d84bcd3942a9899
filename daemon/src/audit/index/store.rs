//! The index's file: opened, made, replaced.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{Access, FlockOperation};
use rustix::io::Errno;

use super::super::files::{self, FileId, Make, open_file};
use super::schema::{DAY_US, EVER, TABLES, version};
use super::{INDEX_FILE, IndexError, index};

/// Who holds its lock may open or replace the index.
const LOCK_FILE: &str = "audit.index.lock";
/// What SQLite adds to the file's name for its own files beside it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// How long one writer waits for another: longer than any batch takes, and than the indexes of a large trail.
const BUSY: Duration = Duration::from_secs(300);
/// How often it is tried again to get the lock: whoever has it needs about a millisecond.
const BUSY_TICK: Duration = Duration::from_millis(5);
/// Pages at hand, in KiB.
const CACHE_KIB: i64 = 32 << 10;
/// Pages that are written before they go to their places: 16 MiB of 4 KiB.
const CHECKPOINT_PAGES: i64 = 4096;

/// Whether files can be made in `dir`.
pub(super) fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// Which file is the index now.
pub(super) fn file_id(dir: &Path) -> io::Result<FileId> {
    fs::symlink_metadata(dir.join(INDEX_FILE)).map(|found| FileId::of(&found))
}

/// Opens the index, made or replaced if that has to be.
pub(super) fn open(dir: &Path) -> Result<(Connection, FileId), IndexError> {
    let _lock = lock(dir).map_err(|source| super::files(dir, source))?;
    match try_open(dir) {
        Err(IndexError::Index { source, .. }) if is_damage(&source) => {
            tracing::warn!("the index in {} is made anew: {source}", dir.display());
            remove(dir).map_err(|source| super::files(dir, source))?;
            try_open(dir)
        }
        opened => opened,
    }
}

/// Keeps others from opening or replacing the index at the same time: what SQLite locks is in the files themselves,
/// which are exchanged here. It goes with what is given back.
fn lock(dir: &Path) -> io::Result<File> {
    make(dir, LOCK_FILE)?;
    let file = open_file(&dir.join(LOCK_FILE), Make::No)?;
    let deadline = Instant::now() + BUSY;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => thread::sleep(BUSY_TICK),
            done => return done.map(|()| file).map_err(io::Error::from),
        }
    }
}

/// An index in memory.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    set_up(&mut connection)?;
    Ok(connection)
}

/// Deletes the index, unless it is another one than `file` by now.
pub(super) fn discard(dir: &Path, file: FileId) -> io::Result<()> {
    let _lock = lock(dir)?;
    match file_id(dir) {
        Ok(found) if found == file => remove(dir),
        _ => Ok(()),
    }
}

/// Deletes the index.
fn remove(dir: &Path) -> io::Result<()> {
    SUFFIXES.iter().try_for_each(|suffix| files::remove(&dir.join(format!("{INDEX_FILE}{suffix}"))))
}

/// Whether a file is not what SQLite has written, or nothing that this version has: then it is replaced.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let is_damage = matches!(
        code,
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
        )
    );
    // `Unknown` is a statement that does not fit the tables.
    is_damage || matches!(error, rusqlite::Error::InvalidColumnType(..)) || code == Some(ErrorCode::Unknown)
}

fn try_open(dir: &Path) -> Result<(Connection, FileId), IndexError> {
    make(dir, INDEX_FILE).map_err(|source| super::files(dir, source))?;
    let before = file_id(dir).map_err(|source| super::files(dir, source))?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // SQLite refuses links on the way, too; those the operator has made are no danger.
    let path = fs::canonicalize(dir).map_err(|source| super::files(dir, source))?.join(INDEX_FILE);
    let opened = Connection::open_with_flags(path, flags).and_then(|mut connection| {
        set_up(&mut connection)?;
        Ok(connection)
    });
    opened.map(|connection| (connection, before)).map_err(|source| index(dir, source))
}

/// Makes a file if it is missing, for its owner alone; that is the directory's, so that the daemon can go on with what
/// root has made. What is there already is given to nobody: the owner may have put a link there to a file of root's.
fn make(dir: &Path, name: &str) -> io::Result<()> {
    match open_file(&dir.join(name), Make::New) {
        Ok(file) => give_to_owner(dir, &file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a file that root has made to the directory's owner.
fn give_to_owner(dir: &Path, file: &File) -> io::Result<()> {
    let owner = fs::metadata(dir)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Makes the connection fit, and the tables if there are none.
///
/// # Errors
/// [`ErrorCode::NotADatabase`], too, when the tables are of another form.
fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // With a log that is written ahead nobody who asks waits for the daemon. Without a wait for the disk at each
    // transaction the newest may be missing after a power cut, and comes again from the lines.
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Whoever goes last would take the log's files away, and meet whoever comes then.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * 4096)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let found = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
    };
    if found(connection)? == version() {
        return Ok(());
    }
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match found(&transaction)? {
        // Somebody else has made them just now.
        now if now == version() => Ok(()),
        0 if tables == 0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", version())?;
            transaction.commit()
        }
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
            Some("it is of another form".to_owned()),
        )),
    }
}

/// Deletes what was made of lines before `oldest`, some at a time. What is still open stays, and ends in its time.
pub(super) fn prune(connection: &mut Connection, oldest: i64, at_once: i64) -> rusqlite::Result<()> {
    let pruned: i64 = connection.query_row("SELECT pruned FROM state", [], |row| row.get(0))?;
    if pruned >= oldest {
        return Ok(());
    }
    // The first time there may be nothing before: the trail begins with its first line.
    let mut after = 0;
    loop {
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
        let last: Option<i64> = transaction
            .prepare_cached("SELECT max(id) FROM (SELECT id FROM act WHERE id > ?1 ORDER BY id LIMIT ?2)")?
            .query_row((after, at_once), |row| row.get(0))?;
        let Some(last) = last else { break };
        let range = (after, last, oldest);
        const GONE: &str = "id > ?1 AND id <= ?2 AND line < ?3 AND open = 0";
        transaction.execute(
            &format!(
                "UPDATE tally SET count = count - gone.n, sent = tally.sent - gone.s, received = tally.received - gone.r \
                 FROM (SELECT d, kind AS k, count(*) AS n, sum(sent) AS s, sum(received) AS r FROM (\
                 SELECT started / {DAY_US} AS d, kind, sent, received FROM act WHERE {GONE} UNION ALL \
                 SELECT {EVER}, kind, sent, received FROM act WHERE {GONE}) GROUP BY 1, 2) AS gone \
                 WHERE day = gone.d AND kind = gone.k"
            ),
            range,
        )?;
        let deleted = transaction.execute(&format!("DELETE FROM act WHERE {GONE}"), range)?;
        // Behind many that are still open there may be more.
        let is_old = "SELECT EXISTS (SELECT 1 FROM act WHERE id > ?1 AND id <= ?2 AND line < ?3)";
        let has_old: bool = transaction.query_row(is_old, range, |row| row.get(0))?;
        transaction.commit()?;
        if deleted == 0 && !has_old {
            break;
        }
        after = last;
    }
    connection.execute("DELETE FROM tally WHERE count <= 0", [])?;
    connection.execute("UPDATE state SET pruned = ?1", [oldest])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_is_deleted_behind_what_is_open() {
        let mut connection = in_memory().unwrap();
        for (id, is_open) in [(1, true), (2, true), (3, false), (4, false), (5, false)] {
            let add = "INSERT INTO act (id, kind, started, open, sent, received, line) VALUES (?1, 1, 0, ?2, 0, 0, ?1)";
            connection.execute(add, (id, is_open)).unwrap();
        }
        prune(&mut connection, 5, 2).unwrap();
        let left: Vec<i64> = connection
            .prepare("SELECT id FROM act ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(left, [1, 2, 5]);
    }
}
