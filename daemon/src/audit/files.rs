//! The files of a trail, by their names.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::chain::Point;
use super::line::LINE_MAX;

/// What is written now.
pub(super) const LIVE: &str = "audit.jsonl";
/// The number and hash of the last line that is written.
pub(super) const HEAD: &str = "audit.head";
/// Held by the daemon that writes.
pub(super) const LOCK: &str = "audit.lock";
/// Behind the name of a file that is not whole yet.
pub(super) const UNFINISHED: &str = ".new";

/// What is read at once.
pub(super) const READ_AT_ONCE: usize = 1 << 17;

/// Records are for their owner only.
const MODE: u32 = 0o600;

/// The file of a trail that begins with this line, and in which form it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first line; unknown of the live one before it is read.
    pub first: Option<u64>,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    /// Whether it is the one that is written to.
    pub fn is_live(&self) -> bool {
        self.first.is_none()
    }

    /// Whether it is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        is_compressed(&self.path)
    }

    /// Opens it; one that is compressed in this moment in its new form.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<Box<dyn BufRead>> {
        let open = |path: &Path| -> io::Result<Box<dyn BufRead>> {
            let file = BufReader::with_capacity(READ_AT_ONCE, File::open(path)?);
            if is_compressed(path) {
                return Ok(Box::new(BufReader::with_capacity(READ_AT_ONCE, MultiGzDecoder::new(file))));
            }
            Ok(Box::new(file))
        };
        match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_live() => {
                open(&behind(&self.path, ".gz"))
            }
            opened => opened,
        }
    }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The path with `suffix` behind it.
pub(super) fn behind(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The rotated files of the trail in `directory`, the oldest first; of one in both forms the one that is not
/// compressed, which is whole.
///
/// # Errors
/// What the system says.
pub(super) fn rotated(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found = numbered(directory, ".jsonl")?;
    for (first, path) in numbered(directory, ".jsonl.gz")? {
        if !found.iter().any(|(known, _)| *known == first) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(first, path)| Segment { first: Some(first), path }).collect())
}

/// All files of the trail in `directory`, the oldest first.
///
/// # Errors
/// What the system says.
pub fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut all = rotated(directory)?;
    let live = directory.join(LIVE);
    if fs::symlink_metadata(&live).is_ok() {
        all.push(Segment { first: None, path: live });
    }
    Ok(all)
}

/// The files `audit.NUMBER` with this ending, by number.
pub(super) fn numbered(directory: &Path, ending: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(directory)? {
        let file = file?;
        let number = file.file_name().to_str().and_then(|name| {
            let digits = name.strip_prefix("audit.")?.strip_suffix(ending)?;
            let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number)
        });
        found.extend(number.map(|number| (number, file.path())));
    }
    found.sort();
    Ok(found)
}

/// Where the rotated file is that begins with line `first`.
pub(super) fn rotated_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("audit.{first:020}.jsonl"))
}

/// Where the decisions stand that had no end when the file was begun whose first line is `first`.
pub(super) fn open_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("audit.{first:020}.open"))
}

/// Opens a file of the trail to read and write; no link is followed.
pub(super) fn open_file(path: &Path, make: Make) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(MODE).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    match make {
        Make::No => &mut options,
        Make::IfMissing => options.create(true),
        Make::Anew => options.create(true).truncate(true),
        Make::New => options.create_new(true),
    };
    options.open(path)
}

/// Whether opening makes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    /// It has to be there.
    No,
    /// Where there is none.
    IfMissing,
    /// Always, and empty.
    Anew,
    /// Only where there is nothing, not even a link.
    New,
}

/// Device and number: which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        FileId(file.dev(), file.ino())
    }
}

/// Puts a whole file in place: after a crash it is there with all of its bytes, or not at all.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = behind(path, UNFINISHED);
    let mut file = open_file(&unfinished, Make::Anew)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file that may have gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The longest head: 20 digits, a colon, 64 digits, a newline. It lies in one sector of a disk, so it is written whole.
const HEAD_BYTES: usize = 86;

/// Writes the head.
pub(super) fn write_head(file: &File, point: Point) -> io::Result<()> {
    let text = format!("{:020}:{}\n", point.sequence, point.hash);
    debug_assert_eq!(text.len(), HEAD_BYTES);
    file.write_all_at(text.as_bytes(), 0)
}

/// Opens the head, and makes it if it is missing. What is longer than a head is none: it is cut, or its end would stay
/// behind every head that is written over it.
///
/// # Errors
/// What the system says.
pub(super) fn open_head(path: &Path) -> io::Result<File> {
    let file = open_file(path, Make::IfMissing)?;
    if file.metadata()?.len() > HEAD_BYTES as u64 {
        file.set_len(HEAD_BYTES as u64)?;
    }
    Ok(file)
}

/// Reads the head; `None` when there is none, or something else.
///
/// # Errors
/// What the system says.
pub(super) fn read_head(directory: &Path) -> io::Result<Option<Point>> {
    let file = match File::open(directory.join(HEAD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    match file.take(HEAD_BYTES as u64 + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(text.trim_end().parse().ok()),
    }
}

/// A line as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A line with its newline, which is not in the buffer.
    Line,
    /// Bytes without a newline at the end of the file.
    Partial,
    /// A line longer than any of ours; the buffer has its beginning.
    TooLong,
    /// Nothing more.
    End,
}

/// Reads the next line into `line`; gives how many bytes it has taken as well.
///
/// # Errors
/// What the system says, or the decompressor.
pub(super) fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<(Found, u64)> {
    line.clear();
    let mut taken = 0;
    let mut is_too_long = false;
    loop {
        let buffer = reader.fill_buf()?;
        let newline = buffer.iter().position(|&byte| byte == b'\n');
        let length = newline.unwrap_or(buffer.len());
        let room = LINE_MAX.saturating_sub(line.len());
        is_too_long |= length > room;
        line.extend_from_slice(&buffer[..length.min(room)]);
        let is_end = buffer.is_empty();
        let used = length + usize::from(newline.is_some());
        reader.consume(used);
        taken += used as u64;
        match () {
            () if newline.is_some() && is_too_long => return Ok((Found::TooLong, taken)),
            () if newline.is_some() => return Ok((Found::Line, taken)),
            () if is_end && taken == 0 => return Ok((Found::End, 0)),
            () if is_end => return Ok((Found::Partial, taken)),
            () => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Hash, SEQUENCE_MAX};
    use super::*;

    #[test]
    fn files_are_known_by_their_names_alone() {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "audit.00000000000000000001.jsonl.gz",
            "audit.00000000000000000030.jsonl",
            "audit.00000000000000000030.jsonl.gz",
            "audit.00000000000000000200.jsonl.gz",
            "audit.00000000000000000200.jsonl.gz.new",
            "audit.00000000000000000300.open",
            "audit.7.jsonl",
            "audit.+0000000000000000007.jsonl",
            "audit.jsonl",
            "x.jsonl",
        ];
        for name in names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found: Vec<_> = segments(directory.path()).unwrap().into_iter().map(|file| file.path).collect();
        let expected = [0, 1, 3, 8].map(|position| directory.path().join(names[position]));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_head_comes_back_or_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read_head(directory.path()).unwrap(), None);
        let point = Point { sequence: SEQUENCE_MAX, hash: Hash::default().then(b"x") };
        let file = open_file(&directory.path().join(HEAD), Make::IfMissing).unwrap();
        write_head(&file, point).unwrap();
        assert_eq!(read_head(directory.path()).unwrap(), Some(point));
        for wrong in [&b"7"[..], b"", &[0xff; 86], &[b'0'; 1000]] {
            fs::write(directory.path().join(HEAD), wrong).unwrap();
            assert_eq!(read_head(directory.path()).unwrap(), None);
        }
    }

    #[test]
    fn no_line_takes_more_memory_than_it_may() {
        let text = [&b"a\n"[..], &vec![b'x'; 3 * LINE_MAX], b"\n\nb"].concat();
        let (mut reader, mut line) = (BufReader::new(&text[..]), Vec::new());
        let mut next = || {
            let (found, taken) = read_line(&mut reader, &mut line).unwrap();
            (found, taken, line.len())
        };
        assert_eq!(next(), (Found::Line, 2, 1));
        assert_eq!(next(), (Found::TooLong, 3 * LINE_MAX as u64 + 1, LINE_MAX));
        assert_eq!(next(), (Found::Line, 1, 0));
        assert_eq!(next(), (Found::Partial, 1, 1));
        assert_eq!(next(), (Found::End, 0, 0));
    }
}
