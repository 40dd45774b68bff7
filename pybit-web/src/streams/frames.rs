//! The zstd seekable format (`contrib/seekable_format` of the zstd sources): independent frames, then a skippable frame
//! that lists their lengths. `zstd -d` reads it as any other file, and any offset is found without unpacking the rest.

use pybit_core::{Error, ErrorKind, Result};

/// Plain bytes of one frame.
pub(super) const FRAME: usize = 1 << 20;
/// Bytes of the footer at the very end: number of frames, descriptor, magic number.
pub(super) const FOOTER: usize = 9;
/// Bytes of the skippable frame's own header.
const HEADER: usize = 8;
/// Bytes of one entry: compressed and plain length.
const ENTRY: usize = 8;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const LEVEL: i32 = 3;

/// The lengths of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) packed: u32,
    pub(super) plain: u32,
}

/// Packs at most [`FRAME`] bytes into one frame.
pub(super) fn pack(plain: &[u8]) -> Result<(Vec<u8>, Frame)> {
    let packed = zstd::bulk::compress(plain, LEVEL)
        .map_err(|e| Error::internal("a log cannot be compressed").with_source(e))?;
    let length = |n: usize| u32::try_from(n).map_err(|_| Error::internal("a frame is too long"));
    let frame = Frame { packed: length(packed.len())?, plain: length(plain.len())? };
    Ok((packed, frame))
}

/// Unpacks one frame.
pub(super) fn unpack(packed: &[u8], frame: Frame) -> Result<Vec<u8>> {
    let plain = zstd::bulk::decompress(packed, frame.plain.min(1 << 24) as usize)
        .map_err(|e| corrupt("a frame cannot be unpacked").with_source(e))?;
    if plain.len() == frame.plain as usize {
        Ok(plain)
    } else {
        Err(corrupt("a frame is too short"))
    }
}

/// The table at the end.
pub(super) fn table(frames: &[Frame]) -> Result<Vec<u8>> {
    let number = u32::try_from(frames.len()).map_err(|_| Error::internal("too many frames"))?;
    let content = u32::try_from(frames.len() * ENTRY + FOOTER)
        .map_err(|_| Error::internal("too many frames"))?;
    let mut table = Vec::new();
    table.extend(SKIPPABLE_MAGIC.to_le_bytes());
    table.extend(content.to_le_bytes());
    for frame in frames {
        table.extend(frame.packed.to_le_bytes());
        table.extend(frame.plain.to_le_bytes());
    }
    table.extend(number.to_le_bytes());
    table.push(0);
    table.extend(SEEKABLE_MAGIC.to_le_bytes());
    Ok(table)
}

/// How many bytes at the end of an object of `length` bytes are the table, from its last [`FOOTER`] bytes.
pub(super) fn table_length(footer: &[u8], length: u64) -> Result<u64> {
    let valid =
        footer.len() == FOOTER && footer[4] == 0 && footer[5..] == SEEKABLE_MAGIC.to_le_bytes();
    let number = footer.first_chunk().map_or(0, |n| u32::from_le_bytes(*n));
    let table = (HEADER + FOOTER) as u64 + u64::from(number) * ENTRY as u64;
    if valid && table <= length { Ok(table) } else { Err(corrupt("its table is damaged")) }
}

/// Reads the table.
pub(super) fn read_table(table: &[u8]) -> Result<Vec<Frame>> {
    let entries = table.get(HEADER..table.len().saturating_sub(FOOTER));
    let entries = entries.ok_or_else(|| corrupt("its table is cut off"))?;
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |n| u32::from_le_bytes(*n));
    let frame = |e: &[u8]| Frame { packed: number(e), plain: number(&e[4..]) };
    Ok(entries.chunks_exact(ENTRY).map(frame).collect())
}

fn corrupt(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("an archived log cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plain: &[u8], size: usize) -> Vec<u8> {
        let (mut all, mut frames) = (Vec::new(), Vec::new());
        for chunk in plain.chunks(size) {
            let (bytes, frame) = pack(chunk).unwrap();
            all.extend(bytes);
            frames.push(frame);
        }
        all.extend(table(&frames).unwrap());
        all
    }

    #[test]
    fn frames_read_back_and_any_zstd_reads_the_whole() {
        let plain: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        let object = packed(&plain, 7_000);
        assert_eq!(zstd::stream::decode_all(&object[..]).unwrap(), plain);
        let length = object.len() as u64;
        let footer = &object[object.len() - 9..];
        let table = table_length(footer, length).unwrap();
        let frames = read_table(&object[object.len() - usize::try_from(table).unwrap()..]).unwrap();
        assert_eq!(frames.len(), plain.len().div_ceil(7_000));
        let mut at = 0;
        let mut read = Vec::new();
        for frame in frames {
            read.extend(unpack(&object[at..at + frame.packed as usize], frame).unwrap());
            at += frame.packed as usize;
        }
        assert_eq!(read, plain);
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let object = packed(b"hello", 3);
        let mut footer = object[object.len() - 9..].to_vec();
        assert!(table_length(&footer[1..], 100).is_err());
        footer[0] = 0xff;
        assert!(table_length(&footer, object.len() as u64).is_err());
        footer[8] = 0;
        assert!(table_length(&footer, u64::MAX).is_err());
    }

    #[test]
    fn an_empty_log_is_a_table_alone() {
        let object = packed(b"", 3);
        assert_eq!(zstd::stream::decode_all(&object[..]).unwrap(), b"");
        assert_eq!(table_length(&object[object.len() - 9..], object.len() as u64).unwrap(), 17);
    }
}
