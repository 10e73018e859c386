use super::*;

const CHUNK: usize = CHUNK_BYTES as usize;
const SEALED_CHUNK: usize = CHUNK + 16;

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 7) as u8 ^ index as u8).collect()
}

fn seal(keys: &Keys, text: &[u8]) -> (Vec<u8>, Total) {
    let mut sealed = Vec::new();
    let key = keys.newest(&root(1), PERSON).unwrap();
    let total = seal_stream(&key, &PLACE, &[7; 12], text, &mut sealed).unwrap();
    (sealed, total)
}

fn open_all(keys: &Keys, sealed: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut text = Vec::new();
    open_stream(keys, &root(1), &PLACE, sealed, &mut text)?;
    Ok(text)
}

#[test]
fn texts_of_all_lengths_come_back() {
    let keys = keys();
    let rows =
        [(0, 1), (1, 1), (CHUNK - 1, 1), (CHUNK, 1), (CHUNK + 1, 2), (3 * CHUNK, 3), (3 * CHUNK + 5, 4)];
    for (len, chunks) in rows {
        let (sealed, total) = seal(&keys, &text(len));
        assert_eq!(total, Total { bytes: len as u64, chunks });
        assert_eq!(sealed.len(), HEADER_BYTES + len + 16 * chunks as usize);
        assert_eq!(open_all(&keys, &sealed).unwrap(), text(len));
    }
}

#[test]
fn a_missing_end_is_told() {
    let keys = keys();
    let (sealed, _) = seal(&keys, &text(3 * CHUNK + 5));
    for chunks in 0..4 {
        let cut = &sealed[..HEADER_BYTES + chunks * SEALED_CHUNK];
        let failed = open_all(&keys, cut).unwrap_err();
        assert!(matches!(failed, Failed::CutOff(after) if after == chunks as u64), "{chunks}: {failed:?}");
    }
    for less in [1, 16, 20] {
        assert!(matches!(open_all(&keys, &sealed[..sealed.len() - less]), Err(Failed::Changed)));
    }
    assert!(matches!(open_all(&keys, &sealed[..30]), Err(Failed::NotOurs)));
}

#[test]
fn chunks_cannot_be_moved_doubled_dropped_or_added() {
    let keys = keys();
    let (sealed, _) = seal(&keys, &text(3 * CHUNK + 5));
    let (head, rest) = sealed.split_at(HEADER_BYTES);
    let chunks: Vec<&[u8]> = rest.chunks(SEALED_CHUNK).collect();
    let orders: [&[usize]; 6] =
        [&[1, 0, 2, 3], &[0, 1, 1, 2, 3], &[0, 2, 3], &[0, 1, 2, 3, 3], &[1, 2, 3], &[0, 3]];
    for order in orders {
        let other: Vec<u8> = order.iter().fold(head.to_vec(), |all, index| [&all, chunks[*index]].concat());
        assert!(matches!(open_all(&keys, &other), Err(Failed::Changed)), "{order:?}");
    }
    let mut changed = sealed.clone();
    changed[HEADER_BYTES + SEALED_CHUNK + 100] ^= 1;
    assert!(matches!(open_all(&keys, &changed), Err(Failed::Changed)));
    let longer = [&sealed[..], b"x"].concat();
    assert!(open_all(&keys, &longer).is_err());
}

#[test]
fn equal_chunks_do_not_look_equal() {
    let keys = keys();
    let (sealed, _) = seal(&keys, &vec![0; 2 * CHUNK]);
    let (first, second) = sealed[HEADER_BYTES..].split_at(SEALED_CHUNK);
    assert_ne!(first, second);
}

#[test]
fn fields_and_streams_are_not_taken_for_each_other() {
    let keys = keys();
    let (stream, _) = seal(&keys, b"72 bpm");
    assert!(matches!(open(&keys, &PLACE, &stream), Err(Failed::Shape(Shape::Stream { .. }))));
    let field = sealed(&keys, PERSON, b"72 bpm");
    assert!(matches!(open_all(&keys, &field), Err(Failed::Shape(Shape::Field))));
    // Not even where the header is changed to say so.
    let mut posed = stream.clone();
    posed[6] = 0;
    posed[56..60].fill(0);
    assert!(matches!(open(&keys, &PLACE, &posed), Err(Failed::Changed)));
}

#[test]
fn a_header_does_not_make_us_take_memory() {
    let keys = keys();
    let (mut sealed, _) = seal(&keys, b"72 bpm");
    sealed[56..60].fill(0xff);
    assert!(matches!(open_all(&keys, &sealed), Err(Failed::NotOurs)));
}

#[test]
fn a_stream_opens_only_in_its_place_and_not_for_the_erased() {
    let mut keys = keys();
    let (sealed, _) = seal(&keys, b"72 bpm");
    let elsewhere = Context { path: "predictions/18", ..PLACE };
    let opened = open_stream(&keys, &root(1), &elsewhere, &sealed[..], Vec::new());
    assert!(matches!(opened, Err(Failed::Changed)));
    keys.erase(PERSON);
    assert!(matches!(open_all(&keys, &sealed), Err(Failed::Erased(_))));
}

#[test]
fn a_reader_that_gives_little_at_a_time_is_read_to_its_end() {
    struct Slow<'b>(&'b [u8]);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let len = self.0.len().min(to.len()).min(999);
            to[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }
    let keys = keys();
    let (sealed, _) = seal(&keys, &text(CHUNK + 5));
    let mut opened = Vec::new();
    open_stream(&keys, &root(1), &PLACE, Slow(&sealed), &mut opened).unwrap();
    assert_eq!(opened, text(CHUNK + 5));
}
